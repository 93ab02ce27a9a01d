"""The wheel without the extension, on PyPy of Debian's current stable release."""

from __future__ import annotations

import platform
import sys
import tempfile
from pathlib import Path

from . import parts
from .debian import Root, unpacked
from .foreign import staged
from .interpreters import Foreign, create, install, pytest, requirements
from .parts import Extent
from .running import NotRunError, TargetError, output

SUITE = "trixie"
VERSION = "3.11"
DEBIAN = {"x86_64": ("amd64", "usr/lib64/ld-linux-x86-64.so.2")}
DESCRIBE = "import platform, fastframe; print(platform.python_implementation(), fastframe.BACKEND)"


def run(extent: Extent) -> None:
    machine = platform.machine()
    if machine not in DEBIAN:
        raise NotRunError(f"PyPy is fetched for {', '.join(DEBIAN)} only")
    architecture, loader = DEBIAN[machine]
    root = unpacked(Root(SUITE, architecture, ("pypy3",)))
    libraries = f"{{root}}/usr/lib/{machine}-linux-gnu"
    foreign = Foreign(
        # That release's own loader and libraries: this machine's may be older.
        launcher=f"{{root}}/{loader} --argv0 {{python}} --library-path {libraries}",
        program="usr/bin/pypy3",
        library=f"lib/pypy{VERSION}/site-packages",
        version=VERSION,
        implementation="pp",
        platforms=(f"manylinux_2_28_{machine}", f"manylinux2014_{machine}"),
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        python = create(foreign, root, environment)
        output(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-build-isolation", "--no-deps", "--wheel-dir", folder, staged(Path(folder) / "sources")),
            environment={"FASTFRAME_EXTENSION": "0"},
        )
        pure = next(Path(folder).glob("fastframe-*-py3-none-any.whl"))
        install(foreign, environment, *requirements(), pure)
        found = output(python, "-c", DESCRIBE).strip()
        if found != "PyPy pure":
            raise TargetError(f"this is not what was to be tested: {found}")
        pytest(python, "0", "-k", "not uvloop", *parts.chosen(extent))
