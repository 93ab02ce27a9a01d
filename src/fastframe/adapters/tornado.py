"""tornado: messages of one frame, out of and into its stream."""

from __future__ import annotations

import os
from typing import Any

from ..codec import apply_mask, encode_frame
from ._guard import Depth, Known, Library, Replacement
from ._messages import first_message

__all__ = ["LIBRARY"]


def _mask(_: Any) -> Any:
    def websocket_mask(mask: bytes, data: bytes) -> bytes:
        return apply_mask(data, mask)

    return websocket_mask


def _receive_frame(original: Any) -> Any:
    async def receive_frame(self: Any) -> None:
        stream = self.stream
        if (
            self._decompressor is not None
            or self._fragmented_message_buffer is not None
            or stream._user_read_buffer
        ):
            await original(self)
            return
        if not stream._read_buffer_size:
            start = await stream.read_bytes(2)
            # Put back: what it will be is known when the rest has come, which is mostly at once.
            stream._read_buffer[:0] = start
            stream._read_buffer_size += len(start)
        message = first_message(stream._read_buffer, self.params.max_message_size)
        if message is None:
            await original(self)
            return
        opcode, payload, size = message
        del stream._read_buffer[:size]
        stream._read_buffer_size -= size
        self._wire_bytes_in += size
        handled = self._handle_message(opcode, payload)
        if handled is not None:
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


def _write_message(original: Any) -> Any:
    import asyncio

    from tornado.concurrent import future_set_result_unless_cancelled
    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketClosedError

    async def written(future: Any) -> None:
        try:
            await future
        except StreamClosedError:
            raise WebSocketClosedError from None

    def write_message(self: Any, message: Any, binary: bool = False) -> Any:
        kind = type(message)
        if self._compressor or not (kind is str or kind is bytes):
            return original(self, message, binary)
        data = message.encode() if kind is str else message
        self._message_bytes_out += len(data)
        try:
            future = self._write_frame(True, 2 if binary else 1, data)
        except StreamClosedError:
            raise WebSocketClosedError from None
        if not future.done() or future.cancelled() or future.exception() is not None:
            return asyncio.ensure_future(written(future))
        # Not done at once: who writes in a loop and awaits each must let others run.
        loop = self.stream.io_loop.asyncio_loop
        future = loop.create_future()
        loop.call_soon(future_set_result_unless_cancelled, future, None)
        return future

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
            ),
            relies_on=(
                Known(f"{_PROTOCOL}._receive_frame_loop", ("414a75b9742a87c8", "f97f48daf51558f4")),
                Known(f"{_PROTOCOL}._read_bytes", ("e70fe5d156b7ab8b",)),
                Known(f"{_PROTOCOL}._handle_message", ("bc7eada534df0540", "61f43d09e004be77")),
                Known(f"{_STREAM}.read_bytes", ("317972ef0114f3f8",)),
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
            relies_on=(Known(f"{_STREAM}.write", ("5aef2d0d76a1ded3", "359435fb31c50ddb")),),
        ),
    },
)
