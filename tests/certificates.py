"""Certificates for localhost and 127.0.0.1, made by the openssl program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

NAMES = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
KEY_KIND = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

# `openssl req` knows no dates, `openssl ca` needs all this.
AUTHORITY = """
[ca]
default_ca = this
[this]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = supplied
"""


class Certificate(NamedTuple):
    """Signed by itself."""

    certificate: Path
    key: Path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def self_signed(folder: Path) -> Certificate:
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    _openssl("req", "-x509", "-days", "2", *KEY_KIND, *NAMES, "-keyout", made.key, "-out", made.certificate)
    return made


def dated(folder: Path, start: str, end: str) -> Certificate:
    """One that is valid from `start` to `end`, each as YYYYMMDDHHMMSSZ."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    request, settings = folder / "request.pem", folder / "authority.cnf"
    settings.write_text(AUTHORITY.format(folder=folder.as_posix()))
    (folder / "index").touch()
    _openssl("req", "-new", *KEY_KIND, *NAMES, "-keyout", made.key, "-out", request)
    files: list[str | Path] = ["-config", settings, "-keyfile", made.key, "-in", request]
    files += ["-out", made.certificate]
    _openssl("ca", "-batch", "-notext", "-selfsign", *files, "-startdate", start, "-enddate", end)
    return made
