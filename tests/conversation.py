"""Close frames, pings and what a `Connection` says, for its tests."""

from __future__ import annotations

from typing import Any

import pytest
from raw_peer import (
    RawFrame,
    split_frames,
)
from wire import data_frame

from fastframe import (
    Connection,
    Role,
    State,
)

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)

CODES = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
WRONG_CODES = [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1099, 2000, 2999, 5000, 65536]
EURO = "€"  # 3 bytes in UTF-8


def close_frame(role: Role, code: int | None = 1000, reason: str = "") -> bytes:
    """A close frame as `role` receives it."""
    return data_frame(role, 8, b"" if code is None else code.to_bytes(2, "big") + reason.encode())


def ping_frame(role: Role, payload: bytes) -> bytes:
    return data_frame(role, 9, payload)


def take_in(connection: Connection, data: bytes) -> list[Any]:
    """Receive, and conclude if the peer has ended the conversation, as `aio` does."""
    items: list[Any] = connection.receive(data)
    connection.conclude()
    return items


def state_of(connection: Connection) -> State:
    """For mypy, which does not see that a method changes it."""
    return connection.state


def sent(connection: Connection) -> list[RawFrame]:
    return split_frames(connection.take())


def close_sent(connection: Connection) -> tuple[int, str]:
    """The close frame that is all of what is waiting to be sent."""
    [frame] = sent(connection)
    assert frame.opcode == 8 and frame.fin and not frame.rsv1
    return int.from_bytes(frame.payload[:2], "big"), frame.payload[2:].decode()


def exchange(role: Role, ours: int | None, theirs: int | None, *, ours_first: bool) -> Connection:
    """A connection that has performed the closing handshake."""
    connection = Connection(role)
    if ours_first:
        connection.close(ours)
    take_in(connection, close_frame(role, theirs))
    connection.take()
    connection.end()
    return connection
