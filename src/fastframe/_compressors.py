"""What compresses: isal, zlib-ng or zlib, behind one call.

The first two come with the extra ``deflate`` and are looked for in this order.
The environment variable FASTFRAME_DEFLATE names one of the three (``zlib``,
``zlib-ng`` or ``isal``), which must then be there.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BACKENDS", "DEFLATE_BACKEND", "Compressor", "NewCompressor", "new_compressor"]


class Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


# zlib.h has the number; PyPy's module has no name for it.
_Z_RLE = getattr(zlib, "Z_RLE", 3)

# Takes window bits, level and memory level, in zlib's terms.
NewCompressor: TypeAlias = Callable[[int, int, int], Compressor]


def _zlib_compressor(window_bits: int, level: int, memory_level: int) -> Compressor:
    if window_bits == 8:
        # deflateInit2 of zlib.h: "a window size of 256 bytes" is not supported
        # for raw deflate. A larger window is harmless if no match reaches far
        # back, and Z_RLE is documented to "limit match distances to one".
        return zlib.compressobj(level, zlib.DEFLATED, -9, memory_level, _Z_RLE)
    return zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)


def _load_zlib() -> NewCompressor:
    return _zlib_compressor


def _load_zlib_ng() -> NewCompressor:
    zlib_ng: Any = importlib.import_module("zlib_ng.zlib_ng")

    def new_compressor(window_bits: int, level: int, memory_level: int) -> Compressor:
        if window_bits == 8:
            return _zlib_compressor(window_bits, level, memory_level)
        compressor: Compressor = zlib_ng.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)
        return compressor

    return new_compressor


def _load_isal() -> NewCompressor:
    version: str = importlib.import_module("isal").__version__
    if tuple(int(number) for number in version.split(".")[:2]) < (1, 9):
        raise ImportError(f"isal {version} has no fixed codes; 1.9 or later is needed")
    isal: Any = importlib.import_module("isal.isal_zlib")

    def new_compressor(window_bits: int, level: int, memory_level: int) -> Compressor:
        if window_bits == 8:
            return _zlib_compressor(window_bits, level, memory_level)
        # isal has levels 0 to 3 and takes far more memory at each memory level.
        # Its level 0 writes a table of codes with every message, which doubles
        # small ones, unless told to use the fixed codes.
        isal_level, strategy = (0, isal.Z_FIXED) if level == 1 else (1 if level <= 6 else 3, 0)
        compressor: Compressor = isal.compressobj(
            isal_level, zlib.DEFLATED, -window_bits, max(1, memory_level - 4), strategy
        )
        return compressor

    return new_compressor


# In the order in which they are looked for.
BACKENDS: Mapping[str, Callable[[], NewCompressor]] = {
    "isal": _load_isal,
    "zlib-ng": _load_zlib_ng,
    "zlib": _load_zlib,
}


def _choose_backend() -> tuple[str, NewCompressor]:
    wanted = os.environ.get("FASTFRAME_DEFLATE", "")
    if wanted:
        if wanted not in BACKENDS:
            raise ImportError(f"FASTFRAME_DEFLATE must be one of {', '.join(BACKENDS)}, got {wanted!r}")
        return wanted, BACKENDS[wanted]()
    for name in ("isal", "zlib-ng"):
        try:
            return name, BACKENDS[name]()
        except ImportError:
            pass
    return "zlib", _load_zlib()


_backend_name, _new_compressor = _choose_backend()

new_compressor: NewCompressor = _new_compressor
"""Makes a compressor that begins with an empty window."""

DEFLATE_BACKEND: Final[str] = _backend_name
"""What compresses: ``"isal"``, ``"zlib-ng"`` or ``"zlib"``."""
