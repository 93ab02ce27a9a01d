"""The C programs, compiled for each run: the load generator and the limit server."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

_SOURCES = pathlib.Path(__file__).parent / "c"


class NoCompiler(Exception):
    """The programs cannot be built here."""


def _compiler() -> str:
    name = os.environ.get("CC", "cc")
    found = shutil.which(name)
    if found is None:
        raise NoCompiler(f"the load generator is a C program, and there is no {name}")
    return found


def _has_header(compiler: str, header: str) -> bool:
    command = [compiler, "-E", "-include", header, "-x", "c", os.devnull, "-o", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Programs:
    """Paths of the built programs, and what the load generator can do.

    Attributes:
        lacks: traits of cases that it was built without, and why.
    """

    def __init__(self, folder: pathlib.Path, *, flags: tuple[str, ...] = ("-O3",)) -> None:
        compiler = _compiler()
        self.load = folder / "load"
        self.limit = folder / "limit"
        self.lacks: dict[str, str] = {}
        options: list[str] = []
        libraries: list[str] = []
        for trait, header, macro, names in (
            ("tls", "openssl/ssl.h", "WITH_TLS", ("ssl", "crypto")),
            ("deflate", "zlib.h", "WITH_DEFLATE", ("z",)),
        ):
            if _has_header(compiler, header):
                options.append(f"-D{macro}")
                libraries += [f"-l{name}" for name in names]
            else:
                self.lacks[trait] = f"{header} is not installed, which the load generator needs for it"
        common = [compiler, "-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Werror", *flags]
        _run([*common, *options, str(_SOURCES / "load.c"), "-o", str(self.load), *libraries])
        _run([*common, str(_SOURCES / "limit.c"), "-o", str(self.limit)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoCompiler(f"{' '.join(command)}\n{done.stderr}")


def make_certificate(folder: pathlib.Path) -> pathlib.Path | None:
    """A certificate with its key in one file, None where there is no openssl command."""
    if shutil.which("openssl") is None:
        return None
    key, certificate, both = (folder / name for name in ("key.pem", "certificate.pem", "both.pem"))
    command = "openssl req -x509 -nodes -days 2 -subj /CN=localhost"
    kind = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    _run([*command.split(), *kind.split(), "-keyout", str(key), "-out", str(certificate)])
    both.write_text(certificate.read_text() + key.read_text())
    return both
