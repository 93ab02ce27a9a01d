"""The head of an HTTP response, as a client reads it: by h11, behind interim responses."""

from __future__ import annotations

from collections.abc import Callable

import h11

from ._http_head import HeadLimits, HeadReader
from .errors import HandshakeError

__all__ = ["MAX_INTERIM_RESPONSES", "ResponseReader"]

MAX_INTERIM_RESPONSES = 10
"""Responses with 1xx that are passed over before the one that counts."""


class ResponseReader:
    """Reads the head of the response to a request, however it was cut.

    Args:
        http: has sent the request; the body, if there is one, is read by it.
        limits: what to read at most of each head.
        failure: makes the exception to raise from a message.
    """

    __slots__ = ("_failure", "_head", "_http", "_interim_count", "_limits")

    def __init__(
        self, http: h11.Connection, limits: HeadLimits, failure: Callable[[str], HandshakeError]
    ) -> None:
        self._http = http
        self._limits = limits
        self._failure = failure
        self._interim_count = 0
        self._head = self._next_head()

    @property
    def rest(self) -> bytes:
        """Bytes that came after the head, once it is complete."""
        return self._head.rest

    def receive(self, data: bytes) -> h11.Response | h11.InformationalResponse | None:
        """Take bytes of the socket.

        Returns:
            The final response, which 101 is as well; None while more is needed.

        Raises:
            HandshakeError: made by `failure`: the head is malformed or exceeds
                a limit, or there are too many interim responses before it.
        """
        while (head := self._head.receive(data)) is not None:
            response = self._parsed(head)
            if response.status_code == 101 or response.status_code >= 200:
                return response
            # RFC 9110 section 15.2: "A client MUST be able to parse one or
            # more 1xx responses received prior to a final response".
            self._interim_count += 1
            if self._interim_count > MAX_INTERIM_RESPONSES:
                raise self._failure(f"more than {MAX_INTERIM_RESPONSES} interim responses (HTTP status 1xx)")
            data = self._head.rest
            self._head = self._next_head()
        return None

    def _next_head(self) -> HeadReader:
        failure = self._failure  # and not of `self`, which would be a cycle
        return HeadReader(self._limits, "status line", lambda message, _: failure(message))

    def _parsed(self, head: bytes) -> h11.Response | h11.InformationalResponse:
        try:
            self._http.receive_data(head)
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise self._failure(f"malformed HTTP response: {str(error)[:200]}") from None
        assert isinstance(event, (h11.InformationalResponse, h11.Response))  # the head is whole
        return event
