"""Every input that is kept for a fuzz target, and every one that once failed, without any fuzzer."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fuzz import autobahn
from fuzz.catalogue import CORPUS, HERE, KERNELS, MODULES, OURS, REGRESSIONS, inputs, target

from fastframe import MessageDecoder, Ping, Role


@pytest.mark.parametrize("name", OURS)
def test_kept_inputs_still_pass(name: str) -> None:
    run = target(name)
    run(b"")
    for folder in (CORPUS, REGRESSIONS):
        for path in inputs(folder, name):
            run(path.read_bytes())


@pytest.mark.parametrize("name", [*autobahn.PLANS, "inflate"])
def test_recorded_streams_still_pass(name: str) -> None:
    run = target(name)
    recorded = list(autobahn.inputs(name))
    assert recorded
    for data in recorded:
        run(data)


@pytest.mark.parametrize("name", autobahn.PLANS)
def test_recorded_streams_arrive_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice more or less in a target would make them other bytes."""
    from fuzz import connection_targets, streams

    module, function = (connection_targets, "_argument") if name == "connection" else (streams, "wild")
    made: Any = getattr(module, function)
    given: list[bytes] = []

    def noting(*arguments: Any) -> Any:
        given.append(made(*arguments))
        return given[-1]

    monkeypatch.setattr(module, function, noting)
    expected = [wire for stream in autobahn.recorded().values() for wire in (autobahn.masked(stream), stream)]
    for data, wire in zip(autobahn.inputs(name), expected, strict=True):
        given.clear()
        target(name)(data)
        assert b"".join(given) == wire


def test_recorded_streams_say_what_their_cases_are_about() -> None:
    cases: dict[str, str | bytes | Ping] = {
        "1.1.2": "*" * 125,
        "1.2.2": b"\xfe" * 125,
        "2.2": Ping(b"Hello, world!"),
        "5.3": "fragment1fragment2",
    }
    for case, item in cases.items():
        stream = autobahn.recorded()[case]
        for role, wire in ((Role.CLIENT, stream), (Role.SERVER, autobahn.masked(stream))):
            assert MessageDecoder(role).receive(wire)[0] == item


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
