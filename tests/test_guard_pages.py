"""checkers/guard_pages.py for each kernel, in processes of their own: what it looks for kills the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wire import half_modules

SCRIPT = Path(__file__).parent / "checkers" / "guard_pages.py"

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="not run: mprotect is called as Linux has it"),
    pytest.mark.skipif("compiled" not in half_modules(), reason="there is no extension to look at"),
]


def run(*arguments: str, kernel: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FASTFRAME_KERNEL": kernel} if kernel else dict(os.environ)
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_no_kernel_touches_a_byte_outside_compiled() -> None:
    from fastframe import _codec_c

    for kernel in _codec_c.KERNELS:
        ran = run(kernel=kernel)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.endswith(f"calls, kernel {kernel}\n")


def test_a_byte_outside_is_noticed() -> None:
    ran = run("--planted")
    # A sanitizer turns the signal into a report of its own.
    assert ran.returncode == -signal.SIGSEGV or "SEGV" in ran.stderr
    assert "survived" not in ran.stdout
