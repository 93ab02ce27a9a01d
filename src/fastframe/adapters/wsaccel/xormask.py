"""``wsaccel.xormask``: masking of a stream in chunks."""

from __future__ import annotations

from collections.abc import Sized
from typing import TYPE_CHECKING, TypeVar

from ...codec import Masker

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["XorMaskerNull", "XorMaskerSimple", "createXorMasker"]

_Sized = TypeVar("_Sized", bound=Sized)


class XorMaskerNull:
    """Counts bytes and changes none."""

    __slots__ = ("_pointer",)

    def __init__(self, mask: object = None, /) -> None:
        self._pointer = 0

    def pointer(self) -> int:
        """Bytes processed so far."""
        return self._pointer

    def reset(self) -> None:
        """Start a new payload."""
        self._pointer = 0

    def process(self, data: _Sized, /) -> _Sized:
        """Return `data` itself."""
        self._pointer += len(data)
        return data


class XorMaskerSimple:
    """Masks one payload that comes in chunks (RFC 6455 section 5.3).

    Args:
        mask: the masking key, 4 bytes.

    Raises:
        TypeError: `mask` is not bytes-like.
        ValueError: `mask` is not 4 bytes.
    """

    __slots__ = ("_key", "_masker")

    def __init__(self, mask: Buffer | None, /) -> None:
        # wsaccel takes None for nothing, everywhere.
        self._key = b"" if mask is None else bytes(memoryview(mask))
        self._masker = Masker(self._key)

    def pointer(self) -> int:
        """Bytes processed so far."""
        return self._masker.offset

    def reset(self) -> None:
        """Start a new payload with the same key."""
        self._masker = Masker(self._key)

    def process(self, data: Buffer | None, /) -> bytes:
        """Mask or unmask the next chunk."""
        return b"" if data is None else self._masker.process(data)


def createXorMasker(mask: Buffer | None, length: int | None = None, /) -> XorMaskerSimple:  # noqa: ARG001, N802
    """Return a masker; there is one for all lengths."""
    return XorMaskerSimple(mask)
