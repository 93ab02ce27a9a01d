"""The extension cross-compiled by setup.py, and the suite on it by emulation of the processor."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from . import parts
from .debian import Root, unpacked
from .interpreters import Foreign, create, install, pytest, requirements
from .parts import Extent
from .running import ROOT, NotRunError, TargetError, need, output

# Debian's release by the Python of this process: the build takes that one's headers and configuration.
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}


class Processor(NamedTuple):
    machine: str
    """As platform.machine() has it; so are GNU's and qemu's tools named."""
    debian: str
    byte_order: str
    kernels: str


AARCH64 = Processor("aarch64", "arm64", "little", "neon portable")
S390X = Processor("s390x", "s390x", "big", "portable")

DESCRIBE = """
import platform, sys
import fastframe._codec_c as half
print(platform.machine(), sys.byteorder, *half.KERNELS)
"""


def staged(folder: Path) -> Path:
    """A copy of the sources that may be built in."""
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "src",
        folder / "src",
        ignore=shutil.ignore_patterns("*.egg-info", "__pycache__", "*.so", "*.c"),
    )
    return folder


def wheel(processor: Processor, root: Path, folder: Path) -> Path:
    """Cross-compile: sysconfig of that processor's Python names compiler, flags and suffix to setuptools."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    configuration = f"_sysconfigdata__{processor.machine}-linux-gnu"
    (folder / "configuration").mkdir()
    shutil.copy(root / f"usr/lib/{version}/{configuration}.py", folder / "configuration")
    headers = root / "usr/include"
    output(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
        *("--no-build-isolation", "--no-deps", "--wheel-dir", folder, staged(folder / "sources")),
        environment={
            "PYTHONPATH": str(folder / "configuration"),
            "_PYTHON_SYSCONFIGDATA_NAME": configuration,
            "_PYTHON_HOST_PLATFORM": f"linux-{processor.machine}",
            "FASTFRAME_EXTENSION": "1",
            "FASTFRAME_CFLAGS": os.environ.get("FASTFRAME_CFLAGS", ""),
            "CFLAGS": f"-I{headers / version} -I{headers}",
        },
    )
    return next(folder.glob(f"fastframe-*linux_{processor.machine}.whl"))


def run(processor: Processor, extent: Extent) -> None:
    version = sys.version_info[:2]
    if version not in SUITES:
        raise NotRunError(f"Debian has no Python {version[0]}.{version[1]} to emulate")
    emulator = f"qemu-{processor.machine}-static"
    need(emulator, f"{processor.machine}-linux-gnu-gcc")
    name = f"python{version[0]}.{version[1]}"
    root = unpacked(Root(SUITES[version], processor.debian, (name, f"lib{name}-dev")))
    foreign = Foreign(
        launcher=f"{emulator} -0 {{python}} -L {{root}}",
        program=f"usr/bin/{name}",
        library=f"lib/{name}/site-packages",
        version=f"{version[0]}.{version[1]}",
        implementation="cp",
        platforms=tuple(
            f"{kind}_{processor.machine}" for kind in ("manylinux_2_28", "manylinux2014", "linux")
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "environment"
        python = create(foreign, root, environment)
        install(foreign, environment, *requirements(), wheel(processor, root, Path(folder)))
        found = output(python, "-c", DESCRIBE).strip()
        if found != f"{processor.machine} {processor.byte_order} {processor.kernels}":
            raise TargetError(f"this is not what was to be tested: {found}")
        # uvloop and wsaccel are compiled packages that not all processors have wheels of.
        wanted = "not wsaccel and not uvloop" + ("" if extent is Extent.WHOLE else " and not pure")
        pytest(python, "1", "-k", wanted, *parts.chosen(extent, *parts.BACKEND))
