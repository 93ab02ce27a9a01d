"""Environments of interpreters that this machine cannot run by themselves."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import NamedTuple

from .running import TESTS, output, run

# What the suite's parts need beside fastframe; their bounds are those of these extras.
TESTING = ("anyio", "h11", "hypothesis", "prompt-toolkit", "pyte", "pytest", "websockets", "wsproto")
EXTRAS = ("'cli'", "'test'")


class Foreign(NamedTuple):
    """An interpreter in the folder `root`, run by `launcher`, a command before its name.

    `launcher` holds {python} for what the interpreter is to call itself, and {root} for its folder.
    """

    launcher: str
    program: str
    library: str
    """The environment's folder of packages."""
    version: str
    implementation: str
    """As in the tags of wheels: cp or pp."""
    platforms: tuple[str, ...]
    """For pip, with the most general one last."""


def create(foreign: Foreign, root: Path, environment: Path) -> Path:
    """Lay an environment, and return its python: a script that any program on this machine can start.

    The script is this machine's to run, and so are those that the interpreter starts by sys.executable.
    """
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    (environment / foreign.library).mkdir(parents=True)
    program = root / foreign.program
    (environment / "pyvenv.cfg").write_text(
        f"home = {program.parent}\ninclude-system-site-packages = false\n"
    )
    launcher = foreign.launcher.format(python=shlex.quote(str(python)), root=shlex.quote(str(root)))
    python.write_text(f'#!/bin/sh\nexec {launcher} {shlex.quote(str(program))} "$@"\n')
    python.chmod(0o755)
    return python


def requirements(names: tuple[str, ...] = TESTING) -> list[str]:
    """The requirements of those names, as the metadata of the installed fastframe have them."""
    found = {}
    for requirement in requires("fastframe") or []:
        specifier, _, marker = requirement.partition(";")
        name = re.split(r"[^A-Za-z0-9._-]", specifier.strip(), maxsplit=1)[0]
        wanted = "extra" not in marker or any(extra in marker.replace('"', "'") for extra in EXTRAS)
        if name in names and wanted:
            found[name] = specifier.strip()
    missing = set(names) - set(found)
    assert not missing, f"no requirement, nor one of the extras {EXTRAS}: {missing}"
    return sorted(found.values())


def install(foreign: Foreign, environment: Path, *packages: str | Path) -> None:
    """Install wheels into an environment whose interpreter pip need not run."""
    platforms = [word for platform in foreign.platforms for word in ("--platform", platform)]
    output(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--target", str(environment / foreign.library), "--upgrade", "--only-binary=:all:", *platforms),
        *("--python-version", foreign.version, "--implementation", foreign.implementation),
        *packages,
    )


def pytest(python: Path, half: str, *arguments: str, limit: float = 1800) -> None:
    """Run parts of the suite, from its folder; `half` is the value of FASTFRAME_EXTENSION."""
    run(
        *(python, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "--rootdir", TESTS.parent),
        *arguments,
        at=TESTS,
        # isal and zlib-ng are not installed: not all have wheels of them.
        environment={"FASTFRAME_EXTENSION": half, "FASTFRAME_DEFLATE": "zlib", "PYTHONDONTWRITEBYTECODE": ""},
        limit=limit,
    )
