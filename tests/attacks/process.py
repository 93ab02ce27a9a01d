"""A process that is attacked: started, watched from outside, ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

START_TIMEOUT = 20.0


class Variant(NamedTuple):
    half: str
    loop: str
    form: str

    def __str__(self) -> str:
        return "-".join(self)


def require(variant: Variant) -> None:
    """Skip where a process cannot be watched, and fail where what the variant needs is not installed."""
    from importlib.util import find_spec

    if sys.platform != "linux":
        pytest.skip("not run: memory and descriptors of another process are read from /proc, which Linux has")
    for needed in ("uvloop", "uvicorn"):
        if needed in variant and find_spec(needed) is None:
            pytest.fail(f"{needed} is not installed: make attacks does that")


class Process:
    """A program of this folder, which takes the form and the loop, and ends with its standard input."""

    def __init__(self, program: str, variant: Variant, *arguments: str) -> None:
        self.variant = variant
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(program)), variant.form, variant.loop, *arguments],
            env=os.environ | {"FASTFRAME_EXTENSION": "0" if variant.half == "pure" else "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def line(self, timeout: float = START_TIMEOUT) -> str:
        """The next line that it says; empty if it ended, or was ended because there was none in time."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(timeout, self._process.kill)
        watchdog.start()
        try:
            return self._process.stdout.readline().rstrip("\n")
        finally:
            watchdog.cancel()

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"{self.variant} did not end") from None

    def _status(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition(f"{name}:")[2].split()[0]) / 1024

    @property
    def memory(self) -> float:
        """Resident, in MiB."""
        return self._status("VmRSS")

    @property
    def peak(self) -> float:
        """The most that was resident since `forget_peak`, in MiB."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))
