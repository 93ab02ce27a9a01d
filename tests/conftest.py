"""The `codec` fixture: every codec test runs on both halves.

Environment: FASTFRAME_EXTENSION=0 leaves the pure half alone, for machines and
CI runs without the extension; otherwise a missing extension fails the tests.
HYPOTHESIS_PROFILE=thorough runs more random examples.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import Any

import hypothesis
import pytest
from wire import half_modules

hypothesis.settings.register_profile("quick", max_examples=60, deadline=None, print_blob=True)
hypothesis.settings.register_profile("thorough", max_examples=5000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# Tests reach their own servers directly, whatever the environment says of proxies.
if any(name.lower().endswith("_proxy") for name in os.environ):
    direct = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", "127.0.0.1", "::1"]
    os.environ["no_proxy"] = ",".join(filter(None, direct))


@pytest.fixture(scope="session", params=sorted(half_modules()))
def codec(request: pytest.FixtureRequest) -> ModuleType:
    """One half of the codec, imported by its own name."""
    return importlib.import_module(half_modules()[request.param])


@pytest.fixture(scope="session")
def halves() -> dict[str, ModuleType]:
    """All halves under test at once, for comparing them."""
    return {name: importlib.import_module(module) for name, module in half_modules().items()}


def _in_mmap(data: bytes) -> mmap.mmap:
    memory = mmap.mmap(-1, max(len(data), 1))
    memory.write(data)
    return memory


# Each makes an object whose bytes, as bytes(memoryview(...)) has them, are `data`.
BYTES_LIKE: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "memoryview-inside": lambda data: memoryview(b"<" + data + b">")[1:-1],
    "memoryview-strided": lambda data: memoryview(b"".join(bytes([byte, 0xEE]) for byte in data))[::2],
    "memoryview-reversed": lambda data: memoryview(data[::-1])[::-1],
    "memoryview-signed": lambda data: memoryview(data).cast("b"),
    "memoryview-chars": lambda data: memoryview(data).cast("c"),
    "ctypes-array": lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
    "array-B": lambda data: array("B", data),
    "mmap-view": lambda data: memoryview(_in_mmap(data))[: len(data)],
}


@pytest.fixture(params=sorted(BYTES_LIKE))
def bytes_like(request: pytest.FixtureRequest) -> Callable[[bytes], Any]:
    """A function that turns bytes into another object with the same bytes."""
    return BYTES_LIKE[request.param]
