"""The flight recorder: which frame headers came last, and what a decoder makes of them.

Both halves of the `MessageDecoder` keep the numbers; here they get their names.
Neither payloads nor masking keys are among them, so they may go into any log.
"""

from __future__ import annotations

from .frames import DEFAULT_MAX_FRAGMENTS, DEFAULT_MAX_MESSAGE_SIZE, Opcode, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NamedTuple

    from ._codec_c import MessageDecoder
else:
    from ._records import NamedTuple

__all__ = ["RecordedFrame", "recorded", "replay"]

_OPCODES = {int(opcode): opcode for opcode in Opcode}
_CONTROL_BIT = 0x08
_FLAGS = (("fin", 0x80), ("rsv1", 0x40), ("rsv2", 0x20), ("rsv3", 0x10))

_KEY = bytes(4)
_ZEROS = bytes(65536)
_NORMAL_CLOSURE = b"\x03\xe8"
_LONGEST = 16 * 1024 * 1024


class RecordedFrame(NamedTuple):
    """A frame's header (RFC 6455 section 5.2) without the masking key."""

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: int
    """An `Opcode`, or a number that is reserved."""
    masked: bool
    payload_length: int
    """Bytes of payload that the header announces."""
    length_bits: int
    """7, 16 or 64: how many bits of it told the length. 126 and 127 in 7 bits say that a longer one
    follows, which was not read: the frame was refused before."""

    def __str__(self) -> str:
        name = self.opcode.name if isinstance(self.opcode, Opcode) else f"0x{self.opcode:X}"
        flags = [flag for flag, _ in _FLAGS if getattr(self, flag)]
        is_known = self.length_bits > 7 or self.payload_length < 126
        length = str(self.payload_length) if is_known else "more than 125"
        return " ".join([name, *flags, *(["masked"] if self.masked else []), length])


def recorded(
    accepted: Sequence[tuple[int, int]], masked: bool, refused: tuple[int, bool, int, int] | None
) -> tuple[RecordedFrame, ...]:
    """Give names to what a decoder has recorded.

    Args:
        accepted: first byte and payload length of each header that was in order.
        masked: whether those have a masking key.
        refused: the one behind them that was not, with the bits of its length: the last two fields
            of a `RecordedFrame`.
    """
    frames = [_named(first, masked, length, _bits(length)) for first, length in accepted]
    if refused is not None:
        frames.append(_named(*refused))
    return tuple(frames)


def _named(first: int, masked: bool, length: int, bits: int) -> RecordedFrame:
    opcode = first & 0x0F
    fin, rsv1, rsv2, rsv3 = (first & bit > 0 for _, bit in _FLAGS)
    return RecordedFrame(fin, rsv1, rsv2, rsv3, _OPCODES.get(opcode, opcode), masked, length, bits)


def _bits(length: int) -> int:
    # RFC 6455 section 5.2: "the minimal number of bytes MUST be used".
    return 7 if length < 126 else 16 if length < 65536 else 64


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
    from .codec import MessageDecoder

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
            decoder.receive(_header(first, frame.masked, length, _bits(length)))
            _send_zeros(decoder, length)


def _inflate_to_nothing(_payload: bytes, _limit: int | None) -> bytes:
    return b""


def _begin_inside_a_message(frames: Sequence[RecordedFrame]) -> bool:
    # What something came behind was in order, and so was the message's first frame, which is not recorded
    # any more. Nothing comes behind a continuation with no message under way.
    opcodes = [frame.opcode for frame in frames[:-1] if not frame.opcode & _CONTROL_BIT]
    return opcodes[:1] == [Opcode.CONTINUATION]


def _first_byte(frame: RecordedFrame) -> int:
    return sum(bit for flag, bit in _FLAGS if getattr(frame, flag)) | frame.opcode


def _header(first: int, masked: bool, length: int, bits: int) -> bytes:
    mask_bit = 0x80 if masked else 0
    if bits == 7:
        header = bytes((first, mask_bit | length))
    else:
        header = bytes((first, mask_bit | (126 if bits == 16 else 127))) + length.to_bytes(bits // 8, "big")
    return header + _KEY if masked else header


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
