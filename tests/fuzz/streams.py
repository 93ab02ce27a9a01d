"""Streams of frames out of choices: valid ones, and those that break a rule here and there."""

from __future__ import annotations

from typing import Any, NamedTuple

from fuzz.choices import Choices
from wire import data_frame, frame_bytes

from fastframe import Close, Ping, Pong, Role

CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


class Stream(NamedTuple):
    """What a valid stream says, and its bytes as the role receives them."""

    items: list[Any]
    wire: bytes


def role(choices: Choices) -> Role:
    return Role.SERVER if choices.flag() else Role.CLIENT


def _control(choices: Choices) -> Any:
    payload = choices.payload()[:125]
    return Ping(payload) if choices.flag() else Pong(payload)


def close(choices: Choices) -> Close:
    """A close frame that may be sent."""
    if choices.flag():
        return Close()
    reason = choices.text().encode()[:123].decode(errors="ignore")
    return Close(choices.pick(CODES), reason)


def _message_frames(choices: Choices, payload: bytes, opcode: int, receiver: Role, items: list[Any]) -> bytes:
    """One message in its frames, pings and pongs between them appended to `items`."""
    kind = choices.byte()
    if kind < 0xA0:
        return data_frame(receiver, opcode, payload)
    wire = b""
    places = sorted(choices.below(len(payload) + 1) for _ in range(kind % 5))
    start = 0
    for place in places:
        wire += data_frame(receiver, opcode, payload[start:place], fin=False)
        start, opcode = place, 0
        if choices.rarely():
            items.append(_control(choices))
            wire += data_frame(receiver, 9 if isinstance(items[-1], Ping) else 10, items[-1].payload)
    return wire + data_frame(receiver, opcode, payload[start:])


def valid(choices: Choices, receiver: Role, *, large: bool = False) -> Stream:
    """A valid stream, as long as there are choices; it may end with a close frame."""
    items: list[Any] = []
    wire = b""
    while choices and len(items) < 40:
        kind = choices.byte()
        if kind < 0x70:
            message = choices.text()
            wire += _message_frames(choices, message.encode(), 1, receiver, items)
            items.append(message)
        elif kind < 0xC0:
            payload = choices.payload(large)
            wire += _message_frames(choices, payload, 2, receiver, items)
            items.append(payload)
        elif kind < 0xF0:
            items.append(_control(choices))
            wire += data_frame(receiver, 9 if isinstance(items[-1], Ping) else 10, items[-1].payload)
        else:
            items.append(close(choices))
            return Stream(items, wire + data_frame(receiver, 8, items[-1].serialize()))
    return Stream(items, wire)


def _any_frame(choices: Choices, receiver: Role) -> bytes:
    """A frame that mostly obeys the header's rules, and no other one."""
    first = choices.pick(
        [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0x41, choices.byte()]
    )
    payload = choices.payload()
    size = len(payload)
    if choices.rarely():
        size = choices.pick([size + 1, 0, 125, 126, 65535, 65536, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
    width = choices.pick([1, 1, 1, 1, 1, 1, 1, 3, 9])
    if size < 126 and width == 1:
        header = bytes([first, size])
    elif size < 65536 and width < 9:
        header = bytes([first, 126]) + size.to_bytes(2, "big")
    else:
        header = bytes([first, 127]) + size.to_bytes(8, "big")
    sender = receiver
    if choices.rarely():
        sender = Role.CLIENT if receiver is Role.SERVER else Role.SERVER
    key = choices.take(4).ljust(4, b"\0")
    return frame_bytes(sender, header, payload, key)


def wild(choices: Choices, receiver: Role) -> bytes:
    """Raw bytes, a valid stream, frames of any kind, or a valid stream with some bytes changed."""
    kind = choices.byte()
    if kind < 0x30:
        return choices.rest()
    if kind < 0x50:
        return valid(choices, receiver).wire
    if kind < 0xC0:
        wire = b""
        while choices and len(wire) < 4000:
            wire += _any_frame(choices, receiver)
        return wire
    changes = [
        (choices.below(65536), choices.below(4), choices.take(choices.below(3))) for _ in range(kind % 4)
    ]
    changed = bytearray(valid(choices, receiver).wire)
    for place, size, replacement in changes:
        start = place % (len(changed) + 1)
        changed[start : start + size] = replacement
    return bytes(changed)
