"""Messages for a peer that does not keep up: they wait whole, and may give way to newer ones.

Nothing is encoded or compressed before it is sure to be sent. So no frame is
ever cut off half sent, and what permessage-deflate remembers of the messages
before is what the peer has got of them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .settings import OBJECT_SIZE

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..connection import Connection
    from .settings import SlowConsumer

__all__ = ["Backlog", "Message", "append_message"]


class PreparedMessage(Protocol):
    """A message encoded beforehand for many connections: what `prepare` returns."""

    plain: bytes

    def frame_for(self, connection: Connection) -> bytes:
        """The frame that this connection is to be sent next."""


Message: TypeAlias = "str | Buffer | PreparedMessage"


def append_message(connection: Connection, message: Message) -> None:
    """Append a message of any kind to what the connection is going to send."""
    if hasattr(message, "frame_for"):
        connection.send_encoded(message.frame_for(connection))
    else:
        connection.send(message)


# Messages that may wait however small `max_size` is.
_FEW = 1024


class Backlog:
    """Messages that wait for one connection, oldest first.

    Args:
        max_size: bytes that may wait, `size` at most. The newest message
            waits whatever its size. Of messages there are no more than one
            for each `OBJECT_SIZE` of these bytes, or than a thousand.
    """

    __slots__ = ("_max_count", "_max_size", "_messages", "size")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._max_count = max(max_size // OBJECT_SIZE, _FEW)
        self._messages: deque[tuple[Message, int]] = deque()
        self.size = 0
        """Bytes that wait."""

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, message: Message, policy: SlowConsumer) -> int | None:
        """Add a message, copied if it can change.

        Returns:
            How many messages gave way; None if it does not fit, and the
            policy is to close: then it was not added.

        Raises:
            TypeError: it is no message.
        """
        kept, size = _kept(message)
        room, count = self._max_size - size, self._max_count
        if policy == "close" and (self.size > room or len(self) >= count):
            return None
        if policy == "keep_latest":
            room, count = 0, 1
        dropped = 0
        while self._messages and (self.size > room or len(self) >= count):
            self.pop()
            dropped += 1
        self._messages.append((kept, size))
        self.size += size
        return dropped

    def pop(self) -> Message:
        """Take the oldest message."""
        message, size = self._messages.popleft()
        self.size -= size
        return message


def _kept(message: Message) -> tuple[Message, int]:
    """A message that nobody can change any more, and its size in bytes."""
    if isinstance(message, str):
        return message, len(message) if message.isascii() else len(message.encode())
    if hasattr(message, "plain"):
        return message, len(message.plain)
    data = message if isinstance(message, bytes) else memoryview(message).tobytes()
    return data, len(data)
