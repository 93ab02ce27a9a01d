"""A small grammar over bytes: each byte of an input is a choice, so that a mutation is a change of plan.

An input that has run out chooses 0 for ever: the plainest of everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

# Where headers, kernels and limits change their minds.
SIZES = [0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 124, 125, 126, 127, 128, 200, 255, 256, 300, 1000]
LARGE_SIZES = [65535, 65536, 65537, 70_001]
ALPHABETS = ["plain ASCII ", "Zoë naïve café ", "日本語 русский ", "𝄞🎉 a "]


class Choices:
    """Reads choices from the front of `data`."""

    __slots__ = ("_data", "_place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        """Whether any are left."""
        return self._place < len(self._data)

    def byte(self) -> int:
        if not self:
            return 0
        self._place += 1
        return self._data[self._place - 1]

    def below(self, limit: int) -> int:
        """A number below `limit`, of one byte where that is enough."""
        number = self.byte()
        return (number if limit <= 256 else number << 8 | self.byte()) % limit

    def flag(self) -> bool:
        return self.byte() & 1 == 1

    def rarely(self) -> bool:
        return self.byte() >= 0xE0

    def pick(self, of: Sequence[T]) -> T:
        return of[self.below(len(of))]

    def take(self, size: int) -> bytes:
        """The next bytes as they are; fewer at the end."""
        taken = self._data[self._place : self._place + size]
        self._place += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def text(self) -> str:
        """Valid text, of any script and size."""
        kind = self.byte()
        if kind < 0x80:
            return self.take(kind % 24).decode("latin-1")
        alphabet = ALPHABETS[kind % len(ALPHABETS)]
        size = self.pick(SIZES)
        return (alphabet * (size // len(alphabet) + 1))[:size]

    def payload(self, large: bool = False) -> bytes:
        """Raw bytes, valid text, nearly valid text, or a run of some bytes."""
        kind = self.byte()
        if kind < 0x60:
            return self.take(kind % 32)
        if kind < 0xA0:
            return self.text().encode()
        if kind < 0xD0:
            text = bytearray(self.text().encode())
            if text:
                text[self.below(len(text))] ^= self.byte()
            return bytes(text)
        sizes = [*SIZES, *LARGE_SIZES] if large else SIZES
        if kind < 0xE8:
            return bytes([self.byte()]) * self.pick(sizes)
        # What is wrong for longer than kernels look at in one go, and then something else.
        unit, end, size = self.take(1 + kind % 4), self.take(kind // 4 % 4), self.pick(sizes)
        return (unit * size)[:size] + end

    def cut(self, data: bytes) -> list[bytes]:
        """`data` in pieces: whole, a byte at a time, or cut anywhere."""
        kind = self.byte()
        if kind < 0x40:
            return [data]
        if kind < 0x60:
            return [data[i : i + 1] for i in range(min(len(data), 400))] + [data[400:]]
        places = sorted(self.below(len(data) + 1) for _ in range(kind % 6))
        return [data[start:end] for start, end in pairwise([0, *places, len(data)])]
