"""Sub-interpreters: the extension belongs to the main one, and others fall back to the pure half."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastframe import BACKEND

# Run in a process of its own: a sub-interpreter that goes wrong takes the process with it.
PROGRAM = """
import ssl  # CPython 3.12.1 aborts where a sub-interpreter is the first to import it, without fastframe too
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import fastframe
inner = '''
import fastframe
from fastframe import MessageDecoder, Role, apply_mask
assert apply_mask(b"Hello", b"\\\\x37\\\\xfa\\\\x21\\\\x3d") == b"\\\\x7f\\\\x9f\\\\x4d\\\\x51\\\\x58"
assert MessageDecoder(Role.CLIENT).receive(b"\\\\x81\\\\x05Hello") == ["Hello"]
import fastframe.aio.websocket
print("inside", fastframe.BACKEND, flush=True)
'''
for _ in range(3):
    made = interpreters.create()
    failed = interpreters.run_string(made, inner)
    if failed is not None:
        sys.exit(str(failed))
    interpreters.destroy(made)
assert fastframe.MessageDecoder(fastframe.Role.CLIENT).receive(b"\\x81\\x05Hello") == ["Hello"]
print("outside", fastframe.BACKEND)
"""


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="sub-interpreters are CPython's")
def test_a_subinterpreter_runs_the_pure_half_and_the_main_one_goes_on() -> None:
    environment = {**os.environ, "FASTFRAME_EXTENSION": "0" if BACKEND == "pure" else ""}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == [*["inside", "pure"] * 3, "outside", BACKEND]
