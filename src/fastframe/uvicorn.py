"""fastframe under uvicorn: ``uvicorn app:app --ws fastframe.uvicorn:WebSocketProtocol``.

uvicorn's HTTP protocol reads the request. If that asks for a WebSocket, it
makes a `WebSocketProtocol`, calls its `connection_made` and `data_received`,
and sets it as the transport's protocol. From there on it is a `SocketProtocol`
like those of `serve`, which speaks ASGI to the application.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected

from ._uvicorn_opening import AsgiOpening
from .aio.operation import Arrival
from .aio.protocol import CORK_SIZE, DEFAULT_MAX_QUEUE, UNJOINED_SIZE, Settings, SocketProtocol
from .aio.waiters import let_go, refuse
from .connection import State
from .errors import ConnectionClosed
from .frames import CloseCode

if TYPE_CHECKING:
    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from .connection import Connection

__all__ = ["WebSocketProtocol"]

Event = dict[str, Any]
"""A message of ASGI, called so because a message is something else here."""


_CLOSE_TIMEOUT = Settings().close_timeout


@functools.lru_cache(maxsize=16)
def _settings(ping_interval: float | None, ping_timeout: float | None, close_timeout: float) -> Settings:
    # uvicorn takes 0 for no pings; a timeout of 0 would be over before any peer can answer.
    return Settings(ping_interval or None, ping_timeout or None, close_timeout)


class Host:
    """uvicorn's side of one connection: the `Owner` of its `WebSocketProtocol`."""

    __slots__ = ("app_state", "config", "logger", "loop", "settings", "state")

    def __init__(
        self, config: Config, state: ServerState, app_state: dict[str, Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.config = config
        self.state = state
        self.app_state = app_state
        self.loop = loop
        self.logger = logging.getLogger("uvicorn.error")
        self.settings = _settings(config.ws_ping_interval, config.ws_ping_timeout, _CLOSE_TIMEOUT)

    def connected(self, protocol: SocketProtocol) -> AsgiOpening:
        """See `Owner`."""
        assert isinstance(protocol, WebSocketProtocol), "its host belongs to it"
        self.state.connections.add(protocol)
        return AsgiOpening(self, protocol)

    def opened(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""

    def gone(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""
        self.state.connections.discard(protocol)


class WebSocketProtocol(SocketProtocol, asyncio.BufferedProtocol):
    """The WebSocket protocol class for uvicorn's option ``--ws``.

    Args:
        config: uvicorn's; its options for WebSockets are all followed.
        server_state: uvicorn's.
        app_state: what the application's lifespan has put into its state.
    """

    __slots__ = (
        "_answer_timer",
        "_arrival",
        "_drain_waiters",
        "_events",
        "_farewell",
        "_host",
        "_is_closed_by_application",
        "_is_farewell_said",
        "_receivers",
    )

    _opening: AsgiOpening | None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._host = Host(config, server_state, app_state, _loop or asyncio.get_running_loop())
        super().__init__(self._host)
        # Messages as the codec has them; they become events when they are asked for.
        self._events: deque[Any] = deque()
        self._arrival = Arrival(self._loop)
        # Who waits beside the first one, for which there is the arrival.
        self._receivers: list[asyncio.Future[None]] = []
        self._drain_waiters: list[asyncio.Future[None]] = []
        self._farewell: Event | None = None
        self._is_farewell_said = False
        self._is_closed_by_application = False
        self._answer_timer: asyncio.TimerHandle | None = None

    # uvicorn's side.

    @property
    def close_timeout(self) -> float:
        """Seconds that the closing handshake may take."""
        return self._settings.close_timeout

    @close_timeout.setter
    def close_timeout(self, seconds: float) -> None:
        config = self._host.config
        self._settings = _settings(config.ws_ping_interval, config.ws_ping_timeout, seconds)

    @property
    def close_timer(self) -> asyncio.TimerHandle | None:
        """The timer of the closing handshake while that is under way."""
        return None if self._transport.is_closing() else self._close_timer

    def shutdown(self) -> None:
        """Begin to close, as the server shuts down."""
        connection = self.connection
        if connection is None:
            if self._opening is not None and self._opening.is_answered:
                self.close_transport()  # a client that has its answer, and does not leave
            elif self._opening is not None:
                self._opening.finish()
        elif connection.state is State.OPEN:
            self._say_farewell(CloseCode.SERVICE_RESTART)
            self.shut_down(CloseCode.SERVICE_RESTART, "")
        else:
            self.close_transport()

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`. The transport's limits are as uvicorn has them."""
        self._transport = transport
        self._opening = self._host.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take in the request, or whatever comes by this way and not through `get_buffer`."""
        connection = self.connection
        if connection is not None:
            if self._liveness is not None:
                self._liveness.heard = True
            self._take_in(connection, data)
        elif self._opening is not None:
            self._opening.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self.connection is None:
            self._say_farewell(CloseCode.ABNORMAL_CLOSURE)
        super().connection_lost(exc)

    # The application's side.

    def start_application(self, scope: dict[str, Any]) -> None:
        """Run the application in a task of its own."""
        self._events.append({"type": "websocket.connect"})
        task = self._loop.create_task(self._run_application(scope))
        tasks = self._host.state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run_application(self, scope: dict[str, Any]) -> None:
        logger = self._host.logger
        try:
            result = await self._host.config.loaded_app(scope, self.receive, self.send)
            if result is not None:
                logger.error("The ASGI application returned %r instead of None", result)
            if self._opening is not None and not self._opening.is_answered:
                logger.error("The ASGI application returned before it had answered the WebSocket handshake")
        except ClientDisconnected:
            pass  # it has been told of it
        except asyncio.CancelledError:
            raise
        except BaseException:  # as uvicorn does it: nothing in an application ends the server
            logger.exception("Exception in ASGI application\n")
        finally:
            self._application_ended()

    def _application_ended(self) -> None:
        connection = self.connection
        if connection is None:
            if self._opening is not None:
                self._opening.finish()
        elif connection.ending:
            self._conclude()
        elif connection.state is State.OPEN:
            self._drop(connection)

    async def receive(self) -> Event:
        """ASGI's `receive`.

        Raises:
            ClientDisconnected: "websocket.disconnect" has been received already.
        """
        events = self._events
        if not events and self._is_farewell_said:
            raise ClientDisconnected
        while not events:
            if self._answer_timer is not None:
                self._conclude()  # all that came before the peer's end has been taken
            if self._farewell is not None:
                self._is_farewell_said = True
                return self._farewell
            if self._arrival.is_awaited:
                await self._another_arrival()
            else:
                self._arrival = self._arrival.again()
                await self._arrival
        event = events.popleft()
        if self._reading_paused and self._has_room():
            self.resume_reading()
        if isinstance(event, str):
            return {"type": "websocket.receive", "text": event}
        if isinstance(event, bytes):
            return {"type": "websocket.receive", "bytes": event}
        return event  # type: ignore[no-any-return]

    async def send(self, event: Event) -> None:
        """ASGI's `send`; it waits only while the network is not keeping up.

        Raises:
            ClientDisconnected: the connection is closing, or closed.
            RuntimeError: it is not this event's turn.
            TypeError, ValueError: what the event has cannot be sent.
        """
        connection = self.connection
        if connection is None or event["type"] != "websocket.send":
            self._send_other(event)
            return
        payload = event.get("bytes")
        if payload is None:
            payload = event.get("text")
        is_large = type(payload) is bytes and len(payload) >= UNJOINED_SIZE
        append, waiting = connection.append_message, 0
        if append is None:
            waiting = self._send_otherwise(connection, event, payload)
        elif not is_large or not self._write_unjoined(connection, payload):  # type: ignore[arg-type]
            waiting = append(payload)  # type: ignore[arg-type]
        # More messages to handle are likely to bring more to send: all of it leaves together.
        if self._events and waiting < CORK_SIZE:
            self.flush_soon()
        elif waiting and not self._writing_paused and self._outlet is not None:
            data = connection.take()
            self._untaken += len(data)
            self._outlet.write(data)
        if self._writing_paused:
            await self._drained()

    def _send_otherwise(self, connection: Connection, event: Event, payload: str | bytes | None) -> int:
        """Send a message compressed, or say why it cannot be sent; how many bytes wait to be written."""
        try:
            connection.send(payload)  # type: ignore[arg-type]
        except ConnectionClosed:
            raise self._refusal(event) from None
        return len(connection)

    def _send_other(self, event: Event) -> None:
        kind, connection = event["type"], self.connection
        if connection is None:
            if self._opening is None:
                raise ClientDisconnected
            self._opening.answer(event)
        elif kind != "websocket.close":
            raise self._refusal(event)
        elif connection.state is State.OPEN:
            close_code = event.get("code") or CloseCode.NORMAL_CLOSURE
            close_reason = event.get("reason") or ""
            connection.close(close_code, close_reason)
            self._is_closed_by_application = True
            self._say_farewell(close_code, close_reason)
            self.flush_now()
        elif connection.state is State.CLOSED or self._is_closed_by_application:
            raise self._refusal(event)

    def _refusal(self, event: Event) -> Exception:
        """Why an event is not taken."""
        connection = self.connection
        assert connection is not None, "asked for once it is open"
        if connection.state is State.OPEN:
            return RuntimeError(
                f"Expected ASGI message 'websocket.send' or 'websocket.close' but got {event['type']!r}."
            )
        if connection.state is State.CLOSING and self._is_closed_by_application:
            return RuntimeError(f"ASGI message {event['type']!r} after 'websocket.close'")
        left: Exception = ClientDisconnected()
        return left

    # Receiving.

    def _deliver(self, messages: list[str | bytes], size: int) -> None:
        if self._farewell is not None:
            return
        self._events.extend(messages)
        if self._arrival.is_awaited or self._receivers:
            if self._receivers:
                self._let_others_go()
            # Last of all: who is woken runs at once, and has to find everything in its place.
            self._arrival.wake()
        else:
            # An application that is busy with something else gets no more read for it.
            self.pause_reading()

    def _has_room(self) -> bool:
        """Whether more may be read although there are messages that nobody has taken yet."""
        events = self._events
        if not events:
            return True
        return len(events) < self._host.config.ws_max_queue and sum(map(len, events)) < DEFAULT_MAX_QUEUE

    async def _another_arrival(self) -> None:
        """Wait for what comes next where somebody else does so already."""
        receiver = self._loop.create_future()
        self._receivers.append(receiver)
        try:
            await receiver
        except asyncio.CancelledError:
            if receiver in self._receivers:
                self._receivers.remove(receiver)
            raise

    def _let_others_go(self) -> None:
        let_go(self._receivers)
        self._receivers.clear()

    # Sending.

    async def _drained(self) -> None:
        waiter = self._loop.create_future()
        self._drain_waiters.append(waiter)
        await waiter

    def _writable(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, []
        let_go(waiters)

    # Closing.

    def _say_farewell(self, close_code: int, close_reason: str | None = None) -> None:
        """Let the application know, behind the messages that it has not taken yet."""
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": int(close_code)}
            if close_reason is not None:
                self._farewell["reason"] = close_reason
            self._let_others_go()
            if self._arrival.is_awaited:
                # At the loop's next turn: here the connection is in the midst of closing.
                self._loop.call_soon(self._arrival.wake)

    def _answered(self) -> None:
        if not self._events:
            self._conclude()
        elif self._answer_timer is None:
            # The application may answer what came first; but it has not for ever.
            self._answer_timer = self._loop.call_later(self._settings.close_timeout, self._conclude)

    def _conclude(self) -> None:
        """Answer the peer's close frame, or its violation."""
        connection = self.connection
        assert connection is not None, "the peer has ended the conversation"
        self._stop_answer_timer()
        if not connection.ending:
            return
        connection.conclude()
        if connection.failure is not None:
            self._say_farewell(connection.failure.close_code, str(connection.failure))
        elif connection.close_received is not None:
            close = connection.close_received
            close_code = CloseCode.NO_STATUS_RECEIVED if close.close_code is None else close.close_code
            self._say_farewell(close_code, close.close_reason)
        self.flush_now()

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _close_when_finished(self, connection: Connection) -> None:
        if self._transport.is_closing():
            return
        self._start_close_timer()
        # The peer's close frame is waited for, whether the application takes messages or not.
        self.resume_reading()
        if not connection.finished or self._writing_paused:
            return
        if connection.failure is not None:
            self._end_writing()
        else:
            self.close_transport()

    def turn_away(self, answer: bytes) -> None:
        """End the opening handshake with an answer that is no acceptance."""
        self._transport.write(answer)
        self._say_farewell(CloseCode.ABNORMAL_CLOSURE)
        self._start_close_timer()
        self.resume_reading()
        self._end_writing()

    def _drop(self, connection: Connection) -> None:
        """End without a close frame, which is what uvicorn does when an application just returns."""
        data = connection.take()
        connection.end()
        # No pong will leave any more, so none must pile up.
        connection.congested = True
        self._say_farewell(CloseCode.ABNORMAL_CLOSURE)
        if not self._transport.is_closing():
            if self._outlet is not None:
                self._outlet.finish(data)
            self._start_close_timer()
            self.resume_reading()
            self._end_writing()

    def _end_writing(self) -> None:
        """Close for writing alone, so that no reset overtakes what was written; the peer closes the rest."""
        # uvicorn's own protocols never ask this of a transport, and what stands in for one may not have it.
        can_write_eof = getattr(self._transport, "can_write_eof", None)
        if can_write_eof is not None and can_write_eof():
            self._transport.write_eof()
        else:
            self.close_transport()

    def _start_close_timer(self) -> None:
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(self._settings.close_timeout, self._give_up_closing)

    def _give_up_closing(self) -> None:
        self._close_timer = None
        if self._transport.is_closing():
            # It is still writing, and the peer takes nothing.
            self._transport.abort()
            return
        self._transport.close()
        self._close_timer = self._loop.call_later(_CLOSE_TIMEOUT, self._give_up_closing)

    def _fail(self, close_code: int, explanation: str) -> None:
        self._host.logger.info("gave up a WebSocket connection: %s", explanation)
        self._say_farewell(close_code, "keepalive ping timeout")
        super()._fail(close_code, explanation)

    def _closed(self, connection: Connection) -> None:
        self._stop_answer_timer()
        close = connection.close_received
        if close is None:
            self._say_farewell(CloseCode.ABNORMAL_CLOSURE)
        elif close.close_code is None:
            self._say_farewell(CloseCode.NO_STATUS_RECEIVED, close.close_reason)
        else:
            self._say_farewell(close.close_code, close.close_reason)
        waiters, self._drain_waiters = self._drain_waiters, []
        refuse(waiters, ClientDisconnected())
