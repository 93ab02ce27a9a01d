"""Recorded frame headers through a decoder once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .codec import MessageDecoder
from .frames import DEFAULT_MAX_FRAGMENTS, DEFAULT_MAX_MESSAGE_SIZE, CloseCode, Opcode, Role
from .recorder import FLAGS, RecordedFrame, length_bits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["replay"]

_CONTROL_BIT: Final = 0x08
_MASK: Final = 0x80

_KEY: Final = bytes(4)
_ZEROS: Final = bytes(65536)
_NORMAL_CLOSURE: Final = CloseCode.NORMAL_CLOSURE.to_bytes(2, "big")

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of a payload that are sent at most."""


def replay(
    frames: Iterable[RecordedFrame],
    role: Role,
    *,
    max_message_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
    max_frame_size: int | None = None,
    max_fragments: int | None = DEFAULT_MAX_FRAGMENTS,
    rsv1: bool = False,
) -> None:
    """Send recorded headers through a `MessageDecoder` once more, with payloads of zeros.

    What headers alone decide comes out again: the same exception with the same
    message. What a payload decides does not, since none is recorded: text that
    is not UTF-8, the code and the reason of a close frame, data that do not
    inflate. Nor does a limit on messages that was exceeded only together with
    frames that are not recorded any more.

    Args:
        frames: `last_frames` of an exception, a connection or a decoder.
        role: which end received them.
        max_message_size: as that end had it, in bytes; None for no limit. Of a
            payload no more than 16 MiB are sent, whatever its header announces.
        max_frame_size: likewise, bytes of payload in a frame.
        max_fragments: likewise, frames in a message.
        rsv1: permessage-deflate was agreed on (RFC 7692). What the compressed
            messages inflate to is taken to be empty.

    Raises:
        ProtocolError: the headers break RFC 6455 or exceed a limit.
    """
    decoder = MessageDecoder(
        role,
        max_message_size=max_message_size,
        max_frame_size=max_frame_size,
        max_fragments=max_fragments,
        inflate=_inflate_to_nothing if rsv1 else None,
    )
    # Only a limit on messages depends on how long a payload was.
    longest = 0 if max_message_size is None else _LONGEST
    frames = tuple(frames)
    if _begin_inside_a_message(frames):
        decoder.receive(_header(Opcode.BINARY, frames[0].masked, 0, 7))
    for place, frame in enumerate(frames, 1):
        first = _first_byte(frame)
        if first & _CONTROL_BIT:
            decoder.receive(_header(first, *frame[-3:]))
            decoder.receive(_control_payload(frame))
        elif place == len(frames):
            decoder.receive(_header(first, *frame[-3:]))
        else:
            length = min(frame.payload_length, longest)
            decoder.receive(_header(first, frame.masked, length, length_bits(length)))
            _send_zeros(decoder, length)


def _inflate_to_nothing(_payload: bytes, _limit: int | None) -> bytes:
    return b""


def _begin_inside_a_message(frames: Sequence[RecordedFrame]) -> bool:
    # Nothing comes behind a continuation that had no message to go on with. So where something does,
    # the message's first frame was in order, but is not recorded any more.
    opcodes = [frame.opcode for frame in frames[:-1] if not frame.opcode & _CONTROL_BIT]
    return opcodes[:1] == [Opcode.CONTINUATION]


def _first_byte(frame: RecordedFrame) -> int:
    return sum(bit for flag, bit in FLAGS if getattr(frame, flag)) | frame.opcode


def _header(first: int, masked: bool, length: int, bits: int) -> bytes:
    mask_bit = _MASK if masked else 0
    if bits == 7:
        header = bytes((first, mask_bit | length))
    else:
        header = bytes((first, mask_bit | (126 if bits == 16 else 127))) + length.to_bytes(bits // 8, "big")
    is_whole = bits > 7 or length < 126
    return header + _KEY if masked and is_whole else header


def _control_payload(frame: RecordedFrame) -> bytes:
    zeros = _ZEROS[: frame.payload_length]
    if frame.opcode == Opcode.CLOSE and len(zeros) > 1:
        return _NORMAL_CLOSURE + zeros[2:]
    return zeros


def _send_zeros(decoder: MessageDecoder, length: int) -> None:
    while length > 0:
        piece = _ZEROS[:length]
        decoder.receive(piece)
        decoder.take_chunk()
        length -= len(piece)
