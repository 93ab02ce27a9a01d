"""Frame headers for the pure half: reading with every check, and writing; what both decoders share."""

from __future__ import annotations

import operator
from struct import Struct

from . import _mistakes, _violations
from ._codec_py_kernels import as_bytes, byte_view
from .errors import ProtocolError
from .frames import MAX_CONTROL_PAYLOAD, MAX_PAYLOAD_LENGTH, Opcode, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from typing_extensions import Buffer
else:
    from ._records import NamedTuple

__all__ = [
    "FIN",
    "MASK",
    "OPCODES",
    "RSV1",
    "Expectation",
    "check_role",
    "checked_limit",
    "expectation",
    "first_byte",
    "header_bytes",
    "read_header",
    "received_bytes",
    "refused_header",
]

FIN = 0x80
RSV1 = 0x40
MASK = 0x80

_LENGTH_16 = 126
_LENGTH_64 = 127

OPCODES = {int(opcode): opcode for opcode in Opcode}
"""By the lowest four bits of a frame's first byte; all others are reserved."""

_read_16 = Struct(">H").unpack_from
_read_64 = Struct(">Q").unpack_from
_write_16 = Struct(">BBH").pack
_write_64 = Struct(">BBQ").pack


class Expectation(NamedTuple):
    """What a decoder accepts in a header."""

    reserved_bits: int
    """Those of rsv1 (4), rsv2 (2) and rsv3 (1) that must be 0."""
    role: Role | None
    """Ours; it decides which frames must be masked. None: either is right."""
    max_frame_size: int | None


def checked_limit(name: str, limit: int | None, least: int = 0) -> int | None:
    """Refuse a limit below `least` (0 or 1), or one that is no whole number."""
    if limit is None:
        return None
    if not isinstance(limit, int):
        raise _mistakes.not_whole(name, limit)
    if limit < least:
        raise _mistakes.not_positive(name, limit) if least else _mistakes.negative(name, limit)
    return limit


def check_role(role: Role) -> None:
    """Refuse what is not a role."""
    if not isinstance(role, Role):
        raise _mistakes.not_a_role(role)


def expectation(role: Role, max_frame_size: int | None, allowed_bits: int) -> Expectation:
    """Check what a decoder was created with; `allowed_bits` are the rsv bits that extensions define."""
    check_role(role)
    return Expectation(0b111 & ~allowed_bits, role, checked_limit("max_frame_size", max_frame_size))


def received_bytes(data: Buffer, size: int | None) -> bytes:
    """Copy the first `size` bytes of `data`, unless it is all of some bytes."""
    if size is None:
        return as_bytes(data)
    view = byte_view(data)
    try:
        size = operator.index(size)
        if not 0 <= size <= len(view):
            raise _mistakes.size_out_of_range(size, len(view))
        return bytes(view[:size])
    finally:
        # The traceback would keep the view, and the view would keep `data`
        # from being resized.
        del view


def _check_first_bytes(first: int, second: int, expected: Expectation) -> None:
    opcode = first & 0x0F
    unexpected = first >> 4 & expected.reserved_bits
    if unexpected:
        raise _violations.reserved_bits(unexpected)
    if opcode not in OPCODES:
        raise _violations.reserved_opcode(opcode)
    if opcode & 0x08 and not first & FIN:
        # RFC 6455 section 5.5: control frames "MUST NOT be fragmented".
        raise _violations.fragmented_control_frame(opcode)
    # RFC 6455 section 5.1: "The server MUST close the connection upon
    # receiving a frame that is not masked", "A client MUST close a connection
    # if it detects a masked frame".
    if expected.role is Role.SERVER and not second & MASK:
        raise _violations.not_masked()
    if expected.role is Role.CLIENT and second & MASK:
        raise _violations.masked()
    if opcode & 0x08 and second & 0x7F > MAX_CONTROL_PAYLOAD:
        raise _violations.control_frame_too_long(second & 0x7F)


def read_header(
    data: bytes, position: int, expected: Expectation
) -> tuple[int, int, bytes | None, int] | None:
    """Read the header at `position` and check it as far as its bytes are there.

    Returns:
        Its first byte, the payload's length, the masking key if there is one,
        and the position after it; None if it is not complete.

    Raises:
        ProtocolError: RFC 6455 section 5.2 forbids it, or `expected` does.
    """
    available = len(data) - position
    if available < 2:
        return None
    first, second = data[position], data[position + 1]
    _check_first_bytes(first, second, expected)
    position += 2
    length = second & 0x7F
    if length == _LENGTH_16:
        if available < 4:
            return None
        (length,) = _read_16(data, position)
        position += 2
        # RFC 6455 section 5.2: "the minimal number of bytes MUST be used".
        if length < _LENGTH_16:
            raise _violations.length_not_minimal(length, 16)
    elif length == _LENGTH_64:
        if available < 10:
            return None
        (length,) = _read_64(data, position)
        position += 8
        if length > MAX_PAYLOAD_LENGTH:
            raise _violations.length_top_bit(length)
        if length <= 0xFFFF:
            raise _violations.length_not_minimal(length, 64)
    if expected.max_frame_size is not None and length > expected.max_frame_size:
        raise _violations.frame_too_big(length, expected.max_frame_size)
    if not second & MASK:
        return first, length, None, position
    payload = position + 4
    if len(data) < payload:
        return None
    return first, length, data[position:payload], payload


def refused_header(data: bytes, position: int, expected: Expectation) -> tuple[int, bool, int, int]:
    """Read what `read_header` has refused, as far as it had read it.

    Returns:
        The first byte, whether the mask bit is set, the payload's length, and how many bits told it.
    """
    first, second = data[position], data[position + 1]
    masked, length = second >= MASK, second & 0x7F
    try:
        _check_first_bytes(first, second, expected)
    except ProtocolError:
        return first, masked, length, 7
    if length == _LENGTH_16:
        return first, masked, _read_16(data, position + 2)[0], 16
    if length == _LENGTH_64:
        return first, masked, _read_64(data, position + 2)[0], 64
    return first, masked, length, 7


def first_byte(opcode: int, fin: bool, rsv1: bool, rsv2: bool, rsv3: bool) -> int:
    """Put together the first byte of a header.

    Raises:
        ValueError: RFC 6455 knows no such opcode, or a control frame without fin.
    """
    opcode = operator.index(opcode)
    if opcode not in OPCODES:
        raise _mistakes.unknown_opcode(opcode)
    if fin:
        opcode |= FIN
    elif opcode & 0x08:
        raise _mistakes.fragmented_control_frame()
    if rsv1 or rsv2 or rsv3:
        opcode |= bool(rsv1) << 6 | bool(rsv2) << 5 | bool(rsv3) << 4
    return opcode


def header_bytes(first: int, length: int, mask: int) -> bytes:
    """Write a header up to the masking key; `mask` is `MASK` or 0.

    Raises:
        ValueError: a control frame's payload is too long.
    """
    if length < _LENGTH_16:
        return bytes((first, mask | length))
    if first & 0x08:
        raise _mistakes.control_payload_too_long(length)
    if length <= 0xFFFF:
        return _write_16(first, mask | _LENGTH_16, length)
    return _write_64(first, mask | _LENGTH_64, length)
