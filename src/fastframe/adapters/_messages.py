"""Whole messages at the front of a stream: what adapters have a fast path for."""

from __future__ import annotations

from ..codec import FrameDecoder, apply_mask, parse_header
from ..errors import ProtocolError
from ..frames import Frame, Opcode, Role

__all__ = ["first_message", "size_of", "unfinished_message", "whole_messages"]

_TEXT, _BINARY = Opcode.TEXT, Opcode.BINARY


def whole_messages(
    data: bytes | bytearray, role: Role, *, max_size: int | None, rsv1: bool = False
) -> tuple[list[Frame], int]:
    """Decode the messages of one frame that `data` begins with.

    Args:
        data: what the peer sent, from the start of a frame on; all of it.
        role: ours.
        max_size: bytes in a payload at most, None for no limit.
        rsv1: an extension defines this bit.

    Returns:
        Text and binary frames with fin, and how many bytes they took. What
        follows is for the library itself: a control frame, a fragment, a
        violation, or a frame that is not complete.
    """
    decoder = FrameDecoder(role, max_frame_size=max_size, rsv1=rsv1)
    violated = False
    frames: list[Frame]
    try:
        frames = decoder.receive(data)
    except ProtocolError as error:
        frames = error.decoded  # type: ignore[assignment]
        violated = True
        # The decoder keeps it, and its traceback all who have called.
        error.__traceback__ = None
    for count, frame in enumerate(frames):
        opcode = frame[0]
        if not (opcode is _BINARY or opcode is _TEXT) or not frame[2]:
            del frames[count:]
            return frames, size_of(frames, role)
    return frames, size_of(frames, role) if violated else len(data) - decoder.retained


def first_message(data: bytearray, max_size: int) -> tuple[Opcode, bytes, int] | None:
    """Decode the message of one frame that `data` begins with, masked or not.

    Args:
        data: what the peer sent, from the start of a frame on.
        max_size: bytes in its payload at most.

    Returns:
        The opcode, the payload and the bytes of the frame; None if `data`
        begins with something else, or is not complete.
    """
    try:
        header = parse_header(data)
    except ProtocolError:
        return None
    if header is None:
        return None
    fin, rsv1, rsv2, rsv3, opcode, masking_key, length, start = header
    stop = start + length
    if (
        stop > len(data)
        or not fin
        or not (opcode is _TEXT or opcode is _BINARY)
        or rsv1
        or rsv2
        or rsv3
        or length > max_size
    ):
        return None
    # Released before the caller resizes `data`, on every Python.
    with memoryview(data) as view, view[start:stop] as payload:
        return opcode, payload.tobytes() if masking_key is None else apply_mask(payload, masking_key), stop


def unfinished_message(
    data: bytes | bytearray, role: Role, *, max_size: int | None, rsv1: bool = False
) -> bool:
    """Tell whether `data` begins with a message of one frame that is not complete.

    Args:
        data, role, max_size, rsv1: as in `whole_messages`.

    Returns:
        False too if `data` is too short to know.
    """
    try:
        header = parse_header(data)
    except ProtocolError:
        return False
    return (
        header is not None
        and header.header_length + header.payload_length > len(data)
        and header.fin
        and (header.opcode is _TEXT or header.opcode is _BINARY)
        and not (header.rsv2 or header.rsv3 or (header.rsv1 and not rsv1))
        and header.masked is (role is Role.SERVER)
        and (max_size is None or header.payload_length <= max_size)
    )


def size_of(frames: list[Frame], role: Role) -> int:
    """Bytes that the frames had: a length in more than the fewest bytes is a violation (RFC 6455 5.2)."""
    fixed = 6 if role is Role.SERVER else 2
    return sum(
        fixed + (0 if len(payload) < 126 else 2 if len(payload) <= 0xFFFF else 8) + len(payload)
        for _, payload, *_ in frames
    )
