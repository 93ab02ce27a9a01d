"""The head of an HTTP message as raw bytes: cut out, measured and refused before it is parsed.

h11, which reads a client's heads, is lenient: it takes a bare LF for a line end, joins folded
lines and lets control characters pass. What one implementation takes and
another does not is what requests are smuggled with (CVE-2025-43859), so each
of these shapes is refused here, for both roles.

It protects h11 as well: a header line of spaces that ends in a character which
h11 does not allow takes its regular expression time quadratic in the spaces.
No such character gets past the check for control characters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .errors import HandshakeError

__all__ = ["HeadLimits", "HeadReader"]

# RFC 9110 section 5.5: visible characters, obs-text, space and tab; line ends are judged by themselves.
_ALLOWED = bytes([*b"\t\n\r", *range(0x20, 0x7F), *range(0x80, 0x100)])
_WHITE_SPACE = (b" ", b"\t")
_END = b"\r\n\r\n"


class HeadLimits(NamedTuple):
    """How much of a head is read."""

    max_header_count: int
    """Header fields at most."""
    max_header_size: int
    """Bytes in a line at most, the first one included, its CR LF not."""
    max_headers_bytes: int
    """Bytes in the whole head at most."""

    def check(self) -> HeadLimits:
        """Return the limits themselves.

        Raises:
            ValueError: one of them is below 1.
        """
        if min(self) < 1:
            name, limit = min(zip(self._fields, self, strict=True), key=lambda pair: pair[1])
            raise ValueError(f"{name} must be positive, got {limit}")
        return self


class HeadReader:
    """Collects a head, however it was cut, in time linear in its bytes.

    Args:
        limits: what to read at most.
        first_line: what the first line is called in error messages.
        failure: makes the exception to raise from a message and an HTTP status.
    """

    __slots__ = ("_buffer", "_failure", "_first_line", "_limits", "_line_count", "_line_start", "rest")

    def __init__(
        self, limits: HeadLimits, first_line: str, failure: Callable[[str, int], HandshakeError]
    ) -> None:
        self._limits = limits
        self._first_line = first_line
        self._failure = failure
        self._buffer: bytearray | None = None
        self._line_start = 0
        self._line_count = 0
        self.rest = b""
        """Bytes that came after the head, once it is complete."""

    def receive(self, data: bytes) -> bytes | None:
        """Take bytes of the socket.

        Returns:
            The head with its empty line, or None while more is needed.

        Raises:
            HandshakeError: made by `failure`: the head breaks the syntax of
                lines (400), its first line is too long (414), or a limit is
                exceeded (431).
        """
        buffer: bytes | bytearray = data
        known = 0
        if self._buffer is not None:
            buffer = self._buffer
            known = len(buffer)
            buffer += data
        end = buffer.find(_END, max(known - len(_END) + 1, 0))
        size = len(buffer) if end < 0 else end + len(_END)
        new = buffer[known:size]
        if b"\n" in new:
            self._check_lines(buffer[self._line_start : buffer.rfind(b"\n", 0, size) + 1])
        forbidden = new.translate(None, _ALLOWED)
        if forbidden:
            raise self._failure(f"control character 0x{forbidden[0]:02X} in the HTTP head", 400)
        # A CR may belong to the line end.
        self._check_line_size(size - self._line_start - 1)
        if size > self._limits.max_headers_bytes:
            raise self._failure(f"HTTP head exceeds {self._limits.max_headers_bytes} bytes", 431)
        if end < 0:
            self._buffer = bytearray(data) if self._buffer is None else self._buffer
            return None
        self._buffer = None
        self.rest = bytes(buffer[size:])
        return bytes(buffer[:size])

    def _check_lines(self, block: bytes | bytearray) -> None:
        """Judge one or more lines that have come in whole."""
        line_ends = block.count(b"\r\n")
        # RFC 9112 section 2.2 lets a recipient take a single LF for a line
        # end, and wants a bare CR refused; smugglers live on the difference.
        if block.count(b"\n") != line_ends:
            raise self._failure("LF without CR in the HTTP head", 400)
        if block.count(b"\r") != line_ends:
            raise self._failure("CR without LF in the HTTP head", 400)
        # RFC 9112 section 5.2: obs-fold; "a server that receives an obs-fold
        # in a request message [...] MUST either reject the message" or unfold it.
        if block.startswith(_WHITE_SPACE) or b"\n " in block or b"\n\t" in block:
            raise self._failure("line of the HTTP head begins with white space", 400)
        is_first = self._line_start == 0
        if len(block) > self._limits.max_header_size:
            lines = block.split(b"\r\n")
            if is_first:
                self._check_line_size(len(lines[0]))
            self._line_start += len(block)
            self._check_line_size(max(map(len, lines)))
        else:
            self._line_start += len(block)
        self._line_count += line_ends
        # All but the first line, and the empty one at the end, are fields.
        fields = self._line_count - (2 if block.endswith(b"\n\r\n") or block == b"\r\n" else 1)
        if fields > self._limits.max_header_count:
            raise self._failure(f"more than {self._limits.max_header_count} HTTP headers", 431)

    def _check_line_size(self, size: int) -> None:
        if size <= self._limits.max_header_size:
            return
        if self._line_start == 0:
            raise self._failure(f"{self._first_line} exceeds {self._limits.max_header_size} bytes", 414)
        raise self._failure(f"HTTP header exceeds {self._limits.max_header_size} bytes", 431)
