"""The flight recorder: the frame headers that came last, by name.

Both halves of the `MessageDecoder` keep the numbers, and load this only when
somebody asks. Neither payloads nor masking keys are among them, so that they
may go into any log.
"""

from __future__ import annotations

from .frames import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NamedTuple
else:
    from ._records import NamedTuple

__all__ = ["FLAGS", "RecordedFrame", "length_bits", "recorded"]

_OPCODES = {int(opcode): opcode for opcode in Opcode}
FLAGS = (("fin", 0x80), ("rsv1", 0x40), ("rsv2", 0x20), ("rsv3", 0x10))
"""The bits of a frame's first byte above the opcode."""


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
        flags = [flag for flag, _ in FLAGS if getattr(self, flag)]
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
    frames = [_named(first, masked, length, length_bits(length)) for first, length in accepted]
    if refused is not None:
        frames.append(_named(*refused))
    return tuple(frames)


def _named(first: int, masked: bool, length: int, bits: int) -> RecordedFrame:
    opcode = first & 0x0F
    fin, rsv1, rsv2, rsv3 = (first & bit > 0 for _, bit in FLAGS)
    return RecordedFrame(fin, rsv1, rsv2, rsv3, _OPCODES.get(opcode, opcode), masked, length, bits)


def length_bits(length: int) -> int:
    """How many bits of a header tell this length, 7, 16 or 64."""
    # RFC 6455 section 5.2: "the minimal number of bytes MUST be used".
    return 7 if length < 126 else 16 if length < 65536 else 64
