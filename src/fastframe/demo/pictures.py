"""A picture to send, and what kind of picture some bytes are."""

from __future__ import annotations

import functools
import math
import struct
import zlib
from typing import Final

__all__ = ["kind_of", "painted"]

# By how they begin; SVG is none of them, since it can hold a program.
_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def kind_of(data: bytes) -> str | None:
    """The media type of a picture, None if it is none that is passed on."""
    for beginning, kind in _BEGINNINGS:
        if data.startswith(beginning):
            return kind
    # https://developers.google.com/speed/webp/docs/riff_container
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    # ISO/IEC 14496-12 section 4.3: a file type box, and the brand of AVIF.
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    return None


@functools.cache
def painted(width: int = 320, height: int = 180) -> bytes:
    """A PNG: ripples of two stones in water."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # RFC 2083 section 6: this row is not filtered
        for x in range(width):
            rows += _colour(x / height, y / height)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, data)
        for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b""))
    )


def _colour(x: float, y: float) -> bytes:
    near, far = math.hypot(x - 0.55, y - 0.62), math.hypot(x - 1.35, y - 0.3)
    wave = math.sin(near * 52) / (1 + 5 * near) + math.sin(far * 67) / (1 + 7 * far)
    light = 0.5 + 0.5 * math.tanh(1.6 * wave)
    depth = 0.35 + 0.65 * (1 - y)
    return bytes((int(18 + 150 * light * depth), int(74 + 150 * light * depth), int(78 + 118 * light)))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
