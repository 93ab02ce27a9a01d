"""wsproto: messages of one frame, both ways; hypercorn, simple-websocket and uvicorn's wsproto ride on it.

A connection keeps a queue of events that are not taken yet, and a buffer of
bytes that are not parsed. Whole messages go from the one to the other before
the parser looks at the rest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from ..codec import apply_mask_inplace, encode_frame
from ..frames import Opcode, Role
from ._guard import Depth, Known, Library, Replacement
from ._messages import size_of, unfinished_message, whole_messages

__all__ = ["LIBRARY"]

_LARGE = 4096
"""Bytes that have come at once, from which on they may be part of one message: decoding it in vain costs."""


class _Masker:
    """A masker that goes on where the last chunk ended, and returns a bytearray, as wsproto's does."""

    __slots__ = ("_key", "_offset")

    def __init__(self, masking_key: bytes | bytearray) -> None:
        self._key = bytes(masking_key)
        self._offset = 0

    def process(self, data: bytes | bytearray) -> bytearray:
        masked = bytearray(data)
        apply_mask_inplace(masked, self._key, self._offset)
        self._offset += len(masked)
        return masked


def _mask(_: Any) -> Any:
    return _Masker


def _take_messages() -> Callable[[Any], None]:
    """A function that turns the whole messages in a connection's buffer into events in its queue."""
    from wsproto.connection import ConnectionState
    from wsproto.events import BytesMessage, TextMessage
    from wsproto.frame_protocol import FrameDecoder, FrameProtocol

    is_open, text = ConnectionState.OPEN, Opcode.TEXT

    def take_messages(connection: Any) -> None:
        protocol = connection._proto
        decoder = protocol._frame_decoder
        if (
            connection._state is not is_open
            or protocol.extensions
            or decoder.header is not None
            or protocol._message_decoder.opcode is not None
            or type(protocol) is not FrameProtocol
            or type(decoder) is not FrameDecoder
            # After a violation it has ended, and nothing more is parsed.
            or protocol._parse_more.gi_frame is None
        ):
            return
        buffer = decoder.buffer.buffer
        role = Role.CLIENT if decoder.client else Role.SERVER
        if len(buffer) >= _LARGE and unfinished_message(buffer, role, max_size=None):
            return
        frames, used = whole_messages(buffer, role, max_size=None)
        events = connection._events
        for count, (opcode, payload, *_) in enumerate(frames):
            if opcode is text:
                try:
                    event = TextMessage(payload.decode())
                except UnicodeDecodeError:
                    used = size_of(frames[:count], role)
                    break
            else:
                event = BytesMessage(payload)
            events.append(event)
        del buffer[:used]

    return take_messages


def _events(original: Any) -> Any:
    take_messages = _take_messages()

    def events(self: Any) -> Iterator[Any]:
        unparsed = self._proto._frame_decoder.buffer
        if unparsed.buffer:
            take_messages(self)
        queue = self._events
        while queue:
            yield queue.popleft()
        # It is asked for what is not a whole message, and for what has come since.
        if unparsed.buffer:
            for event in original(self):
                yield event
                # Meanwhile another generator may have found more, which comes first.
                while queue:
                    yield queue.popleft()

    return events


def _send(original: Any) -> Any:
    from wsproto.connection import ConnectionState
    from wsproto.events import BytesMessage, Message, TextMessage

    is_open = ConnectionState.OPEN

    def send(self: Any, event: Any) -> bytes:
        protocol = self._proto
        kind = type(event)
        if (
            (kind is TextMessage or kind is BytesMessage or kind is Message)
            and event.message_finished
            and self._state is is_open
            and protocol._outbound_opcode is None
            and not protocol.extensions
        ):
            data = event.data
            opcode = 1 if type(data) is str else 2
            if opcode == 1 or type(data) is bytes or type(data) is bytearray:
                return encode_frame(opcode, data, masking_key=os.urandom(4) if protocol.client else None)
        return original(self, event)  # type: ignore[no-any-return]

    return send


_MODULE = "wsproto.frame_protocol"
_CONNECTION = "wsproto.connection:Connection"

LIBRARY = Library(
    distribution="wsproto",
    tested=("1.3.2", "1.3.2"),
    depths={
        "mask": Depth(
            replaces=(Replacement(f"{_MODULE}:XorMaskerSimple", ("cbb8f050226ca97a",), _mask),),
            relies_on=(
                Known(f"{_MODULE}:FrameDecoder.parse_header", ("ea1c4e4acf5fa1b3",)),
                Known(f"{_MODULE}:FrameDecoder.process_buffer", ("f19287e506f3178b",)),
                Known(f"{_MODULE}:FrameProtocol._serialize_frame", ("54db7d4e9bb11d8f",)),
            ),
        ),
        "connection": Depth(
            replaces=(
                Replacement(f"{_CONNECTION}.events", ("e4d77be0bfef1af2",), _events),
                Replacement(f"{_CONNECTION}.send", ("f24770b66cf8fcb5",), _send),
            ),
            relies_on=(
                Known("wsproto.events:Message", ("a1ca51db83d567de",)),
                Known("wsproto.events:TextMessage", ("7f21b6fe9110e5f1",)),
                Known("wsproto.events:BytesMessage", ("c03ec60457dee659",)),
                Known(f"{_CONNECTION}.__init__", ("2aa4c1439d32bd59",)),
                Known(f"{_CONNECTION}.receive_data", ("046f0bbb05b365e3",)),
                Known(f"{_MODULE}:Buffer.__init__", ("89e02a2db84b9d39",)),
                Known(f"{_MODULE}:Buffer.feed", ("c27e54abaa22bb1a",)),
                Known(f"{_MODULE}:Buffer.commit", ("ae8d612999bcd6f5",)),
                Known(f"{_MODULE}:Buffer.rollback", ("f2b946746cda09fa",)),
                Known(f"{_MODULE}:Buffer.consume_at_most", ("e6271fce311d345d",)),
                Known(f"{_MODULE}:Buffer.consume_exactly", ("2bfb4ac13e83e259",)),
                Known(f"{_MODULE}:FrameDecoder.__init__", ("758883edf5387045",)),
                Known(f"{_MODULE}:FrameDecoder.receive_bytes", ("120e3b539f425a2c",)),
                Known(f"{_MODULE}:FrameProtocol.__init__", ("037e847db237d081",)),
                Known(f"{_MODULE}:FrameProtocol._parse_more_gen", ("f3406393dd7097ce",)),
                Known(f"{_MODULE}:FrameProtocol.receive_bytes", ("d74e40cd2c6de236",)),
                Known(f"{_MODULE}:FrameProtocol.received_frames", ("0ea5d0ae07cb4aaa",)),
                Known(f"{_MODULE}:FrameProtocol.send_data", ("123f604b2533c711",)),
                Known(f"{_MODULE}:MessageDecoder.process_frame", ("665670eb3302d629",)),
            ),
        ),
    },
)
