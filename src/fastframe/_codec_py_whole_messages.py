"""The pure half's quick way through what most streams are made of: whole messages in a frame each.

Nothing is created here but the messages, and no violation is judged: what is
not in order is left to `MessageDecoder`, which looks at it again from its start.
"""

from __future__ import annotations

from struct import Struct

from ._codec_py_header import FIN, MASK
from ._codec_py_kernels import KEY_REPEATED, LENGTH_MASK, masked
from .frames import Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from .frames import Close, Ping, Pong

    Item: TypeAlias = str | bytes | Ping | Pong | Close
    Record: TypeAlias = Callable[[tuple[int, int]], None]

__all__ = ["read_whole_masked", "read_whole_unmasked"]

_from_bytes = int.from_bytes

# A short header of a masked frame in one go: two bytes, and the key as an integer.
_read_short_header = Struct("<BBI").unpack_from
_SHORT_HEADER_SIZE = 6

_WHOLE_TEXT = FIN | Opcode.TEXT
_WHOLE_BINARY = FIN | Opcode.BINARY

_LENGTH_16 = 126


def read_whole_masked(
    data: bytes, position: int, max_size: int, text_as_bytes: bool, items: list[Item], record: Record
) -> int:
    """Read messages of one masked frame each, for as long as they come one after another.

    Args:
        data: the bytes of the stream, whole frames or not.
        position: where a frame starts, with no message under way.
        max_size: bytes in a message at most.
        text_as_bytes: append text as it came, validated.
        items: the messages are appended to it.
        record: called with each frame's first byte and its payload's length.

    Returns:
        Where the first frame starts that is anything else, unfinished, or
        wrong in any way.
    """
    end = len(data)
    last = end - _SHORT_HEADER_SIZE
    append = items.append
    while position <= last:
        first, length, key = _read_short_header(data, position)
        if first != _WHOLE_BINARY and first != _WHOLE_TEXT:
            break
        length -= MASK
        start = position + _SHORT_HEADER_SIZE
        if 0 <= length < _LENGTH_16:
            stop = start + length
            if stop > end or length > max_size:
                break
            message = (
                _from_bytes(data[start:stop], "little") ^ key * KEY_REPEATED[length] & LENGTH_MASK[length]
            ).to_bytes(length, "little")
        elif length == _LENGTH_16:
            length = data[position + 2] << 8 | data[position + 3]
            start += 2
            stop = start + length
            if stop > end or length > max_size or length < _LENGTH_16:
                break
            message = masked(data[start:stop], data[start - 4 : start])
        else:
            break
        if first == _WHOLE_BINARY:
            append(message)
        else:
            try:
                text = message.decode()
            except UnicodeDecodeError:
                break
            append(message if text_as_bytes else text)
        record((first, length))
        position = stop
    return position


def read_whole_unmasked(
    data: bytes, position: int, max_size: int, text_as_bytes: bool, items: list[Item], record: Record
) -> int:
    """As `read_whole_masked`, for frames that are not masked."""
    end = len(data)
    last = end - 4
    append = items.append
    while position <= last:
        first, length = data[position], data[position + 1]
        if first != _WHOLE_BINARY and first != _WHOLE_TEXT:
            break
        start = position + 2
        if length == _LENGTH_16:
            length = data[start] << 8 | data[start + 1]
            start += 2
            if length < _LENGTH_16:
                break
        elif length > _LENGTH_16:
            break
        stop = start + length
        if stop > end or length > max_size:
            break
        message = data[start:stop]
        if first == _WHOLE_BINARY:
            append(message)
        else:
            try:
                text = message.decode()
            except UnicodeDecodeError:
                break
            append(message if text_as_bytes else text)
        record((first, length))
        position = stop
    return position
