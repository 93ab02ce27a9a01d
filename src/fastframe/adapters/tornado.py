"""tornado: messages of one frame, out of and into its stream, or the socket where that takes them at once."""

from __future__ import annotations

import os
from typing import Any

from ..codec import apply_mask, encode_frame
from ._guard import Depth, Known, Library, Replacement
from ._messages import first_message

__all__ = ["LIBRARY"]

_READ = 64 * 1024
"""Bytes that a stream reads at once, unless it was told otherwise."""

_READABLE = 1
"""tornado's `IOLoop.READ`."""

_WRITES_IN_A_ROW = 8
"""Messages that are written before whoever awaits each has to let others run."""


def _mask(_: Any) -> Any:
    def websocket_mask(mask: bytes, data: bytes) -> bytes:
        return apply_mask(data, mask)

    return websocket_mask


_HELD = "_fastframe_held"
"""Of a stream whose events come by `_handle_events`: whether nothing is read but what somebody waits for."""


def _read_no_more(stream: Any) -> None:
    """Listen no more for something to read, as the stream itself does while it has unread data.

    Where a read has emptied its buffer, it takes itself for idle and listens on. It would read until the
    buffer overflows, or see the peer's end, and close before what came first is handled and answered.
    """
    state = stream._state
    if state is not None and state & _READABLE:
        stream._state = state & ~_READABLE
        stream.io_loop.update_handler(stream.fileno(), stream._state)


def _hold(stream: Any) -> None:
    """Let no more be read until somebody waits for it."""
    if hasattr(stream, _HELD):
        # Listening ends when something comes, for most peers send nothing before they are answered.
        stream._fastframe_held = True
    else:
        _read_no_more(stream)  # it was connected before, and its events come past us


def _leave(stream: Any) -> None:
    """Leave a stream to tornado's own code, listening as that would have it."""
    if stream._read_buffer_size:
        _read_no_more(stream)
    if hasattr(stream, _HELD):
        stream._fastframe_held = False


def _handle_events(original: Any) -> Any:
    def handle_events(self: Any, fd: Any, events: int) -> None:
        is_held = getattr(self, _HELD, None)
        if is_held is None:
            self._fastframe_held = False
        elif is_held and events & _READABLE and not self.reading():
            _read_no_more(self)
            events &= ~_READABLE
            if not events:
                return
        original(self, fd, events)

    return handle_events


def _receive_frame(original: Any) -> Any:
    async def receive_frame(self: Any) -> None:
        stream = self.stream
        if (
            self._decompressor is not None
            or self._fragmented_message_buffer is not None
            or stream._user_read_buffer
        ):
            _leave(stream)
            await original(self)
            return
        if not stream._read_buffer_size:
            # All that comes at once, and not the two bytes that the original asks for.
            data = await stream.read_bytes(_READ, partial=True)
            message = first_message(data, self.params.max_message_size)
            used = 0 if message is None else message[2]
            if used < len(data):
                stream._read_buffer[:0] = data[used:]
                stream._read_buffer_size += len(data) - used
        else:
            message = first_message(stream._read_buffer, self.params.max_message_size)
            if message is not None:
                del stream._read_buffer[: message[2]]
                stream._read_buffer_size -= message[2]
        if message is None:
            _leave(stream)
            await original(self)
            return
        if stream._read_buffer_size:
            _hold(stream)
        opcode, payload, size = message
        self._wire_bytes_in += size
        handled = self._handle_message(opcode, payload)
        if handled is not None:
            if not handled.done():
                _hold(stream)
            await handled

    return receive_frame


def _write_frame(original: Any) -> Any:
    def write_frame(self: Any, fin: bool, opcode: int, data: bytes, flags: int = 0) -> Any:
        if (opcode == 1 or opcode == 2) and flags & ~0x70 == 0 and type(data) is bytes:
            frame = encode_frame(
                opcode,
                data,
                fin=fin,
                rsv1=flags & 0x40 != 0,
                rsv2=flags & 0x20 != 0,
                rsv3=flags & 0x10 != 0,
                masking_key=os.urandom(4) if self.mask_outgoing else None,
            )
            self._wire_bytes_out += len(frame)
            return self.stream.write(frame)
        return original(self, fin, opcode, data, flags)

    return write_frame


def _write_at_once(stream: Any, frame: bytes) -> int:
    """Write to the socket what it takes, past the stream's buffer; how many bytes."""
    if (
        stream._write_buffer
        or stream._write_futures
        or stream._connecting
        or stream.max_write_buffer_size is not None
        or stream.closed()
    ):
        return 0
    try:
        written: int = stream.write_to_fd(frame)
    except OSError:
        return 0  # the stream finds out for itself
    stream._total_write_index += written
    stream._total_write_done_index += written
    return written


def _write_message(original: Any) -> Any:
    import asyncio
    from itertools import count

    from tornado.concurrent import future_set_result_unless_cancelled
    from tornado.iostream import IOStream, StreamClosedError
    from tornado.websocket import WebSocketClosedError, WebSocketProtocol13

    writes = count(1)

    async def written(future: Any) -> None:
        try:
            await future
        except StreamClosedError:
            raise WebSocketClosedError from None

    def done(stream: Any) -> Any:
        loop = stream.io_loop.asyncio_loop
        future = loop.create_future()
        if next(writes) % _WRITES_IN_A_ROW:
            future.set_result(None)
        else:
            # Who writes in a loop and awaits each must let others run.
            loop.call_soon(future_set_result_unless_cancelled, future, None)
        return future

    def write_message(self: Any, message: Any, binary: bool = False) -> Any:
        kind, stream = type(message), self.stream
        if (
            self._compressor
            or not (kind is str or kind is bytes)
            or type(stream) is not IOStream
            or type(self) is not WebSocketProtocol13
        ):
            return original(self, message, binary)
        data = message.encode() if kind is str else message
        self._message_bytes_out += len(data)
        masking_key = os.urandom(4) if self.mask_outgoing else None
        frame = encode_frame(2 if binary else 1, data, masking_key=masking_key)
        self._wire_bytes_out += len(frame)
        sent = _write_at_once(stream, frame)
        if sent == len(frame):
            stream._maybe_add_error_listener()
            return done(stream)
        try:
            future = stream.write(memoryview(frame)[sent:])
        except StreamClosedError:
            raise WebSocketClosedError from None
        return asyncio.ensure_future(written(future))

    return write_message


_PROTOCOL = "tornado.websocket:WebSocketProtocol13"
_STREAM = "tornado.iostream:BaseIOStream"
_MASKS = ("compiled tornado.speedups.websocket_mask", "7ed285b220227d82", "69030fc92f40b6d3")

LIBRARY = Library(
    distribution="tornado",
    tested=("6.5", "6.6.1"),
    depths={
        "frame": Depth(
            replaces=(
                Replacement("tornado.websocket:_websocket_mask", _MASKS, _mask),
                Replacement(f"{_PROTOCOL}._receive_frame", ("1f0ef857d4df556b",), _receive_frame),
                Replacement(f"{_PROTOCOL}._write_frame", ("5972981bcbf6a255",), _write_frame),
                Replacement(
                    f"{_STREAM}._handle_events", ("d1098ab1fc060d28", "b9464803bd15fbf4"), _handle_events
                ),
            ),
            relies_on=(
                Known(f"{_PROTOCOL}._receive_frame_loop", ("414a75b9742a87c8", "f97f48daf51558f4")),
                Known(f"{_PROTOCOL}._read_bytes", ("e70fe5d156b7ab8b",)),
                Known(f"{_PROTOCOL}._handle_message", ("bc7eada534df0540", "61f43d09e004be77")),
                Known(f"{_STREAM}.read_bytes", ("317972ef0114f3f8",)),
                Known(f"{_STREAM}._try_inline_read", ("03c73e8fd749f0d4",)),
                Known(f"{_STREAM}._add_io_state", ("a8ead1f9e5f6e9af",)),
                Known(f"{_STREAM}.reading", ("f05f5a415b9fd82d",)),
                Known(
                    "tornado.websocket:WebSocketProtocol._run_callback",
                    ("9f58277a878b8b11", "f0c78d1733303688"),
                ),
                Known(f"{_STREAM}._read_to_buffer_loop", ("d717b9cc160a767a", "78a0258d326c01af")),
                Known(f"{_STREAM}._consume", ("b53931d80740bdf0", "a977bde1b0937913")),
                Known(f"{_STREAM}._finish_read", ("4f07c4033145a3b2", "7300366cabcc95c8")),
                Known(f"{_STREAM}._find_read_pos", ("85d4f10f4ffc348e", "407c985de949c078")),
                Known(
                    f"{_STREAM}._read_to_buffer", ("7c955a84a76df105", "dd7a76864013a4f5", "3db9deb7ce2c6db8")
                ),
            ),
        ),
        "connection": Depth(
            replaces=(
                Replacement(
                    f"{_PROTOCOL}.write_message", ("9b75f174cbff3542", "e085015d2fafba0a"), _write_message
                ),
            ),
            relies_on=(
                Known(f"{_STREAM}.write", ("5aef2d0d76a1ded3", "359435fb31c50ddb")),
                Known(f"{_STREAM}._handle_write", ("ebda2ee3b604082e", "c8c2c5ebdc05f776")),
                Known(f"{_STREAM}._maybe_add_error_listener", ("96f7599861c6ca16",)),
                Known("tornado.iostream:IOStream.write_to_fd", ("d84acfd03a8c72e8",)),
            ),
        ),
    },
)
