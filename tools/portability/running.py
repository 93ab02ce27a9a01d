"""How a target runs its commands, and how it says that it could not, or that it failed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"

# Debian's packages and interpreters built from them are kept here: a fresh clone need not fetch them again.
CACHE = Path(
    os.environ.get("FASTFRAME_PORTABILITY_CACHE") or Path.home() / ".cache" / "fastframe-portability"
)


class NotRunError(Exception):
    """The machine lacks what a target needs; the message says what."""


class TargetError(Exception):
    """A target has found something wrong."""


def need(*programs: str) -> None:
    """Raises NotRunError if one of these is not on PATH."""
    lacking = [program for program in programs if not shutil.which(program)]
    if lacking:
        raise NotRunError(f"{', '.join(lacking)} not found")


def run(
    *command: str | Path, at: Path = ROOT, environment: dict[str, str] | None = None, limit: float = 1800
) -> None:
    """Run a command that may print; `limit` in seconds. Raises TargetError unless it exits with 0."""
    words = [str(word) for word in command]
    try:
        subprocess.run(words, cwd=at, env=os.environ | (environment or {}), timeout=limit, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise TargetError(str(error)) from None


def output(
    *command: str | Path, at: Path = ROOT, environment: dict[str, str] | None = None, limit: float = 900
) -> str:
    """What a command prints on stdout. Raises TargetError with all that it printed unless it exits with 0."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        cwd=at,
        env=os.environ | (environment or {}),
        timeout=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise TargetError(f"{' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout
