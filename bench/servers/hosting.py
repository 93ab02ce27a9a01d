"""What every server and client under test is told, and the messages that a client in Python sends."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

NO_LIMIT = 1 << 30
"""Bytes in a message at most, where a library wants to be told a number."""

WRITE_LIMIT = 64 * 1024
"""Bytes waiting for the network from which on senders wait, where that can be set."""

QUEUE = 64
"""Messages received and not yet taken from which on reading pauses, where messages are counted."""


@dataclass(frozen=True)
class Setup:
    """What a server is started for.

    Attributes:
        copies: 0 to echo; otherwise each message is broadcast so many times to all connections.
        deflate: agree on permessage-deflate, with the library's own defaults; otherwise never.
        certificate: a file with certificate and key for TLS, or "".
    """

    copies: int = 0
    deflate: bool = False
    certificate: str = ""

    def tls(self) -> ssl.SSLContext | None:
        """The context to serve with."""
        if not self.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context


class WrongReply(Exception):
    """What came back is not what was sent."""


class Conversation:
    """What a connection of a client under test says, and the replies it has to get."""

    def __init__(self, messages: Sequence[bytes], in_flight: int) -> None:
        self.replies = 0
        self.is_over = False
        self._messages = messages
        self._count = len(messages)
        self._in_flight = in_flight
        self._next = 0

    def opening(self) -> list[bytes]:
        """The messages to begin with."""
        return [self._messages[number % self._count] for number in range(self._in_flight)]

    def answer(self, reply: object) -> bytes | None:
        """Check a reply; return what to send next, None if nothing."""
        number = self._next
        if reply != self._messages[number]:
            raise WrongReply(f"reply {self.replies} is not what was sent")
        self.replies += 1
        self._next = number + 1 if number + 1 < self._count else 0
        if self.is_over:
            return None
        return self._messages[(number + self._in_flight) % self._count]


@dataclass(frozen=True)
class Talk:
    """What a client under test has to do: `connections` conversations over some seconds."""

    port: int
    conversations: tuple[Conversation, ...]

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def replies(self) -> int:
        return sum(conversation.replies for conversation in self.conversations)

    def end(self) -> None:
        for conversation in self.conversations:
            conversation.is_over = True


def stopwatch() -> tuple[float, float]:
    """Seconds of the wall's clock and of this process's processor time."""
    return time.perf_counter(), time.process_time()
