"""How a target is built and started: libFuzzer on the kernels, atheris on the rest."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fuzz.catalogue import HERE

COMPILER = "clang-16"
SANITIZERS = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined"]
KERNELS = HERE.parent.parent / "src" / "fastframe" / "_kernels"
PRELOADED = "asan_with_fuzzer.so"


def missing(name: str) -> str | None:
    """Why a target cannot run here, or None."""
    if not shutil.which(COMPILER):
        return f"{COMPILER} not found"
    if not name.startswith("kernel-") and importlib.util.find_spec("atheris") is None:
        version = ".".join(map(str, sys.version_info[:2]))
        return f"atheris has wheels for CPython 3.11 to 3.13 on Linux, this is {version} on {sys.platform}"
    return None


def build_kernel(name: str, folder: Path, *flags: str) -> Path:
    """The libFuzzer program of a kernel."""
    binary = folder / "-".join([name, *flags])
    command = [COMPILER, "-std=c11", "-O1", "-gline-tables-only", *SANITIZERS, f"-I{KERNELS}", *flags]
    target = f"-DTARGET={name.removeprefix('kernel-')}"
    subprocess.run([*command, target, str(HERE / "kernels.c"), "-o", str(binary)], check=True)
    return binary


def command(name: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """What to run, and in which environment; options of libFuzzer may follow."""
    environment = dict(os.environ)
    # The interpreter itself leaves memory behind at exit.
    environment["ASAN_OPTIONS"] = "detect_leaks=0:allocator_may_return_null=1"
    environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
    if name.startswith("kernel-"):
        return [str(build_kernel(name, folder))], environment
    environment.update(_for_atheris())
    return [sys.executable, "-m", "fuzz.one", name], environment


def _for_atheris() -> dict[str, str]:
    import atheris

    return {
        "FASTFRAME_EXTENSION": "1",
        "LD_PRELOAD": str(Path(atheris.path()) / PRELOADED),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Inside an arena of CPython's allocator a read outside an object hits another one.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(HERE.parent),
    }
