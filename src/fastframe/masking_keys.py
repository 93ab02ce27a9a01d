"""Masking keys: unpredictable, each used once (RFC 6455 section 10.3).

"The masking key needs to be unpredictable; thus, the masking key MUST be
derived from a strong source of entropy" (RFC 6455 section 5.3). Asking the
operating system for four bytes costs a system call, so one call fills a pool
of blocks, and an encoder takes a block of keys at a time.

`list.pop` hands a block to one thread only, and an encoder belongs to one
thread at a time. A forked child empties its copy of the pool before it runs
any other Python code, and changes `generation`, which tells its encoders that
the block they hold is the parent's to use up.
"""

from __future__ import annotations

import os

__all__ = ["MaskingKeys", "generation", "new_masking_key", "take_block"]

BLOCK_SIZE = 256
"""Bytes in a block: 64 keys."""

_BLOCKS_PER_REFILL = 16

_blocks: list[bytes] = []

generation = bytearray(8)
"""Differs between a process and what was forked from it; it never moves in memory."""


def take_block() -> bytes:
    """Take `BLOCK_SIZE` unpredictable bytes, which nobody else gets. Any thread may."""
    while True:
        try:
            return _blocks.pop()
        except IndexError:
            randomness = os.urandom(BLOCK_SIZE * _BLOCKS_PER_REFILL)
            _blocks.extend(
                randomness[start : start + BLOCK_SIZE] for start in range(0, len(randomness), BLOCK_SIZE)
            )


class MaskingKeys:
    """The keys of one encoder. It belongs to one thread at a time."""

    __slots__ = ("_block", "_generation", "_position")

    def __init__(self) -> None:
        self._block = b""
        self._position = 0
        self._generation = b""

    def take(self) -> bytes:
        """Take the next key, 4 bytes."""
        position = self._position
        if position == len(self._block) or self._generation != generation:
            self._block = take_block()
            self._generation = bytes(generation)
            position = 0
        self._position = position + 4
        return self._block[position : position + 4]


def new_masking_key() -> bytes:
    """Return 4 unpredictable bytes, straight from the operating system. Any thread may call it."""
    return os.urandom(4)


def _start_generation() -> None:
    _blocks.clear()
    generation[:] = (int.from_bytes(generation, "little") + 1).to_bytes(len(generation), "little")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_generation)
