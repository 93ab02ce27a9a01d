"""CPython without the GIL: one that is there, or one built from Debian's source."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import parts
from .debian import Root, source
from .foreign import staged
from .interpreters import pytest, requirements
from .parts import Extent
from .running import CACHE, TargetError, need, output

RELEASE = "3.13"
SUITE = "trixie"
DESCRIBE = """
import sys, fastframe, fastframe.aio.server, fastframe.aio.websocket
print(fastframe.BACKEND, sys._is_gil_enabled())
"""


def built() -> Path:
    """An interpreter from Debian's source of Python, in the cache; about 5 minutes on two processors."""
    folder = CACHE / f"cpython-{RELEASE}t"
    python = folder / "bin" / f"python{RELEASE}t"
    if python.exists():
        return python
    need("gcc", "make", "tar")
    with tempfile.TemporaryDirectory() as place:
        archive = source(Root(SUITE, "amd64", (f"python{RELEASE}",)), Path(place))
        output("tar", "-xf", archive, "--strip-components=1", at=Path(place))
        # -O1 and no tests of its own: half of the time.
        options = ("--disable-gil", "--disable-test-modules", f"--prefix={folder}", "CFLAGS=-O1")
        output("./configure", "-q", *options, at=Path(place))
        output("make", "-s", f"-j{os.cpu_count()}", at=Path(place), limit=1800)
        output("make", "-s", "install", at=Path(place))
    return python


def choose() -> Path:
    for version in ("3.15", "3.14", RELEASE):
        found = shutil.which(f"python{version}t")
        # pyenv's shims stand on PATH for versions that are not switched on.
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return Path(found)
    return built()


def run(extent: Extent) -> None:
    interpreter = choose()
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        output(interpreter, "-m", "venv", environment)
        python = environment / "bin" / "python"
        pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        output(*pip, "--upgrade", "pip", "setuptools", "Cython")
        output(*pip, "--only-binary=:all:", *requirements())
        sources = staged(Path(folder) / "sources")
        output(*pip, "--no-build-isolation", "--no-deps", sources, environment={"FASTFRAME_EXTENSION": "1"})
        found = output(
            python, "-W", "error", "-c", DESCRIBE, environment={"FASTFRAME_EXTENSION": "1"}
        ).strip()
        if found != "compiled False":
            raise TargetError(f"the extension turned the GIL on, or is not there: {found}")
        chosen = parts.chosen(extent, "test_threads.py")
        pytest(python, "1", "-k", "not wsaccel and not uvloop", *chosen)
