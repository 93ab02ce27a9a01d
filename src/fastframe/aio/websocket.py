"""The callback form: the browser's WebSocket interface in Python's spelling, for both ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..connection import OPEN
from ..errors import ConnectionClosed
from ..frames import CloseCode, Role
from .frame_log import LOGGERS
from .protocol import UNJOINED_SIZE, SocketProtocol

if TYPE_CHECKING:
    import logging

    from typing_extensions import Buffer

    from ..connection import Connection
    from .settings import Owner

__all__ = ["FAILURES", "WebSocket"]

FAILURES = (Exception, asyncio.CancelledError)
"""What an application's function may fail with: the result of a future that was cancelled, too."""


class CallbackForm(SocketProtocol):
    """A WebSocket that calls you: all but what makes it a protocol of asyncio."""

    __slots__ = ("_has_erred", "_holds_reading")

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._has_erred = False
        # It is we who have paused reading, and not the application.
        self._holds_reading = False

    def on_open(self) -> None:
        """The opening handshake is done; `send` may be called from here on."""

    def on_message(self, message: str | bytes) -> None:
        """A message has come: a str if it is text, bytes if it is binary."""

    def on_error(self, error: Exception) -> None:
        """Something went wrong; the connection is ending, and `on_close` will follow.

        Called once at most: with what a method of yours raised, with the
        peer's violation (a `ProtocolError`), or with a `ConnectionClosedError`
        that says how the peer was lost, if both sides did not say goodbye.
        """

    def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
        """The connection is closed.

        Args:
            close_code: the peer's code, 1005 if it gave none, 1006 if no close frame came.
            close_reason: the peer's words.
            was_clean: whether both sides said goodbye.
        """

    @property
    def protocol(self) -> str:
        """The subprotocol agreed on, or an empty string."""
        return self.subprotocol or ""

    def send(self, message: str | Buffer) -> None:
        """Send a message: a str as text, anything bytes-like as binary.

        It returns at once; `buffered_amount` tells what the network has not
        taken yet, and `slow_consumer` what becomes of that. What is sent
        within one callback leaves together.

        Raises:
            ConnectionClosed: the connection is closing, or closed.
            RuntimeError: it is not open yet.
            TypeError: `message` is neither.
        """
        connection = self.connection
        if connection is None:
            raise RuntimeError("the WebSocket is not open yet: send from on_open on")
        if self._policy is not None and self._puts_aside(connection, message):
            return
        is_large = type(message) is bytes and len(message) >= UNJOINED_SIZE
        if is_large and self._write_unjoined(connection, message):  # type: ignore[arg-type]
            return
        append = connection.append_message
        if append is None:
            connection.send(message)
        else:
            append(message)
        if not self._corked:
            self._flush()

    def close(self, close_code: int = CloseCode.NORMAL_CLOSURE, close_reason: str = "") -> None:
        """Begin the closing handshake; what was sent before still arrives.

        Args:
            close_code: 1000, or another one that may be sent.
            close_reason: at most 123 bytes in UTF-8.

        Raises:
            TypeError: a code that is no int, or a reason that is no str.
            ValueError: a code that may not be sent, or a reason too long.
        """
        if self.connection is None:
            self._transport.abort()
            return
        self._begin_closing(self.connection, close_code, close_reason)
        if not self._corked:
            self._flush()

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`."""
        super().pause_writing()
        # What a server would send in reply has nowhere to go but memory.
        if not self._reading_paused and self._must_not_ask_for_more():
            self.pause_reading()
            self._holds_reading = True

    def pause_reading(self) -> None:
        """Read no more until `resume_reading`."""
        self._holds_reading = False
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on; a server that waits for the peer to take what it was sent reads on behind that."""
        self._holds_reading = self._reading_paused and self._must_not_ask_for_more()
        if not self._holds_reading:
            super().resume_reading()

    def _must_not_ask_for_more(self) -> bool:
        """Whether the peer takes no answers, so that it gets no more questions read."""
        connection = self.connection
        return (
            self._writing_paused
            and self._policy is None
            and connection is not None
            # A client reads on, so that the two cannot wait for each other.
            and connection.role is Role.SERVER
            # Reading goes on to see the peer's close frame.
            and connection.state is OPEN
        )

    def _writable(self) -> None:
        if self._holds_reading:
            self.resume_reading()

    def _opened(self) -> None:
        self._owner.opened(self)
        self._corked = True
        try:
            self.on_open()
        except FAILURES as error:
            self._failed(error)
        finally:
            self._corked = False
            self._flush()

    def _deliver(self, messages: list[str | bytes], size: int) -> None:
        connection, on_message = self.connection, self.on_message
        assert connection is not None, "messages come through it"
        try:
            for message in messages:
                # WebSockets Standard section 4: "When a WebSocket message has been
                # received [...]: If ready state is not OPEN (1), then return."
                if connection.state is not OPEN:
                    break
                on_message(message)
        except FAILURES as error:
            self._failed(error)

    def _failed(self, error: Any) -> None:
        if isinstance(error, ConnectionClosed) and self.ready_state is not OPEN:
            return
        self._logger.error("a callback of %r failed", self, exc_info=error)
        if self.connection is not None:
            self._begin_closing(self.connection, CloseCode.INTERNAL_ERROR)
        self._report(error)

    def _report(self, error: Any) -> None:
        self._has_erred = True
        try:
            self.on_error(error)
        except FAILURES:
            self._logger.exception("on_error of %r failed", self)

    def _closed(self, connection: Connection) -> None:
        was_clean = connection.close_received is not None and connection.close_sent is not None
        # WebSockets Standard section 4: when the connection is closed, "if the
        # user agent was required to fail" it, an error comes before the close.
        # RFC 6455 section 7.2.1 requires that of one that is lost, too.
        if not was_clean and not self._has_erred:
            self._report(connection.failure or self._closed_exception(connection))
        try:
            self.on_close(self.close_code or CloseCode.ABNORMAL_CLOSURE, self.close_reason or "", was_clean)
        except FAILURES:
            self._logger.exception("on_close of %r failed", self)

    @property
    def _logger(self) -> logging.Logger:
        role = Role.SERVER if self.connection is None else self.connection.role
        return LOGGERS[role]


class WebSocket(CallbackForm, asyncio.BufferedProtocol):
    """A WebSocket that calls you: derive from it and override the ``on_`` methods.

    It follows the browser's interface of the same name
    (https://websockets.spec.whatwg.org/): `ready_state`, `buffered_amount`,
    `protocol`, `extensions`, `send`, `close`. Nothing stands between the codec
    and `on_message`: no queue, no task. The methods run in the event loop and
    must not block. All of it belongs to the event loop's thread.

    An exception in a method is logged, given to `on_error`, and ends the
    connection with 1011. As in the browser, what comes after `close` was
    called is not delivered any more.
    """

    __slots__ = ("__dict__",)
