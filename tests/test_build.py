"""Packages built as pip builds them: with a compiler, without one, and without the extension."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_COPIED = shutil.ignore_patterns(
    ".*", "build", "dist", "_build", "__pycache__", "*.egg-info", "*.so", "*.pyd", "benchmarks"
)

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean copy of the sources."""
    return Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=NOT_COPIED))


def run(
    arguments: list[str], directory: Path, extension: str | None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in `directory`, with FASTFRAME_EXTENSION set to `extension` or unset."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FASTFRAME_")}
    if extension is not None:
        variables["FASTFRAME_EXTENSION"] = extension
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=variables | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def build(kind: str, tree: Path, extension: str | None, **environment: str) -> Path:
    """Build a "wheel" or an "sdist" of `tree`; return the file."""
    built = run(["-c", BUILD, kind, str(tree / "dist")], tree, extension, **environment)
    assert built.returncode == 0, built.stdout
    return tree / "dist" / built.stdout.splitlines()[-1]


def install(tree: Path, extension: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Install `tree` into `tree`/site with pip, its log in full."""
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--verbose", "--target", "site"]
    return run(["-m", "pip", "install", *options, "."], tree, extension, **environment)


def info(tree: Path) -> str:
    """What the installed package says of itself."""
    # -m looks into the directory that it runs in first, before what is installed for the tests.
    described = run(["-m", "fastframe", "info"], tree / "site", None)
    assert described.returncode == 0, described.stdout
    return described.stdout


def names(wheel: Path) -> set[str]:
    """The files in a wheel's package."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if name.startswith("fastframe/")}


def test_no_compiler_installs_the_pure_half_and_says_so(tree: Path) -> None:
    installed = install(tree, None, CC="/bin/false")
    assert installed.returncode == 0, installed.stdout
    assert "compiled half of the codec could NOT be built" in installed.stdout
    assert "backend  pure" in info(tree)
    # What pip keeps and shows is a wheel for every machine, not for this one.
    assert "fastframe-0.1.0-py3-none-any.whl" in installed.stdout
    assert not list((tree / "site").rglob("*.so"))


def test_no_compiler_fails_loudly_when_the_extension_is_required(tree: Path) -> None:
    installed = install(tree, "1", CC="/bin/false")
    assert installed.returncode != 0
    assert "/bin/false" in installed.stdout
    assert not (tree / "site").exists()


def test_extension_left_out_on_request(tree: Path) -> None:
    # The compiler must not even be asked for.
    wheel = build("wheel", tree, "0", CC="/bin/false")
    assert wheel.name.endswith("-py3-none-any.whl")
    kinds = {Path(name).suffix for name in names(wheel)}
    assert kinds == {".py", ".pyi", ".pxd", ".typed", ".html", ".css", ".js", ".svg"}
    page = {
        path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").glob("fastframe/demo/static/*")
    }
    assert len(page) > 10
    assert names(wheel) >= page


def test_wrong_setting_is_refused(tree: Path) -> None:
    built = run(["-c", BUILD, "wheel", "dist"], tree, "yes")
    assert built.returncode != 0
    assert "FASTFRAME_EXTENSION must be 0, 1 or unset, got 'yes'" in built.stdout


def test_sdist_builds_a_wheel_with_the_extension(tree: Path) -> None:
    """The sdist is made without the extension, the wheel from the sdist alone."""
    sdist = build("sdist", tree, "0")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
        archive.extractall(tree / "unpacked", filter="data")
    included = [*ROOT.glob("src/fastframe/_kernels/*.h"), *ROOT.glob("src/fastframe/_compiled/*.pxi")]
    assert included
    assert packed >= {path.relative_to(ROOT).as_posix() for path in included} | {
        "src/fastframe/_codec_c.pyx",
        "src/fastframe/_codec_c.pxd",
        "tests/test_build.py",
        "LICENSE",
        "Makefile",
    }
    assert not {name for name in packed if name.startswith("src/") and name.endswith((".c", ".so"))}

    unpacked = next((tree / "unpacked").iterdir())
    # -O0: whether it compiles and loads does not depend on how fast it is.
    wheel = build("wheel", unpacked, None, FASTFRAME_CFLAGS="-O0")
    assert not wheel.name.endswith("-any.whl")
    packaged = names(wheel)
    assert packaged >= {"fastframe/py.typed", "fastframe/_codec_c.pyi", "fastframe/_codec_c.pxd"}
    assert not {name for name in packaged if name.endswith((".c", ".pyx", ".pxi", ".h"))}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tree / "site")
    assert "backend  compiled" in info(tree)
