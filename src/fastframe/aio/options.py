"""What options of `serve` and `connect` mean, and which values they may have."""

from __future__ import annotations

from ..deflate import PerMessageDeflate

__all__ = ["check_limits", "deflate_of"]


def check_limits(*, max_size: object, max_fragments: object, **in_bytes: object) -> None:
    """Check the options that are whole numbers: they would fail in the middle of a connection.

    Args:
        max_size: bytes, or None.
        max_fragments: frames, or None.
        in_bytes: other options in bytes, by their names.

    Raises:
        TypeError: one is no int.
        ValueError: one is negative, or no fragment is allowed.
    """
    if max_size is not None:
        _check_whole("max_size", max_size)
    if max_fragments is not None:
        _check_whole("max_fragments", max_fragments, least=1)
    for name, value in in_bytes.items():
        _check_whole(name, value)


def _check_whole(name: str, value: object, least: int = 0) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def deflate_of(compression: str | PerMessageDeflate | None) -> PerMessageDeflate | None:
    """What the option `compression` means.

    Raises:
        ValueError: it means nothing.
    """
    if compression is None or isinstance(compression, PerMessageDeflate):
        return compression
    if compression == "deflate":
        return PerMessageDeflate()
    raise ValueError(f"compression must be 'deflate', a PerMessageDeflate or None, got {compression!r}")
