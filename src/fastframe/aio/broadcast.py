"""One message to many connections: encoded once, and slow ones left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..codec import encode_frame
from ..connection import State
from ..frames import Opcode, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

    from ..connection import Connection
    from .protocol import SocketProtocol

__all__ = ["Prepared", "broadcast", "prepare"]


class Prepared:
    """A message ready to be sent to any number of clients; `prepare` makes it.

    A server's frames are not masked (RFC 6455 section 5.1), so one frame is
    right for all. With permessage-deflate the message is compressed once for
    each set of parameters under which no context is kept between messages;
    connections that keep one get it uncompressed, which RFC 7692 section 6
    allows for any message.
    """

    __slots__ = ("_compressed", "_message", "_opcode", "_plain")

    def __init__(self, message: str | Buffer) -> None:
        self._opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        self._message = message.encode() if isinstance(message, str) else bytes(memoryview(message))
        self._plain: bytes | None = None
        self._compressed: dict[object, bytes] = {}

    def frame_for(self, connection: Connection) -> bytes:
        """The frame that this connection is to be sent."""
        deflate = connection.deflate
        if deflate is None or not deflate.is_stateless or len(self._message) < deflate.threshold:
            if self._plain is None:
                self._plain = encode_frame(self._opcode, self._message)
            return self._plain
        frame = self._compressed.get(deflate.sharing_key)
        if frame is None:
            payload = deflate.compress(self._message)
            frame = encode_frame(self._opcode, payload, rsv1=True)
            self._compressed[deflate.sharing_key] = frame
        return frame


def prepare(message: str | Buffer) -> Prepared:
    """Prepare a message for `broadcast`, to be used any number of times.

    Args:
        message: a str as text, anything bytes-like as binary; copied.
    """
    return Prepared(message)


def broadcast(
    connections: Iterable[SocketProtocol], message: str | Buffer | Prepared, *, limit: int = 1024 * 1024
) -> list[SocketProtocol]:
    """Send a message to all of a server's connections that can take it, without waiting.

    Args:
        connections: of one server or several, in either form.
        message: a str as text, anything bytes-like as binary, or what `prepare` returned.
        limit: bytes that a connection may have waiting for the network; one
            with more is skipped, so that a slow client costs no more memory.

    Returns:
        The connections that were skipped: slow ones, those that are not open,
        and those in the middle of a fragmented message.

    Raises:
        ValueError: a client's connection is among them.
    """
    prepared = message if isinstance(message, Prepared) else Prepared(message)
    skipped = []
    for protocol in connections:
        connection = protocol._connection
        if connection is None or connection.state is not State.OPEN or protocol.buffered_amount > limit:
            skipped.append(protocol)
            continue
        if connection.is_fragmenting:
            # RFC 6455 section 5.4: no other message between its fragments.
            skipped.append(protocol)
            continue
        if connection.role is not Role.SERVER:
            raise ValueError("broadcast is for a server's connections: a client masks each frame anew")
        connection.send_encoded(prepared.frame_for(connection))
        protocol._flush_soon()
    return skipped
