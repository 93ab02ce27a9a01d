"""Every input that is kept for a fuzz target, and every one that once failed, without any fuzzer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from fuzz.catalogue import CORPUS, HERE, KERNELS, MODULES, OURS, REGRESSIONS, inputs, target


@pytest.mark.parametrize("name", OURS)
def test_kept_inputs_still_pass(name: str) -> None:
    run = target(name)
    run(b"")
    for folder in (CORPUS, REGRESSIONS):
        for path in inputs(folder, name):
            run(path.read_bytes())


def test_the_catalogue_has_every_target() -> None:
    import importlib

    for module, names in MODULES.items():
        if module != "adapter_targets":
            assert tuple(importlib.import_module(f"fuzz.{module}").TARGETS) == names


@pytest.mark.skipif(shutil.which("gcc") is None, reason="not run: gcc not found")
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_pass_their_inputs(name: str, tmp_path: Path) -> None:
    kernels = HERE.parent.parent / "src" / "fastframe" / "_kernels"
    program = tmp_path / name
    command = ["gcc", "-std=c11", "-O1", "-Wno-unused-function", "-DREPLAY", f"-I{kernels}"]
    source = str(HERE / "kernels.c")
    subprocess.run(
        [*command, f"-DTARGET={name.removeprefix('kernel-')}", source, "-o", str(program)], check=True
    )
    empty = tmp_path / "empty"
    empty.touch()
    paths = [empty, *inputs(CORPUS, name), *inputs(REGRESSIONS, name)]
    ran = subprocess.run([str(program), *map(str, paths)], capture_output=True, text=True, check=True)
    assert ran.stdout == f"{len(paths)} inputs replayed\n"
