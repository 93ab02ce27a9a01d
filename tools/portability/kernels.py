"""The C tests of the kernels, for processors that only zig compiles for."""

from __future__ import annotations

import sys

from .parts import Extent
from .running import TESTS
from .running import run as run_command


def run(extent: Extent) -> None:
    run_command(sys.executable, TESTS / "kernels" / "run.py", "--zig", "--all")
