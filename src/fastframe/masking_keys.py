"""Masking keys: unpredictable, each used once (RFC 6455 section 10.3).

"The masking key needs to be unpredictable; thus, the masking key MUST be
derived from a strong source of entropy" (RFC 6455 section 5.3). Asking the
operating system for four bytes costs a system call, so keys are drawn from a
pool that one call fills for many.

The pool is one list for the process. `list.pop` hands an item to one thread
only, and a forked child empties its copy before it runs any other Python
code, so no key is ever used twice.
"""

from __future__ import annotations

import os
from array import array

__all__ = ["new_masking_key"]

KEYS_PER_REFILL = 256

pool: list[int] = []
"""Keys as unsigned 32-bit integers in native byte order; taken from the end."""


def refill() -> None:
    """Put `KEYS_PER_REFILL` new keys into the pool."""
    keys = array("I")
    keys.frombytes(os.urandom(keys.itemsize * KEYS_PER_REFILL))
    pool.extend(keys)


def take() -> int:
    """Take one key out of the pool, as an integer below 2**32."""
    while True:
        try:
            return pool.pop()
        except IndexError:
            refill()


def new_masking_key() -> bytes:
    """Return 4 unpredictable bytes that no other call has returned or will return by design.

    May be called from any thread, and in a forked child.
    """
    return take().to_bytes(4, "little")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.clear)
