"""The opening handshake under uvicorn: from the request to the application's answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

from .aio.protocol import CAREFUL_SIZE
from .connection import Connection
from .deflate import PerMessageDeflate
from .errors import InvalidRequest
from .frames import Role
from .handshake import Request, ServerHandshake
from .http_headers import Headers, HeadersLike

if TYPE_CHECKING:
    from .uvicorn import Host, WebSocketProtocol

__all__ = ["AsgiOpening"]

_DEFLATE = PerMessageDeflate()

# What a denial says of its length follows from the body that the application gives.
_OURS_IN_A_DENIAL = frozenset({"connection", "content-length", "transfer-encoding"})


class AsgiOpening:
    """Reads the request, starts the application, and gives the client what it answers.

    Attributes:
        is_answered: the client has its answer.
    """

    __slots__ = (
        "_body",
        "_denial",
        "_handshake",
        "_host",
        "_is_taken_away",
        "_protocol",
        "_request",
        "_scope",
        "_unread",
        "is_answered",
    )

    def __init__(self, host: Host, protocol: WebSocketProtocol) -> None:
        self._host = host
        self._protocol = protocol
        # uvicorn's default headers name the server.
        self._handshake = ServerHandshake(
            deflate=_DEFLATE if host.config.ws_per_message_deflate else None, server_header=None
        )
        self._request: Request | None = None
        self._scope: dict[str, Any] = {}
        self._unread = 0
        self._denial: tuple[int, Headers] | None = None
        self._body: list[bytes] = []
        self._is_taken_away = False
        self.is_answered = False

    # The socket's side.

    def received(self, data: bytes) -> None:
        """See `Opening`."""
        if self.is_answered:
            return
        try:
            request = self._handshake.receive(data)
        except InvalidRequest as error:
            self._host.logger.info("refused a WebSocket handshake: %s", error)
            self._deny(error.status, error.headers, f"{error}\n".encode())
            return
        if request is not None:
            self._request = request
            self._scope = self._build_scope(request)
            self._protocol.start_application(self._scope)
            return
        # The application takes its time to accept, and the client sends already.
        self._unread += len(data)
        if self._unread > CAREFUL_SIZE:
            self._protocol.pause_reading()

    def ended(self) -> None:
        """See `Opening`."""

    def lost(self, error: Exception | None) -> None:
        """See `Opening`."""

    def _build_scope(self, request: Request) -> dict[str, Any]:
        """What the application is told (ASGI's "Connection Scope" of WebSockets)."""
        config, transport = self._host.config, self._protocol.transport
        raw_path, _, query_string = request.path.partition("?")
        return {
            "type": "websocket",
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "root_path": config.root_path,
            "path": config.root_path + unquote(raw_path),
            "raw_path": (config.root_path + raw_path).encode("ascii"),
            "query_string": query_string.encode("ascii"),
            "headers": [
                (name.lower().encode("ascii"), value.encode("latin-1"))
                for name, value in request.headers.items()
            ],
            "subprotocols": list(request.subprotocols),
            "state": self._host.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    # The application's side.

    def answer(self, event: dict[str, Any]) -> None:
        """Take an event of the application.

        Raises:
            ClientDisconnected: the client has been given an answer without it.
            RuntimeError: it is not this event's turn.
            ValueError: what the event has cannot be sent.
        """
        kind = event["type"]
        if self._is_taken_away:
            raise ClientDisconnected
        if self.is_answered:
            raise RuntimeError(f"ASGI message {kind!r} after the handshake was answered")
        if self._denial is not None:
            self._continue_denial(kind, event)
        elif kind == "websocket.accept":
            self._accept(event)
        elif kind == "websocket.close":
            self._log("403")
            self._deny(403)
        elif kind == "websocket.http.response.start":
            self._start_denial(event)
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or "
                f"'websocket.http.response.start' but got {kind!r}."
            )

    def finish(self) -> None:
        """The application has returned, or failed, or is not waited for any more."""
        if self.is_answered:
            return
        # An application that the shutdown has not waited for can have no idea of it.
        self._is_taken_away = True
        if self._denial is not None and not self._body:
            self._deny(*self._denial)
        else:
            self._deny(500, body=b"Internal Server Error")

    def _accept(self, event: dict[str, Any]) -> None:
        request, protocol, host = self._request, self._protocol, self._host
        assert request is not None, "the application runs"
        headers = _decoded([*host.state.default_headers, *(event.get("headers") or ())])
        subprotocol = event.get("subprotocol") or None
        answer = self._handshake.accept(request, extra_headers=headers, subprotocol=subprotocol)
        self.is_answered = True
        self._log("[accepted]")
        protocol.transport.write(answer)
        protocol.subprotocol = subprotocol
        protocol.resume_reading()
        connection = Connection(
            Role.SERVER, deflate=self._handshake.deflate, max_message_size=host.config.ws_max_size
        )
        protocol.begin(connection, self._handshake.trailing)

    def _start_denial(self, event: dict[str, Any]) -> None:
        status = event["status"]
        if not 200 <= status <= 599:
            raise ValueError(f"HTTP status {status} is no answer to a WebSocket handshake")
        headers = Headers(
            (name, value)
            for name, value in _decoded(event.get("headers") or ())
            if name.lower() not in _OURS_IN_A_DENIAL
        )
        self._log(str(status))
        self._denial = (status, headers)

    def _continue_denial(self, kind: str, event: dict[str, Any]) -> None:
        if kind != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body' but got {kind!r}.")
        assert self._denial is not None, "checked by the caller"
        status, headers = self._denial
        self._body.append(event.get("body", b""))
        if not event.get("more_body", False):
            # RFC 9110 section 6.4.1: these two have no body.
            self._deny(status, headers, b"" if status in (204, 304) else b"".join(self._body))

    def _deny(self, status: int, headers: HeadersLike = (), body: bytes = b"") -> None:
        answer = self._handshake.reject(status, headers, body)
        self.is_answered = True
        self._protocol.turn_away(answer)

    def _log(self, outcome: str) -> None:
        # The line of uvicorn's own protocols, for whoever reads logs by machine.
        self._host.logger.info(
            '%s - "WebSocket %s" %s',
            get_client_addr(self._scope),
            get_path_with_query_string(self._scope),
            outcome,
        )


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
