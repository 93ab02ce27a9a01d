"""checkers/lead_rows.py on each kernel, in processes of their own: what it looks for never returns."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType


def test_long_rows_of_cut_code_points_are_judged_by_every_kernel(codec: ModuleType) -> None:
    half = {"_codec_c": "1", "_codec_py": "0"}[codec.__name__.rpartition(".")[2]]
    command = [sys.executable, "-m", "checkers.lead_rows", codec.__name__]
    for kernel in codec.KERNELS:
        environment = {**os.environ, "FASTFRAME_EXTENSION": half, "FASTFRAME_KERNEL": kernel}
        ran = subprocess.run(
            command,
            env=environment,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (ran.stdout, ran.returncode) == (f"{kernel}\n", 0), ran.stderr
