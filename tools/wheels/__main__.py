"""Builds all that this machine can, as the workflows do, and tests it installed: `make wheels`.

The sdist first; from it, and from nothing else, the pure wheel and a wheel with the extension for each Python
of the machine. Each is checked, installed into an empty environment, and tested away from the source: the one
for the Python that runs this with the whole suite (--suite: those for others), the rest with the smoke and
parity tests. Sdist, pure wheel and the wheel for the Python that runs this are built twice and compared
(--twice: all of them).
How, stands in pyproject.toml for cibuildwheel, which the release workflow runs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tools import pythons

from . import building, contents
from .building import Failed
from .configuration import ROOT, Configuration, read

SUITE_LEFT_OUT = ["tests/test_build.py"]
"""It builds packages of its own, which `make test` has it do."""

SUITE_TIMEOUT = 2400
"""Seconds for the whole suite, which a busy machine takes long over."""

OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
BEGAN = time.monotonic()


@dataclass
class Built:
    """A file to be released, and what was found of it."""

    path: Path
    version: str = ""
    """The Python to test it with, "3.11"; an sdist has none."""
    notes: list[str] = field(default_factory=list)


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:4.0f} s] {text}", flush=True)


def interpreters() -> dict[str, Path]:
    """The Pythons of this machine by version; which of ours are missing is said on stderr."""
    found = {OWN: Path(sys.executable)}
    for version in pythons.VERSIONS:
        if version != OWN and (python := pythons.choose(version)):
            found[version] = Path(python)
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def environment_for(python: Path, directory: Path) -> Path:
    """An empty environment; returns its Python."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    building.run([str(python), "-m", "venv", str(directory)], ROOT, directory.parent / "log", {})
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(
    version: str,
    python: Path,
    sdist: Path,
    work: Path,
    configuration: Configuration,
    options: argparse.Namespace,
) -> Built:
    """A wheel with the extension, or the pure one where `version` is "pure"."""
    is_pure = version == "pure"
    flags = {"FASTFRAME_EXTENSION": "0"} if is_pure else configuration.with_flags(options.cflags)
    epoch = building.source_date_epoch()
    environment = {**flags, "SOURCE_DATE_EPOCH": epoch}
    builder = environment_for(python, work / version / "environment")
    attempts = ("first", "second") if options.twice or version in (OWN, "pure") else ("first",)
    wheels = []
    for attempt in attempts:
        wheel = building.build_wheel(builder, sdist, work / version / attempt, environment)
        if not is_pure:
            wheel = building.repair(wheel, configuration, work / version / f"{attempt}-repaired", epoch)
        wheels.append(wheel)
    if differs := building.difference(wheels[0], wheels[-1]):
        raise Failed(differs)
    say(f"{wheels[0].name}: built{' twice, the same bytes' if len(wheels) > 1 else ''}")
    return Built(wheels[0], OWN if is_pure else version)


def test(
    built: Built, python: Path, unpacked: Path, configuration: Configuration, work: Path, whole: bool
) -> None:
    """Install into an empty environment and run the tests there, without the source."""
    is_pure = built.path.stem.endswith("-none-any")
    name = "pure" if is_pure else built.version
    place = work / f"test-{name}"
    inside = environment_for(python, place / "environment")
    requires = [f"{built.path}[test]"] if whole else [str(built.path), *configuration.test_requires]
    install = [str(inside), "-m", "pip", "--disable-pip-version-check", "install", *requires]
    building.run(install, place, place / "log", {})
    if whole:
        # test_build and its like read what is beside the tests; `import fastframe` never finds src/.
        shutil.copytree(unpacked, place / "tests-of-sdist")
        command = [str(inside), "-m", "pytest", "-q", "--numprocesses", "2"]
        command += [f"--ignore={path}" for path in SUITE_LEFT_OUT]
    else:
        for source in configuration.test_sources:
            copy = shutil.copytree if (unpacked / source).is_dir() else shutil.copy2
            target = place / "tests-of-sdist" / source
            target.parent.mkdir(parents=True, exist_ok=True)
            copy(unpacked / source, target)
        command = configuration.test(inside)
    environment = configuration.test_environment | ({"FASTFRAME_EXTENSION": "0"} if is_pure else {})
    limit = SUITE_TIMEOUT if whole else building.TIMEOUT
    building.run(command, place / "tests-of-sdist", place / "log", environment, limit)
    passed = (place / "log").read_text(errors="replace").rstrip().splitlines()[-1].strip("= ")
    built.notes.append(f"{'whole suite' if whole else 'smoke and parity'}, {name}: {passed}")
    say(f"{built.path.name}: {built.notes[-1]}")


def build_all(
    work: Path, configuration: Configuration, found: dict[str, Path], options: argparse.Namespace
) -> tuple[list[Built], Path]:
    """The sdist, the pure wheel, and the others if they are wanted; and where the sdist is unpacked."""
    epoch = building.source_date_epoch()
    wanted = {"pure": found[OWN], **({} if options.sources_only else found)}
    # The longest first.
    wanted = dict(sorted(wanted.items(), key=lambda item: item[0] != OWN))
    say(f"the sdist; then wheels: {', '.join(wanted)}")
    sdists = [building.build_sdist(work / attempt, epoch) for attempt in ("sdist-1", "sdist-2")]
    if differs := building.difference(*sdists):
        raise Failed(differs)
    say(f"{sdists[0].name}: built twice, the same bytes")
    with tarfile.open(sdists[0]) as archive:
        archive.extractall(work / "unpacked", filter="data")
    unpacked = next((work / "unpacked").iterdir())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures: list[Future[Built]] = [
            pool.submit(build, version, python, sdists[0], work, configuration, options)
            for version, python in wanted.items()
        ]
        return [Built(sdists[0]), *(future.result() for future in futures)], unpacked


def release(files: list[Built], directory: Path) -> None:
    """Put the files and their checksums into `directory`, with nothing of an earlier time."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    sums = []
    for built in files:
        built.path = Path(shutil.copy2(built.path, directory))
        sums.append(f"{hashlib.sha256(built.path.read_bytes()).hexdigest()}  {built.path.name}\n")
    (directory / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.wheels", description=__doc__.partition("\n")[0])
    parser.add_argument("--sources-only", action="store_true", help="the sdist and the pure wheel alone")
    parser.add_argument(
        "--cflags", default="", help="more for the C compiler: warnings, which change nothing of a wheel"
    )
    parser.add_argument("--twice", action="store_true", help="build each wheel twice and compare")
    parser.add_argument(
        "--suite",
        nargs="+",
        choices=sorted({*pythons.VERSIONS, OWN}),
        default=[OWN],
        metavar="VERSION",
        help=f"Pythons whose wheels are tested with the whole suite (not told: {OWN})",
    )
    parser.add_argument(
        "--no-suite", action="store_const", const=[], dest="suite", help="smoke and parity tests alone"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIRECTORY")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    work = Path(tempfile.mkdtemp(prefix="fastframe-wheels-"))
    try:
        configuration = read()
        if options.sources_only:
            versions = {OWN: Path(sys.executable)}
        else:
            versions = interpreters()
        files, unpacked = build_all(work, configuration, versions, options)
        if faults := contents.faults_of([built.path for built in files]):
            raise Failed("\n".join(faults))
        say("contents checked")
        for built in files[1:]:
            whole = built.version in options.suite and "-none-any" not in built.path.name
            test(built, versions[built.version], unpacked, configuration, work, whole)
        release(files, options.output)
    except Failed as error:
        print(f"wheels: {error}", file=sys.stderr)
        return 1
    print(f"\n{'bytes':>9}  file and tests")
    for built in files:
        print(f"{built.path.stat().st_size:>9,}  {built.path.name}")
        for note in built.notes:
            print(f"{'':9}      {note}")
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
