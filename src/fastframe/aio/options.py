"""What options of `serve` and `connect` mean, and which values they may have."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING

from .._handshake_common import HANDSHAKE_HEADERS, refuse_headers
from ..deflate import PerMessageDeflate
from ..http_headers import Headers

if TYPE_CHECKING:
    from ..http_headers import HeadersLike

__all__ = [
    "check_callables",
    "check_limits",
    "check_port",
    "check_times",
    "checked_headers",
    "deflate_of",
]


def check_limits(
    *, max_size: object = None, max_fragments: object = None, backlog: object = 1, **in_bytes: object
) -> None:
    """Check the options that are whole numbers: they would fail in the middle of a connection.

    Args:
        max_size: bytes, or None.
        max_fragments: frames, or None.
        backlog: connections.
        in_bytes: other options in bytes, by their names.

    Raises:
        TypeError: one is no int.
        ValueError: one is negative, or no fragment or connection is allowed.
    """
    if max_size is not None:
        _check_whole("max_size", max_size)
    if max_fragments is not None:
        _check_whole("max_fragments", max_fragments, least=1)
    _check_whole("backlog", backlog, least=1)
    for name, value in in_bytes.items():
        _check_whole(name, value)


def check_times(*, close_timeout: object = 0, **optional: object) -> None:
    """Check the options that are seconds: they would fail in the middle of a connection.

    Args:
        close_timeout: seconds.
        optional: others by their names, or None.

    Raises:
        TypeError: one is no number; None is one only where it lifts a limit.
        ValueError: one is negative, not finite, or 0 and not `close_timeout`.
    """
    # Without an end to it, a peer that says nothing would be kept.
    _check_seconds("close_timeout", close_timeout)
    for name, value in optional.items():
        if value is not None:
            _check_seconds(name, value)
            if not value:
                raise ValueError(f"{name} must be more than 0 seconds, or None, got {value!r}")


def _check_seconds(name: str, value: object) -> None:
    # Read from the environment it is a string, and strings are compared with numbers much later.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number of seconds, got {value!r}")
    if not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number of seconds, at least 0, got {value!r}")


def check_port(port: object) -> None:
    """Check a port; what is no number, the system may know by its name.

    Raises:
        ValueError: there is no port of this number.
    """
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise ValueError(f"port must be in 0..65535, got {port}")


def check_callables(**functions: object) -> None:
    """Check options that are functions, or None.

    Raises:
        TypeError: one cannot be called.
    """
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function, got {function!r}")


def checked_headers(extra_headers: HeadersLike) -> Headers:
    """Header fields of the caller's, read once.

    Raises:
        ValueError: one is no proper one, or not the caller's to set.
    """
    headers = Headers(extra_headers)
    refuse_headers(headers, HANDSHAKE_HEADERS)
    return headers


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
