"""Prints the other Pythons of this machine that the suite can run on, or those of the versions that are
named: a line "VERSION PATH" each.

A version is looked for on PATH, then among pyenv's. One that is missing, or that lacks what building in
an environment takes, is named on stderr as "not run: ...". That of the Python which runs this is left
out: `make test` and `make test-pure` have it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.10", "3.11", "3.12", "3.13")

# Run by the candidate itself: its version, and what it lacks.
EXAMINE = """
import os, sys, sysconfig
lacks = []
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    lacks.append("Python.h")
try:
    import ensurepip, venv
except ImportError:
    lacks.append("ensurepip")
print("%d.%d" % sys.version_info[:2], ",".join(lacks))
"""


def candidates(version: str) -> list[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), key=patch_number)
    on_path = shutil.which(f"python{version}")
    return ([on_path] if on_path else []) + [str(path) for path in reversed(installed)]


def patch_number(path: Path) -> tuple[int, ...]:
    numbers = path.parents[1].name.split(".")
    return tuple(int(number) for number in numbers if number.isdigit())


def lacking(python: str, version: str) -> str | None:
    """What `python` lacks, "" if nothing; None if it is not a Python of this version that runs."""
    answer = subprocess.run([python, "-c", EXAMINE], capture_output=True, text=True, check=False)
    found, _, lacks = answer.stdout.strip().partition(" ")
    # pyenv's shims stand on PATH for versions that are not switched on, and exit with 127.
    return lacks if answer.returncode == 0 and found == version else None


def choose(version: str) -> str | None:
    """The path of the Python to use, or None, with the reason on stderr."""
    reason = "not on this machine"
    for python in candidates(version):
        lacks = lacking(python, version)
        if lacks == "":
            return python
        if lacks:
            reason = f"{python} lacks {lacks}"
    print(f"not run: Python {version}: {reason}", file=sys.stderr)
    return None


def main() -> int:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    chosen = {version: choose(version) for version in sys.argv[1:] or VERSIONS if version != own}
    print("\n".join(f"{version} {python}" for version, python in chosen.items() if python))
    return 0


if __name__ == "__main__":
    sys.exit(main())
