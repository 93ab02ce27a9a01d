"""What a connection is told by the server or client that it belongs to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

from .options import check_limits, check_times

if TYPE_CHECKING:
    from .protocol import SocketProtocol

__all__ = [
    "DEFAULT_MAX_BACKLOG",
    "DEFAULT_MAX_QUEUE",
    "DEFAULT_WRITE_LIMIT",
    "OBJECT_SIZE",
    "Opening",
    "Owner",
    "Settings",
    "SlowConsumer",
    "check_slow_consumer",
]

DEFAULT_MAX_QUEUE = 256 * 1024
DEFAULT_WRITE_LIMIT = 64 * 1024
DEFAULT_MAX_BACKLOG = 1024 * 1024

OBJECT_SIZE = 64
"""Bytes that a message takes which waits, besides its content, about: or empty ones would cost nothing."""

SlowConsumer: TypeAlias = Literal["wait", "drop_oldest", "keep_latest", "close"]
"""What becomes of a message for a peer that does not keep up:

- ``"wait"``: `send` of the coroutine form waits, that of the callback form
  lets `buffered_amount` grow.
- ``"drop_oldest"``: up to `max_backlog` bytes of messages wait; older ones
  give way to newer ones.
- ``"keep_latest"``: only the newest message waits.
- ``"close"``: once more than `max_backlog` bytes wait, the connection is
  closed with 1013 (try again later).
"""


def check_slow_consumer(policy: str) -> None:
    """Refuse what is no `SlowConsumer`.

    Raises:
        ValueError: it is none.
    """
    if policy not in get_args(SlowConsumer):
        names = ", ".join(map(repr, get_args(SlowConsumer)))
        raise ValueError(f"slow_consumer must be one of {names}, got {policy!r}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the connections of one server, or of one client, have in common.

    Raises:
        TypeError: one is no number.
        ValueError: one is a number that makes no sense, or `slow_consumer` is none of its four values.
    """

    ping_interval: float | None = 20
    """Seconds between pings; None for none."""
    ping_timeout: float | None = 20
    """Seconds in which a pinged peer has to be heard of, or to take of what waits; None to wait for ever."""
    close_timeout: float = 10
    """Seconds that the closing handshake may take."""
    max_queue: int = DEFAULT_MAX_QUEUE
    """Bytes received and not yet taken by the application, from which on reading pauses.

    Each message counts for 64 more than it has.
    """
    write_limit: int = DEFAULT_WRITE_LIMIT
    """Bytes not yet taken by the network, from which on `send` waits."""
    slow_consumer: SlowConsumer = "wait"
    """What is done instead of waiting: a `SlowConsumer`."""
    max_backlog: int = DEFAULT_MAX_BACKLOG
    """Bytes of messages that wait beyond `write_limit`, unless `slow_consumer` is "wait".

    No more than 1,024 messages wait, or one for each 64 of these bytes if that is more.
    """

    def __post_init__(self) -> None:
        check_slow_consumer(self.slow_consumer)
        check_times(
            ping_interval=self.ping_interval,
            ping_timeout=self.ping_timeout,
            close_timeout=self.close_timeout,
        )
        check_limits(max_queue=self.max_queue, write_limit=self.write_limit, max_backlog=self.max_backlog)

    @property
    def look_interval(self) -> float:
        """Seconds from one look at a peer that nobody reads from to the next."""
        return max(self.close_timeout, 0.05)


class Opening(Protocol):
    """The opening handshake under way on a connection."""

    def received(self, data: bytes) -> None:
        """Take in bytes of the handshake."""

    def ended(self) -> None:
        """The peer sends no more."""

    def lost(self, error: Exception | None) -> None:
        """The transport is gone."""


class Owner(Protocol):
    """The server, or the client's attempt to connect, that a connection belongs to."""

    loop: asyncio.AbstractEventLoop
    settings: Settings

    def connected(self, protocol: SocketProtocol) -> Opening:
        """There is a transport: begin the opening handshake."""

    def opened(self, protocol: SocketProtocol) -> None:
        """The opening handshake is done."""

    def gone(self, protocol: SocketProtocol) -> None:
        """The transport is closed."""
