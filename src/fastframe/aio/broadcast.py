"""One message to many connections: encoded once, compressed once, and slow ones left out."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final

from ..codec import encode_frame
from ..connection import OPEN
from ..frames import Opcode, Role
from .frame_log import LOGGERS
from .protocol import CORK_SIZE

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from typing_extensions import Buffer

    from ..connection import Connection
    from ..deflate import DeflateCodec
    from .protocol import SocketProtocol

__all__ = ["Prepared", "broadcast", "prepare"]

CONTEXT_WORTH: Final = 128
"""Bytes that a compressed frame has to save before a connection forgets its context for it.

Forgetting costs no time, as a new compressor is as fast. Of 512-byte JSON
messages, those that follow take 60 to 90 bytes more, all of them together,
with a window of 12 bits, and 250 to 350 with one of 15.
"""


class Prepared:
    """A message ready to be sent to any number of clients; `prepare` makes it.

    A server's frames are not masked (RFC 6455 section 5.1), so one frame is
    right for all. With permessage-deflate the message is compressed once for
    each set of parameters that connections compress with.

    Attributes:
        plain: the frame without compression.
        size: bytes of the message.
    """

    __slots__ = ("_compressed", "_compresses", "_opcode", "plain", "size")

    def __init__(self, message: str | Buffer, *, compress: bool = True) -> None:
        payload = message.encode() if isinstance(message, str) else message
        self._opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        self.plain = encode_frame(self._opcode, payload)
        self.size = memoryview(payload).nbytes
        self._compresses = compress
        self._compressed: dict[tuple[int, int, int], bytes] = {}

    def frame_for(self, connection: Connection) -> bytes:
        """The frame that has to be sent on this connection next.

        A compressed one refers to nothing but itself, so it means the same to
        every receiver (the window it was compressed with is no larger than
        the agreed one). But the connection's own compressor knows nothing of
        it, and is reset here where there is one. Where that costs more than
        it gives, the message goes uncompressed, which RFC 7692 section 6
        allows for any.
        """
        deflate = connection.deflate
        if deflate is None or self.size < deflate.threshold or not self._compresses:
            return self.plain
        frame = self._compressed.get(deflate.sharing_key)
        if frame is None:
            frame = self._compressed[deflate.sharing_key] = self._compress(deflate)
        if deflate.has_context:
            if len(self.plain) - len(frame) < CONTEXT_WORTH:
                return self.plain
            deflate.reset_compressor()
        return frame

    def _compress(self, deflate: DeflateCodec) -> bytes:
        payload = memoryview(self.plain)[len(self.plain) - self.size :]
        frame = encode_frame(self._opcode, deflate.compress_alone(payload), rsv1=True)
        return frame if len(frame) < len(self.plain) else self.plain


def prepare(message: str | Buffer, *, compress: bool = True) -> Prepared:
    """Prepare a message for `broadcast` or `offer`, to be used any number of times.

    Args:
        message: a str as text, anything bytes-like as binary; copied.
        compress: False for what is compressed in itself, such as a picture;
            RFC 7692 section 6 leaves that to the sender, for each message.
    """
    return Prepared(message, compress=compress)


def broadcast(
    connections: Iterable[SocketProtocol], message: str | Buffer | Prepared, *, limit: int = 1024 * 1024
) -> list[SocketProtocol]:
    """Send a message to all of a server's connections that can take it, without waiting.

    It is encoded once, and with permessage-deflate compressed once for all
    connections that compress with the same parameters, whether they keep
    context or not. What several broadcasts in a row send on a connection
    leaves in one write.

    Args:
        connections: of one server or several, in either form.
        message: a str as text, anything bytes-like as binary, or what `prepare` returned.
        limit: bytes that a connection may have waiting for the network; one
            with more is skipped, so that a slow client costs no more memory.
            It is for connections whose `slow_consumer` is "wait"; with the
            others, that and `max_backlog` decide.

    Returns:
        The connections that were skipped: slow ones, those that are not open,
        and those in the middle of a fragmented message.

    Raises:
        ValueError: a client's connection is among them.
    """
    return _send_to_all(connections, message if isinstance(message, Prepared) else Prepared(message), limit)


def _send_to_all(
    connections: Iterable[SocketProtocol], prepared: Prepared, limit: int
) -> list[SocketProtocol]:
    plain, server = prepared.plain, Role.SERVER
    settings, may_be_behind = None, False
    sent: list[SocketProtocol] = []
    skipped: list[SocketProtocol] = []
    try:
        for protocol in connections:
            connection = protocol.connection
            if protocol._settings is not settings:
                settings = protocol._settings
                # What waits has to be counted only where it can be this much: as long as
                # writing is not paused the transport has up to `write_limit` bytes, and
                # `send` and broadcasts hold back up to CORK_SIZE each.
                may_be_behind = settings.write_limit + 2 * CORK_SIZE > limit
            if connection is not None and connection.role is not server:
                raise ValueError("broadcast is for a server's connections: a client masks each frame anew")
            if (
                connection is None
                or connection.state is not OPEN
                or connection.is_fragmenting
                or protocol._writing_paused
                or protocol._backlog is not None
                or may_be_behind
            ):
                if not _offered(protocol, prepared, limit):
                    skipped.append(protocol)
                continue
            connection.send_encoded(plain if connection.deflate is None else prepared.frame_for(connection))
            sent.append(protocol)
    finally:
        if sent:
            _cork_of(sent[0]._loop).add(sent, len(plain))
    return skipped


def _offered(protocol: SocketProtocol, prepared: Prepared, limit: int) -> bool:
    """Whether a connection takes the message that may not be open, or not keep up."""
    if protocol.slow_consumer == "wait" and protocol.buffered_amount > limit:
        return False
    return protocol.offer(prepared)


class _Cork:
    """Connections of one loop that broadcasts have left frames on, until all that is ready to run has run."""

    __slots__ = ("__weakref__", "_size", "_waiting", "is_drawn")

    def __init__(self) -> None:
        self._waiting: set[SocketProtocol] = set()
        self._size = 0
        self.is_drawn = False

    def add(self, protocols: list[SocketProtocol], size: int) -> None:
        """These have at most `size` bytes more."""
        self._waiting.update(protocols)
        self._size += size
        if self._size >= CORK_SIZE:
            self._flush()

    def draw(self) -> None:
        self.is_drawn = True
        self._flush()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, set()
        self._size = 0
        for protocol in waiting:
            try:
                protocol._flush_if_open()
            except Exception:  # noqa: BLE001
                LOGGERS[Role.SERVER].exception("writing a broadcast to %r failed", protocol)


# The loop keeps the cork alive: it has scheduled its end.
_corks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_Cork]] = weakref.WeakKeyDictionary()


def _cork_of(loop: asyncio.AbstractEventLoop) -> _Cork:
    reference = _corks.get(loop)
    cork = None if reference is None else reference()
    if cork is None or cork.is_drawn:
        cork = _Cork()
        _corks[loop] = weakref.ref(cork)
        loop.call_soon(cork.draw)
    return cork
