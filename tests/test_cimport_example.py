"""examples/cimport: another Cython module compiled against the installed fastframe, and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "cimport"


def run(directory: Path, *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.mark.skipif(
    os.environ.get("FASTFRAME_EXTENSION") == "0", reason="the pure half alone has nothing to cimport"
)
def test_example_builds_and_runs(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(EXAMPLE, tmp_path / "cimport", ignore=shutil.ignore_patterns("build")))
    run(directory, "setup.py", "build_ext", "--inplace")
    printed = run(directory, "run.py")
    assert printed == "4 frames, 70030 bytes of payload, 1 text frame that is not UTF-8\n"
