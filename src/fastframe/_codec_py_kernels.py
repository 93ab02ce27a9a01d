"""Masking and UTF-8 validation for the pure half, as plain functions over bytes.

The standard library has no XOR of two byte strings. Two detours through C are
quick, and which one is quicker depends on the length (bench/ measures it):

- as one big integer: two conversions, which cost per byte, few calls;
- as four strided lanes, one for each byte of the key, each lane translated by
  a table of 256 bytes: less per byte, but more calls.
"""

from __future__ import annotations

from codecs import utf_8_decode
from io import BytesIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "KEY_REPEATED",
    "LENGTH_MASK",
    "LONGEST_INTEGER",
    "UTF8_ACCEPT",
    "UTF8_NEXT",
    "UTF8_REJECT",
    "as_bytes",
    "byte_view",
    "mask_region",
    "masked",
    "rotated",
    "scan_utf8",
]

_from_bytes = int.from_bytes

LONGEST_INTEGER = 512
"""Bytes up to which the big integer wins over the lanes, about (CPython 3.11)."""

_WORDS = [_from_bytes(b"\1\0\0\0" * words, "little") for words in range(LONGEST_INTEGER // 4 + 1)]

LONGEST_INTEGER_IN_PLACE = 256
"""The same in place, where the lanes need no copies and the integer needs two more."""

KEY_REPEATED = tuple(_WORDS[(length + 3) // 4] for length in range(LONGEST_INTEGER + 1))
"""By payload length: times the key, little-endian, it is the key repeated until it covers the payload."""

LENGTH_MASK = tuple((1 << 8 * length) - 1 for length in range(LONGEST_INTEGER + 1))
"""By payload length: all bits of that many bytes."""

_IDENTITY = _from_bytes(bytes(range(256)), "big")
_EVERY_BYTE = _from_bytes(b"\1" * 256, "big")

_XOR_WITH = tuple((_IDENTITY ^ _EVERY_BYTE * byte).to_bytes(256, "big") for byte in range(256))
"""By byte of the key: the table for `bytearray.translate` that XORs with it."""

# A second copy of a long payload may need fresh pages from the system, which
# cost time; pieces use the same memory again. At 128 KiB they lose, from
# 256 KiB on they win or draw, by what the allocator has at hand (CPython 3.11).
_PIECE = 32 * 1024
_LONGEST_WHOLE = 128 * 1024

_LANE_0 = slice(0, None, 4)
_LANE_1 = slice(1, None, 4)
_LANE_2 = slice(2, None, 4)
_LANE_3 = slice(3, None, 4)


def _view(data: Buffer) -> memoryview:
    try:
        return memoryview(data)
    except TypeError:
        raise TypeError(f"a bytes-like object is required, not {type(data).__name__!r}") from None


def as_bytes(data: Buffer) -> bytes:
    """Return the bytes of any object with a buffer; `bytes` themselves are not copied.

    Raises:
        TypeError: no buffer.
    """
    return data if type(data) is bytes else _view(data).tobytes()


def byte_view(data: Buffer) -> bytes | memoryview:
    """Return something whose items are the bytes of `data`, without a copy if there is a way.

    Raises:
        TypeError: no buffer.
    """
    if type(data) is bytes:
        return data
    view = _view(data)
    try:
        return view.cast("B")
    except TypeError:
        # Not contiguous, empty, or of a format that memoryview does not know.
        return view.tobytes()


def masked(data: bytes, masking_key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 section 5.3: the same operation) with a key of 4 bytes."""
    length = len(data)
    if length <= LONGEST_INTEGER:
        key = _from_bytes(masking_key, "little") * KEY_REPEATED[length] & LENGTH_MASK[length]
        return (_from_bytes(data, "little") ^ key).to_bytes(length, "little")
    if length > _LONGEST_WHOLE:
        return _masked_in_pieces(data, masking_key)
    buffer = bytearray(data)
    # Unrolled: of 1 KiB a loop would take a tenth of the time.
    byte_0, byte_1, byte_2, byte_3 = masking_key
    buffer[_LANE_0] = buffer[_LANE_0].translate(_XOR_WITH[byte_0])
    buffer[_LANE_1] = buffer[_LANE_1].translate(_XOR_WITH[byte_1])
    buffer[_LANE_2] = buffer[_LANE_2].translate(_XOR_WITH[byte_2])
    buffer[_LANE_3] = buffer[_LANE_3].translate(_XOR_WITH[byte_3])
    return bytes(buffer)


def _masked_in_pieces(data: bytes, masking_key: bytes) -> bytes:
    # BytesIO copies `data` at the first write, and hands out that copy.
    result = BytesIO(data)
    with memoryview(data) as view:
        for start in range(0, len(data), _PIECE):
            piece = bytearray(view[start : start + _PIECE])
            mask_region(piece, 0, len(piece), masking_key)
            result.write(piece)
    return result.getvalue()


def mask_region(buffer: bytearray, start: int, stop: int, masking_key: bytes) -> None:
    """Mask `buffer[start:stop]` in place, the first byte with the first of the key; never resizes."""
    if stop - start <= LONGEST_INTEGER_IN_PLACE:
        buffer[start:stop] = masked(bytes(buffer[start:stop]), masking_key)
        return
    byte_0, byte_1, byte_2, byte_3 = masking_key
    lane = slice(start, stop, 4)
    buffer[lane] = buffer[lane].translate(_XOR_WITH[byte_0])
    lane = slice(start + 1, stop, 4)
    buffer[lane] = buffer[lane].translate(_XOR_WITH[byte_1])
    lane = slice(start + 2, stop, 4)
    buffer[lane] = buffer[lane].translate(_XOR_WITH[byte_2])
    lane = slice(start + 3, stop, 4)
    buffer[lane] = buffer[lane].translate(_XOR_WITH[byte_3])


def rotated(masking_key: bytes, offset: int) -> bytes:
    """Return the key as it applies from byte `offset` of the payload on."""
    turn = offset & 3
    return masking_key[turn:] + masking_key[:turn]


UTF8_ACCEPT = 0
UTF8_REJECT = 1


def _row(*ranges: tuple[int, int, int]) -> bytes:
    row = bytearray([UTF8_REJECT]) * 256
    for first, last, state in ranges:
        row[first : last + 1] = bytes([state]) * (last + 1 - first)
    return bytes(row)


# The syntax of UTF-8, RFC 3629 section 4, a row for each state. States 2 and
# 3 want one and two bytes 80-BF more and 7 three; 4, 5, 6 and 8 are those
# after E0, ED, F0 and F4, whose second byte is restricted so that there is no
# overlong form, no surrogate and nothing above U+10FFFF.
UTF8_NEXT = (
    _row(
        (0x00, 0x7F, UTF8_ACCEPT),
        (0xC2, 0xDF, 2),
        (0xE0, 0xE0, 4),
        (0xE1, 0xEC, 3),
        (0xED, 0xED, 5),
        (0xEE, 0xEF, 3),
        (0xF0, 0xF0, 6),
        (0xF1, 0xF3, 7),
        (0xF4, 0xF4, 8),
    ),
    _row(),
    _row((0x80, 0xBF, UTF8_ACCEPT)),
    _row((0x80, 0xBF, 2)),
    _row((0xA0, 0xBF, 2)),
    _row((0x80, 0x9F, 2)),
    _row((0x90, 0xBF, 3)),
    _row((0x80, 0xBF, 3)),
    _row((0x80, 0x8F, 3)),
)
"""`UTF8_NEXT[state][byte]` is the state after the byte."""

# Small enough for a processor's nearest cache, and it bounds the memory that
# validating takes: a str may need 4 bytes for each of ours.
_UTF8_BLOCK = 16 * 1024


def scan_utf8(data: bytes | bytearray, state: int = UTF8_ACCEPT) -> tuple[int, int]:
    """Validate a chunk of UTF-8.

    Args:
        data: the chunk; it may start and end inside a code point.
        state: where the chunk before it ended.

    Returns:
        The state after the chunk and its length; or `UTF8_REJECT` and the
        index of the byte at which no continuation can be valid any more.
    """
    position, end = 0, len(data)
    while state != UTF8_ACCEPT and position < end:
        state = UTF8_NEXT[state][data[position]]
        if state == UTF8_REJECT:
            return UTF8_REJECT, position
        position += 1
    if data.isascii():
        return state, end
    with memoryview(data) as view:
        try:
            while position < end:
                consumed = utf_8_decode(view[position : position + _UTF8_BLOCK], "strict", False)[1]
                if not consumed:
                    break
                position += consumed
        except UnicodeDecodeError as error:
            position += error.start
    # What is left is the beginning of a code point, or begins with the one
    # that is wrong: decoders differ in which byte of it they blame and when.
    while position < end:
        state = UTF8_NEXT[state][data[position]]
        if state == UTF8_REJECT:
            return UTF8_REJECT, position
        position += 1
    return state, end
