"""Frames and the handshake in the log, a line each, for those who set its level to DEBUG.

::

    127.0.0.1:53412 < TEXT fin, 5 bytes: 'Hello'
    127.0.0.1:53412 > BINARY fin rsv1, 300 bytes, compressed: 62 60 a0 3d 00 00...

``<`` was received and ``>`` sent. A line is written when the frame is whole.
What a peer sent is quoted and escaped, so that it cannot write lines of its own.
"""

from __future__ import annotations

import codecs
import logging
from typing import TYPE_CHECKING, Final

from ..codec import apply_mask
from ..frames import Opcode, Role
from ..http_headers import SECRET_FIELDS
from .frame_watch import FrameWatch, SeenFrame, WatchedConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..connection import Connection
    from ..errors import ConnectionClosed, ProtocolError
    from .protocol import SocketProtocol

__all__ = ["LOGGERS", "FrameLines", "log_abnormal_end", "logged"]

LOGGERS: Final = {role: logging.getLogger(f"fastframe.{role.value}") for role in Role}
"""Children of the logger ``fastframe``: ``fastframe.server`` and ``fastframe.client``."""

_SHOWN_TEXT: Final = 80
_SHOWN_BYTES: Final = 24


class FrameLines:
    """The bytes of one direction in, a line for each frame out.

    Args:
        write: called with each line.
    """

    __slots__ = ("_compressed", "_opcode", "_write", "watch")

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._opcode = Opcode.CONTINUATION  # of the message under way
        self._compressed = False
        self.watch = FrameWatch(lambda frame: write(self._line(frame)), self._failed)

    def feed(self, data: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self.watch.feed(data)

    def _failed(self, error: ProtocolError, data: bytes) -> None:
        self._write(f"no frame, {error}: {_hex(data)}")

    def _line(self, frame: SeenFrame) -> str:
        header, payload = frame.header, frame.payload_start
        if header.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._opcode, self._compressed = header.opcode, header.rsv1
        words = [header.opcode.name]
        words += [name for name in ("fin", "rsv1", "rsv2", "rsv3") if getattr(header, name)]
        line = f"{' '.join(words)}, {header.payload_length} byte{'s' * (header.payload_length != 1)}"
        if header.masking_key is not None:
            payload = apply_mask(payload, header.masking_key)
        if header.opcode is Opcode.CLOSE:
            return f"{line}{_close(payload)}"
        opcode = self._opcode if header.opcode is Opcode.CONTINUATION else header.opcode
        if opcode in (Opcode.TEXT, Opcode.BINARY) and self._compressed:
            line += ", compressed"
        elif opcode is Opcode.TEXT:
            shown = payload[:_SHOWN_TEXT]
            return f"{line}: {_quoted(shown)}{'...' if header.payload_length > len(shown) else ''}"
        if not payload:
            return line
        return f"{line}: {_hex(payload)}"


def _close(payload: bytes) -> str:
    if len(payload) < 2:
        return ""
    reason = f" {_quoted(payload[2:], whole=True)}" if payload[2:] else ""
    return f": {int.from_bytes(payload[:2], 'big')}{reason}"


def _quoted(text: bytes, *, whole: bool = False) -> str:
    # A code point that is cut at the end is left out: what is shown ends anywhere.
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    return repr(decoder.decode(text, final=whole))


def _hex(data: bytes) -> str:
    return data[:_SHOWN_BYTES].hex(" ") + ("..." if len(data) > _SHOWN_BYTES else "")


class LoggedConnection(WatchedConnection):
    """A connection that has the frames which pass through it logged.

    Args:
        connection: one that nothing was received or sent on yet; not to be used itself any more.
        write: called with each line.
    """

    __slots__ = ("_write",)

    def __init__(self, connection: Connection, write: Callable[[str], None]) -> None:
        incoming = FrameLines(lambda line: write(f"< {line}"))
        outgoing = FrameLines(lambda line: write(f"> {line}"))
        super().__init__(connection, incoming.feed, outgoing.feed)
        self._write = write

    def end(self) -> None:
        """See `Connection`."""
        super().end()
        self._write(f"closed: {_escaped(str(self.closed_exception()))}")


def logged(connection: Connection, protocol: SocketProtocol) -> Connection:
    """Log the handshake that is done, and wrap the connection for what follows, if anybody is to see it."""
    logger = LOGGERS[connection.role]
    if not logger.isEnabledFor(logging.DEBUG):
        return connection
    peer = _address(protocol.remote_address)

    def write(line: str) -> None:
        logger.debug("%s %s", peer, line)

    _log_handshake(protocol, connection.role, write)
    return LoggedConnection(connection, write)


def log_abnormal_end(protocol: SocketProtocol, role: Role, error: ConnectionClosed) -> None:
    """Tell at INFO, as it may be any peer's doing, how a connection ended and what frames came before."""
    logger = LOGGERS[role]
    if not logger.isEnabledFor(logging.INFO):
        return
    frames = ", ".join(map(str, error.last_frames)) or "none"
    peer, story = _address(protocol.remote_address), _escaped(str(error))
    logger.info("%s ended abnormally: %s; last frames received: %s", peer, story, frames)


def _log_handshake(protocol: SocketProtocol, role: Role, write: Callable[[str], None]) -> None:
    asked, answered = ("<", ">") if role is Role.SERVER else (">", "<")
    request, response = protocol.request, protocol.response
    if request is not None:
        write(f"{asked} GET {_escaped(request.path)} HTTP/1.1")
        for name, value in request.headers.items():
            write(f"{asked} {_field(name, value)}")
    if response is not None:
        write(f"{answered} HTTP/1.1 {response.status}")
        for name, value in response.headers.items():
            write(f"{answered} {_field(name, value)}")


def _field(name: str, value: str) -> str:
    return f"{_escaped(name)}: {'(not shown)' if name.lower() in SECRET_FIELDS else _escaped(value)}"


def _escaped(text: str) -> str:
    return repr(text)[1:-1]


def _address(address: object) -> str:
    """``host:port`` of a TCP connection; Unix sockets' clients have no name."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return _escaped(str(address)) or "unix"
