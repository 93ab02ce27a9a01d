"""What `import fastframe` costs a program that may never open a connection."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys

import pytest
from wire import half_modules

MILLISECONDS = 10
"""Of processor time, with the compiled Python files in the cache."""

COUNTING = 18
"""Milliseconds that Python takes to count to a million where those are meant.

A processor that is slower, or shares its core with a neighbour, is granted as
much more as it takes longer for that.
"""

PROCESSES = 15
MEASUREMENTS = 4

# Libraries that take longer to import than all of fastframe may.
HEAVY = {
    "asyncio",
    "contextlib",
    "dataclasses",
    "h11",
    "inspect",
    "isal",
    "logging",
    "pathlib",
    "platform",
    "re",
    "selectors",
    "socket",
    "ssl",
    "typing",
    "zlib_ng",
}

IMPORT = """
import json, sys, time
began = time.process_time()
sum(range(1_000_000))
counting = time.process_time() - began
before = set(sys.modules)
began = time.process_time()
import fastframe
took = time.process_time() - began
print(json.dumps([counting, took, fastframe.BACKEND, sorted(set(sys.modules) - before)]))
"""


def imported(half: str, source: str = IMPORT) -> tuple[float, list[str]]:
    """Milliseconds of a processor for the import in a fresh process, and the modules that it brought."""
    # Coverage, warnings as errors and the like are not what a user's process has.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["FASTFRAME_EXTENSION"] = "1" if half == "compiled" else "0"
    command = [sys.executable, "-c", source]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    counting, took, backend, modules = json.loads(ran.stdout)
    assert backend == half
    return 1000 * took / max(1, 1000 * counting / COUNTING), modules


@pytest.mark.parametrize("half", sorted(half_modules()))
def test_nothing_heavy_is_imported(half: str) -> None:
    _, modules = imported(half)
    assert "fastframe.codec" in modules
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("half", sorted(half_modules()))
def test_serve_brings_what_it_needs(half: str) -> None:
    """So the names looked for above are names that importing more would bring."""
    _, modules = imported(half, IMPORT.replace("import fastframe\n", "import fastframe; fastframe.serve\n"))
    assert set(modules) >= {"asyncio", "h11", "fastframe.aio.server"}


@pytest.mark.skipif(
    platform.python_implementation() != "CPython",
    reason="10 ms are for CPython, which runs what is cached at once",
)
@pytest.mark.parametrize("half", sorted(half_modules()))
def test_import_takes_less_than_10_ms(half: str) -> None:
    imported(half)
    medians: list[float] = []
    # A neighbour on the machine makes every process slower for a while: one quiet measurement is enough.
    while len(medians) < MEASUREMENTS and not (medians and min(medians) < MILLISECONDS):
        medians.append(statistics.median(imported(half)[0] for _ in range(PROCESSES)))
    assert min(medians) < MILLISECONDS, f"milliseconds: {medians}"
