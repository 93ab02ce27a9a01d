"""The fragments of one message, as the application gives them."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any

__all__ = ["each", "is_fragmented"]


def is_fragmented(message: object) -> bool:
    """Tell whether it is an iterable of fragments; False for what is bytes-like.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(message, Mapping):
        raise TypeError("a mapping is no message; its keys would be sent as fragments")
    try:
        memoryview(message)  # type: ignore[arg-type]
    except TypeError:
        if not isinstance(message, (Iterable, AsyncIterable)):
            raise TypeError(
                f"message must be str, bytes-like or an iterable of them, not {type(message).__name__}"
            ) from None
        return True
    return False


async def each(fragments: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    """Give each fragment, whichever kind of iterable it is in."""
    if isinstance(fragments, AsyncIterable):
        async for fragment in fragments:
            yield fragment
    else:
        for fragment in fragments:
            yield fragment
