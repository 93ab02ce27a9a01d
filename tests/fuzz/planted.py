"""Faults that are there to be found, so that it shows when the fuzzers find nothing any more.

They hide behind bytes that have to be guessed one after another, which takes coverage.
"""

from __future__ import annotations

import ctypes


def _is_deep_in(data: bytes) -> bool:
    if data[:1] != b"F":
        return False
    if data[1:2] != b"I":
        return False
    return data[2:3] == b"N"


def wrong(data: bytes) -> None:
    """A comparison that fails."""
    if _is_deep_in(data):
        raise AssertionError("the planted fault")


def overread(data: bytes) -> None:
    """A read of 64 bytes behind an object, which only AddressSanitizer sees."""
    if _is_deep_in(data):
        room = ctypes.create_string_buffer(len(data))
        ctypes.string_at(ctypes.addressof(room), len(data) + 64)


TARGETS = {"planted-wrong": wrong, "planted-overread": overread}
