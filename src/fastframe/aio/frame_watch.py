"""Frames as they pass, for whoever wants to see them: the log, the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..codec import parse_header
from ..connection import Connection
from ..errors import ProtocolError
from ..frames import MAX_CONTROL_PAYLOAD, FrameHeader, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from .._codec_c import Item

__all__ = ["FrameWatch", "SeenFrame", "WatchedConnection"]

KEPT: Final = MAX_CONTROL_PAYLOAD
"""Bytes of a payload that are kept, so that those of control frames are whole."""


class SeenFrame(NamedTuple):
    """A frame that has passed whole."""

    header: FrameHeader
    header_bytes: bytes
    """The header as it stood on the wire."""
    payload_start: bytes
    """The first `KEPT` bytes of the payload, masked if the frame is."""


class FrameWatch:
    """The bytes of one direction in, the frames out.

    Args:
        seen: called with each frame when it is whole. RFC 6455 section 5.5.1:
            no frame follows a close frame; bytes that do are dropped.
        failed: called once at most, with what is wrong with the bytes that
            begin no frame, and with those bytes; what follows is dropped.
    """

    __slots__ = ("_ended", "_failed", "_header", "_header_bytes", "_kept", "_missing", "_seen", "_start")

    def __init__(
        self, seen: Callable[[SeenFrame], None], failed: Callable[[ProtocolError, bytes], None]
    ) -> None:
        self._seen = seen
        self._failed = failed
        self._kept = b""  # the beginning of a header
        self._header: FrameHeader | None = None
        self._header_bytes = b""
        self._start = bytearray()
        self._missing = 0
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        data, self._kept = self._kept + data, b""
        position = 0
        while position < len(data) and not self._ended:
            if self._header is None:
                position = self._read_header(data, position)
            else:
                position = self._read_payload(data, position)
            if self._header is not None and self._missing == 0:
                self._ended = self._header.opcode is Opcode.CLOSE
                self._seen(SeenFrame(self._header, self._header_bytes, bytes(self._start)))
                self._header = None

    def _read_header(self, data: bytes, position: int) -> int:
        try:
            header = parse_header(data, position)
        except ProtocolError as error:
            self._ended = True
            self._failed(error, data[position:])
            return len(data)
        if header is None:
            self._kept = data[position:]
            return len(data)
        end = position + header.header_length
        self._header, self._missing = header, header.payload_length
        self._header_bytes = data[position:end]
        self._start.clear()
        return end

    def _read_payload(self, data: bytes, position: int) -> int:
        chunk = data[position : position + self._missing]
        self._start += chunk[: KEPT - len(self._start)]
        self._missing -= len(chunk)
        return position + len(chunk)


class WatchedConnection(Connection):
    """A connection that shows the bytes which pass through it.

    Args:
        connection: one that nothing was received or sent on yet; not to be used itself any more.
        incoming: called with bytes that were received, before they are judged.
        outgoing: called with bytes that are about to be sent.
    """

    __slots__ = ("_incoming", "_outgoing", "_view")

    def __init__(
        self,
        connection: Connection,
        incoming: Callable[[bytes], None],
        outgoing: Callable[[bytes], None],
    ) -> None:
        for name in Connection.__slots__:
            setattr(self, name, getattr(connection, name))
        self._incoming = incoming
        self._outgoing = outgoing
        self._view: memoryview | None = None

    def receive(self, data: Buffer, size: int | None = None) -> list[Item]:
        """See `Connection`."""
        if self.failure is None:
            self._incoming(bytes(memoryview(data)[:size]))
        return super().receive(data, size)

    def get_buffer(self, minimum: int) -> memoryview | None:
        """See `Connection`."""
        self._view = super().get_buffer(minimum)
        return self._view

    def received(self, size: int) -> list[Item]:
        """See `Connection`."""
        view, self._view = self._view, None
        if view is not None:
            # Before it is unmasked where it lies.
            self._incoming(bytes(view[:size]))
        return super().received(size)

    def take(self) -> bytes:
        """See `Connection`."""
        data = super().take()
        self._outgoing(data)
        return data

    def send_unjoined(self, message: bytes) -> tuple[bytes, bytes] | None:
        """See `Connection`."""
        parts = super().send_unjoined(message)
        for part in parts or ():
            self._outgoing(part)
        return parts
