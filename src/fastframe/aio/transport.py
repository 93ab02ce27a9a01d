"""Sockets themselves: the way out past any transport, and a transport of our own with what wakes it.

A transport's `write` takes about as long as the system call that it comes to,
so an `Outlet` makes that call while nothing waits before it. What the system
does not take at once is the transport's to send, so limits, `pause_writing`
and errors stay its business.

The transport of asyncio's selector loops is written in Python, and its share
of a small message is about that of all of ours; uvloop goes once round its
loop for each connection that it accepts. To the protocol `SocketTransport` is
the same. It is no subclass of `asyncio.Transport`, whose slot no compiled
class can share. Nor does the loop know of each: see `Poller`.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket as socket_module
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..codec import BACKEND
from .operation import throw

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .protocol import SocketProtocol

__all__ = ["Outlet", "Poller", "SocketTransport", "ready", "receive", "send"]

# Until Python 3.12 asyncio copies all that it cannot send at once, and of 1 MiB that is most.
_COPIES = sys.version_info < (3, 12)

# Reads that follow one that has filled the buffer, before others have their turn.
_MORE_READS = 7

# What nothing to be written is: a deque takes 760 bytes, which an idle connection has no use for.
_NOTHING: Final[deque[memoryview]] = deque()


class Outlet:
    """The way out of a connection.

    Args:
        transport: of the connection, once its handshake is done.
        loop: its event loop.
        limit: bytes that wait in the transport when it calls `pause_writing`.
    """

    __slots__ = ("_descriptor", "_is_clear", "_limit", "_ours", "_piece", "_rest", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._transport = transport
        # Of ours it need not be asked by name.
        self._ours: SocketTransport | None = transport if isinstance(transport, SocketTransport) else None
        self._descriptor = _descriptor_of(transport)
        self._is_clear = False
        self._limit = limit
        # More than `limit`, so that it has to say when it is through.
        copies = _COPIES and isinstance(transport, asyncio.Transport)
        self._piece = self._limit + 65536 if copies else sys.maxsize
        self._rest: memoryview | None = None

    @property
    def waiting(self) -> int:
        """Bytes written that the system has not taken."""
        size: int = self._transport.get_write_buffer_size()
        return size if self._rest is None else size + len(self._rest)

    def is_closing(self) -> bool:
        """Whether nothing may be written any more."""
        if self._ours is not None:
            return self._ours._is_closing
        return self._transport.is_closing()  # type: ignore[no-any-return]

    def write(self, data: bytes | memoryview) -> None:
        """Write; not before `resume` if the transport has called `pause_writing`."""
        if self._is_direct():
            sent = send(self._descriptor, data)
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._hand_over(data)

    def write_two(self, header: bytes, payload: bytes) -> None:
        """Write both without joining them."""
        self.write(header)
        # A view: of bytes, asyncio before Python 3.12 copies what is left after each write.
        self.write(memoryview(payload))

    def resume(self) -> None:
        """Go on with what was too much for the transport."""
        rest, self._rest = self._rest, None
        if rest is not None:
            self.write(rest)

    def finish(self, data: bytes) -> None:
        """Give the transport all there is, for it to be closed behind it; nothing may follow."""
        rest, self._rest = self._rest, None
        for part in (rest, data):
            if part:
                self._transport.write(part)

    def _is_direct(self) -> bool:
        if self._descriptor < 0:
            return False
        if not self._is_clear:
            # From here on it stays clear for as long as the system takes all that we write.
            # After an `abort` nothing waits either, but what has left may end in the middle of a frame.
            self._is_clear = self._transport.get_write_buffer_size() == 0 and not self.is_closing()
        return self._is_clear

    def _hand_over(self, data: bytes | memoryview) -> None:
        self._is_clear = False
        transport = self._transport
        while len(data) > self._piece:
            transport.write(data[: self._piece])
            data = data[self._piece :]
            if transport.get_write_buffer_size() > self._limit:
                self._rest = memoryview(data)
                return
        transport.write(data)


class Poller:
    """Tells transports that there is something to read.

    It is an epoll of its own, and all that the event loop sees of them. A
    reader of the loop's costs each connection memory, and on uvloop seven
    system calls in the stead of two; and each read a handle that is queued and
    run. This one has the system asked once more in each turn of the loop in
    which anything has come.

    Args:
        loop: it has `add_reader` and `add_writer`.
    """

    __slots__ = ("_epoll", "_is_released", "_loop", "_transports")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # There until `release`, and while anybody is watched.
        self._epoll: Any = None
        self._is_released = False
        self._transports: dict[int, SocketTransport] = {}
        self._open()

    def _open(self) -> None:
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self.dispatch)

    def watch(self, descriptor: int, transport: SocketTransport) -> None:
        """From now on, have a transport read when there is something to read.

        Raises:
            OSError: the system watches no more.
        """
        if self._epoll is None:
            self._open()
        # As long as there is: what a transport leaves for its next turn is told of again.
        self._epoll.register(descriptor, select.EPOLLIN)
        self._transports[descriptor] = transport

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more."""
        del self._transports[descriptor]
        self._epoll.unregister(descriptor)
        if self._is_released:
            self.release()

    def release(self) -> None:
        """Nobody new will come: once nobody is left, close it."""
        self._is_released = True
        if self._epoll is not None and not self._transports:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def dispatch(self) -> None:
        """Have those read that have something to read."""
        transports = self._transports
        try:
            if len(transports) == 1:
                # Which one it is need not be asked.
                only: SocketTransport = next(iter(transports.values()))
                only._read()
                return
            for descriptor in ready(self._epoll):
                transport = transports.get(descriptor)
                # Another one's read may have ended it.
                if transport is not None:
                    transport._read()
        except BaseException as error:  # noqa: BLE001
            # It is to end the loop, not the watch: uvloop would forget us.
            self._loop.call_soon(throw, error)


class SocketTransport:
    """The transport of one connection; `asyncio.Transport` describes its methods.

    Args:
        poller: tells it when to read.
        descriptor: of a connected socket that does not block; the transport closes it.
        protocol: what reads and is told.
        peername: the address of the other end.
    """

    __slots__ = (
        "__weakref__",
        "_descriptor",
        "_ends_with_read",
        "_has_ended",
        "_high",
        "_in_read",
        "_is_closing",
        "_is_lost",
        "_is_paused",
        "_loop",
        "_low",
        "_peername",
        "_poller",
        "_protocol",
        "_reads",
        "_size",
        "_socket",
        "_waiting",
    )

    def __init__(
        self,
        poller: Poller,
        descriptor: int,
        protocol: SocketProtocol,
        peername: Any,
    ) -> None:
        self._poller = poller
        self._loop = self._poller._loop
        self._descriptor = descriptor
        # Made when somebody asks for it: it costs a system call, and memory.
        self._socket: socket_module.socket | None = None
        self._protocol: Any = protocol
        self._peername = peername
        self._waiting = _NOTHING
        self._size = 0
        self._high = 65536
        self._low = 16384
        self._reads = False
        # A read is being handled, and the end comes with its own end.
        self._in_read = False
        self._ends_with_read = False
        self._is_closing = False
        # What `connection_lost` is told of is settled, it may have been told already.
        self._is_lost = False
        self._has_ended = False
        # Whether the protocol was told to pause writing.
        self._is_paused = False

    def start(self) -> None:
        """Tell the protocol, and read."""
        try:
            self._protocol.connection_made(self)
            self.resume_reading()
        except Exception as error:  # noqa: BLE001
            self._failed(error, "connection_made")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell "socket", "peername" or, until it is lost, "sockname"; nothing else is known."""
        if name == "peername":
            return self._peername
        if name == "socket":
            return self._made_socket() or default
        # Few ask, and it takes a system call.
        if name == "sockname" and self._descriptor >= 0:
            return self._made_socket().getsockname()
        return default

    def _made_socket(self) -> Any:
        if self._socket is None and self._descriptor >= 0:
            self._socket = socket_module.socket(fileno=self._descriptor)
            self._socket.setblocking(False)
        return self._socket

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol; None once it was told of the end."""
        return self._protocol  # type: ignore[no-any-return]

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once what waits has been sent."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Whether the socket is read."""
        return self._reads

    # Reading.

    def pause_reading(self) -> None:
        """Read no more."""
        if self._reads:
            self._reads = False
            self._poller.forget(self._descriptor)

    def resume_reading(self) -> None:
        """Read on, unless it is closing."""
        if not self._reads and not self._is_closing:
            self._poller.watch(self._descriptor, self)
            self._reads = True

    def _read(self) -> None:
        """The socket has something to be read."""
        filled = 0
        self._in_read = True
        try:
            while self._read_once() and filled < _MORE_READS:
                filled += 1
        finally:
            self._in_read = False
            # What is to end the loop, such as KeyboardInterrupt, does not take the end away.
            if self._ends_with_read:
                self._ends_with_read = False
                self._tell(None)

    def _read_once(self) -> bool:
        """Whether there is likely to be more."""
        protocol = self._protocol
        try:
            buffer = protocol.get_buffer(-1)
        except Exception as error:  # noqa: BLE001
            # Memory has ended, say: it cannot go on, and others want their turn.
            self._failed(error, "get_buffer")
            return False
        room = len(buffer)
        try:
            size = receive(self._descriptor, buffer)
        except OSError as error:
            self._force_close(error)
            return False
        # It may be of a payload read in place, which has to be copied if somebody else holds it still.
        del buffer
        try:
            if size > 0:
                protocol.buffer_updated(size)
            elif size == 0:
                self._end()
        except Exception as error:  # noqa: BLE001
            self._failed(error, "buffer_updated or eof_received")
        return size == room and self._reads

    def _end(self) -> None:
        """The peer sends no more."""
        self.pause_reading()
        self._protocol.eof_received()
        self._is_closing = True
        if not self._size:
            self._lose(None)

    # Writing.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set when the protocol is told to pause and to resume writing, in bytes that wait.

        Raises:
            ValueError: `low` is above `high`, or negative.
        """
        upper = 65536 if low is None else 4 * low
        if high is not None:
            upper = high
        lower = upper // 4 if low is None else low
        if not upper >= lower >= 0:
            raise ValueError(f"limits must be 0 <= low <= high, got low {lower}, high {upper}")
        self._high = upper
        self._low = lower
        self._hold_back()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the lower and the upper limit, in bytes."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that the system has not taken."""
        return self._size

    def write(self, data: Buffer) -> None:
        """Write; bytes that the system does not take at once are kept as they are, anything else is copied.

        Raises:
            RuntimeError: `write_eof` was called before.
        """
        if self._has_ended:
            raise RuntimeError("write called after write_eof")
        view = memoryview(data).cast("B")
        if self._is_lost or not view:
            return
        if not self._size:
            sent = send(self._descriptor, view)
            view = view[sent:]
            if not view:
                return
            # An error is found out, and told of, when the socket is said to take more.
            self._loop.add_writer(self._descriptor, self._write)
            self._waiting = deque()
        self._waiting.append(view if type(view.obj) is bytes else memoryview(bytes(view)))
        self._size += len(view)
        self._hold_back()

    def writelines(self, list_of_data: Any) -> None:
        """Write all of them, joined."""
        self.write(b"".join(list_of_data))

    def _write(self) -> None:
        """The socket takes more."""
        try:
            self._send_waiting()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._force_close(error)
            return
        if not self._size:
            self._waiting = _NOTHING
            self._loop.remove_writer(self._descriptor)
        if self._is_paused and self._size <= self._low:
            self._is_paused = False
            self._call("resume_writing")
        if not self._size:
            if self._is_closing:
                self._lose(None)
            elif self._has_ended:
                self._shut_down()

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            piece = waiting[0]
            sent = os.write(self._descriptor, piece)
            self._size -= sent
            if sent < len(piece):
                waiting[0] = piece[sent:]
                return
            waiting.popleft()

    def _hold_back(self) -> None:
        if self._size > self._high and not self._is_paused:
            self._is_paused = True
            self._call("pause_writing")

    def can_write_eof(self) -> bool:
        """Whether one direction can be closed: always."""
        return True

    def write_eof(self) -> None:
        """Send no more, once what waits has been sent."""
        if self._has_ended or self._is_closing:
            return
        self._has_ended = True
        if not self._size:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._made_socket().shutdown(socket_module.SHUT_WR)
        except OSError as error:
            self._force_close(error)

    # The end.

    def close(self) -> None:
        """Read no more, send what waits, then close."""
        if self._is_closing:
            return
        self.pause_reading()
        self._is_closing = True
        if not self._size:
            self._is_lost = True
            if self._in_read:
                self._ends_with_read = True
            else:
                self._loop.call_soon(self._tell, None)

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        self._force_close(None)

    def _force_close(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._drop()
        self._loop.call_soon(self._tell, error)

    def _call(self, method: str) -> None:
        """Tell the protocol."""
        try:
            getattr(self._protocol, method)()
        except Exception as error:  # noqa: BLE001
            self._failed(error, method)

    def _failed(self, error: Exception, what: str) -> None:
        """A method of the protocol's has raised."""
        context = {"message": f"{what} of the protocol failed", "exception": error, "transport": self}
        self._loop.call_exception_handler(context | {"protocol": self._protocol})
        self._force_close(error)

    def _lose(self, error: Exception | None) -> None:
        """End it at once, where nothing of the protocol's is running."""
        if not self._is_lost:
            self._drop()
            self._tell(error)

    def _drop(self) -> None:
        self.pause_reading()
        self._is_lost = self._is_closing = True
        if self._size:
            self._size = 0
            self._waiting = _NOTHING
            self._loop.remove_writer(self._descriptor)

    def _tell(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._close()

    def _close(self) -> None:
        # The two lead to each other, and would wait for the garbage collector.
        self._protocol = None
        if self._socket is None:
            os.close(self._descriptor)
        else:
            self._socket.close()
        self._descriptor = -1

    def __del__(self) -> None:
        # Its loop was closed before it. A socket that nobody closes warns of that, and closes itself.
        if self._protocol is not None:
            self._made_socket()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "open"
        return f"<{type(self).__name__} {state} fd={self._descriptor} {self._peername}>"


def _descriptor_of(transport: Any) -> int:
    """That of a socket to be written to; -1 where there is TLS, or where sockets are no files."""
    if isinstance(transport, SocketTransport):
        ours: SocketTransport = transport
        return ours._descriptor
    if os.name != "posix" or transport.get_extra_info("sslcontext") is not None:
        return -1
    socket = transport.get_extra_info("socket")
    return -1 if socket is None else int(socket.fileno())


# Compiled, they need no exception to say that there is nothing, or that nothing was sent.
if BACKEND == "compiled":
    from ._native import ready, receive, send
else:
    from ._system_calls import ready, receive, send
