"""The checks of what is released, on wheels made wrong; README and `make portability` against workflows."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from test_backend import COMPILED_TOO

from tools.portability.__main__ import TARGETS
from tools.wheels import building, configuration, contents, matrix

SOURCES = {"fastframe/__init__.py", "fastframe/py.typed", "fastframe/_codec_c.pxd"}
EXTENSIONS = {"fastframe/_codec_c", "fastframe/aio/protocol"}
TAG = "cp311-cp311-manylinux_2_17_x86_64"
COMPILED = {f"{name}.cpython-311-x86_64-linux-gnu.so" for name in EXTENSIONS}
METADATA = {f"fastframe-0.1.0.dist-info/{name}" for name in contents.METADATA}


def wheel(directory: Path, tag: str, names: set[str], pure: bool, padding: int = 0) -> Path:
    """A wheel of files with nothing in them."""
    path = directory / f"fastframe-0.1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(names | METADATA):
            text = f"Root-Is-Purelib: {str(pure).lower()}\n" if name.endswith("/WHEEL") else ""
            archive.writestr(name, text + " " * padding * name.endswith("__init__.py"))
    return path


def faults(path: Path) -> list[str]:
    return contents.wheel_faults(path, SOURCES, EXTENSIONS)


def test_nothing_is_wrong_with_what_is_right(tmp_path: Path) -> None:
    assert faults(wheel(tmp_path, TAG, SOURCES | COMPILED, pure=False)) == []
    assert faults(wheel(tmp_path, "py3-none-any", SOURCES, pure=True)) == []
    windows = {f"{name}.cp314t-win_amd64.pyd" for name in EXTENSIONS}
    assert faults(wheel(tmp_path, "cp314-cp314t-win_amd64", SOURCES | windows, pure=False)) == []


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (SOURCES, "lacks the extension module fastframe/_codec_c"),
        (SOURCES | COMPILED - {min(COMPILED)}, "lacks the extension module fastframe/_codec_c"),
        (SOURCES - {"fastframe/py.typed"} | COMPILED, "lacks fastframe/py.typed"),
        (SOURCES | COMPILED | {"fastframe/_codec_c.c"}, "should not have fastframe/_codec_c.c"),
        (SOURCES | COMPILED | {"fastframe/_codec_c.pyx"}, "should not have fastframe/_codec_c.pyx"),
        (SOURCES | COMPILED | {"tests/test_wheels.py"}, "should not have tests/test_wheels.py"),
        (SOURCES | COMPILED | {"fastframe.libs/libz.so"}, "should not have fastframe.libs/libz.so"),
        (SOURCES | {name.replace("311", "312") for name in COMPILED}, "is not for cp311"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, names: set[str], fault: str) -> None:
    assert any(fault in found for found in faults(wheel(tmp_path, TAG, names, pure=False)))


def test_pure_wheel_has_nothing_compiled(tmp_path: Path) -> None:
    found = faults(wheel(tmp_path, "py3-none-any", SOURCES | COMPILED, pure=True))
    assert found == [f"should not have {name}" for name in sorted(COMPILED)]
    assert faults(wheel(tmp_path, TAG, SOURCES | COMPILED, pure=True)) == [
        "is not pure by its name, and its WHEEL says otherwise"
    ]


def test_size_is_limited(tmp_path: Path) -> None:
    (found,) = faults(wheel(tmp_path, TAG, SOURCES | COMPILED, pure=False, padding=contents.MAX_WHEEL_SIZE))
    assert re.fullmatch(r"\d+ bytes, at most 614399 are allowed", found)


def test_every_module_that_setup_compiles_is_looked_for() -> None:
    as_they_stand = {f"fastframe/{name.replace('.', '/')}" for name in COMPILED_TOO}
    assert contents.extension_modules() == {"fastframe/_codec_c", "fastframe/aio/_native"} | as_they_stand


def test_builds_that_differ_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    first = wheel(tmp_path, TAG, SOURCES, pure=False)
    assert building.difference(first, wheel(tmp_path / "again", TAG, SOURCES, pure=False)) == ""
    second = wheel(tmp_path / "again", TAG, SOURCES, pure=False, padding=1)
    assert building.difference(first, second).endswith("to the next: fastframe/__init__.py")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_extension_is_required_of_every_platform_wheel(platform: str) -> None:
    told = configuration.read(platform=platform)
    assert told.environment["FASTFRAME_EXTENSION"] == told.test_environment["FASTFRAME_EXTENSION"] == "1"
    assert "'" not in told.test_command, "Windows' shell does not take it for a quote"
    for path in re.findall(r"tests/\S+", told.test_command):
        assert (configuration.ROOT / path).exists()


def test_flags_are_added_to_those_of_the_release() -> None:
    told = configuration.read(platform="linux")
    more = told.with_flags("-Wall -Werror")
    assert more == told.environment | {
        "FASTFRAME_CFLAGS": f"{told.environment['FASTFRAME_CFLAGS']} -Wall -Werror"
    }
    assert told.with_flags("") == told.environment


def test_every_wheel_that_is_configured_has_a_job() -> None:
    pytest.importorskip("cibuildwheel", reason="not run: cibuildwheel needs Python 3.11 and the extra wheels")
    assert {name.partition("-")[2] for name in matrix.identifiers()} == matrix.jobs().keys()
    assert matrix.jobs().keys() == matrix.PLATFORMS.keys()


def test_readme_says_what_is_tested_where() -> None:
    pytest.importorskip("cibuildwheel", reason="not run: cibuildwheel needs Python 3.11 and the extra wheels")
    readme = (configuration.ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith(("| Linux", "| macOS", "| Windows"))]
    assert lines == matrix.table()[2:]


def test_actions_are_pinned_by_commit() -> None:
    used = [
        line.split("uses: ")[1]
        for path in matrix.WORKFLOWS.glob("*.yml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "uses: " in line
    ]
    assert len(used) > 10
    assert [
        one for one in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)
    ] == []


def test_every_target_of_portability_has_a_job() -> None:
    text = (matrix.WORKFLOWS / "portability.yml").read_text(encoding="utf-8")
    named = re.search(r"^ *targets: \[(.*)\]$", text, re.MULTILINE)
    assert named is not None
    assert sorted(re.split(r",? ", named[1])) == sorted(TARGETS)
