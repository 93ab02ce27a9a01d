"""Debian's packages of another architecture or release, unpacked into a folder.

apt works in a root of its own, so that nothing of the machine changes: not its sources, not its list of
foreign architectures, not what is installed.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from .running import CACHE, NotRunError, TargetError, need, output

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"


class Root(NamedTuple):
    """Packages with all that they depend on, as `suite` has them for `architecture` (Debian's names)."""

    suite: str
    architecture: str
    packages: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.suite}-{self.architecture}-{self.packages[0]}"


def _apt(root: Root, workplace: Path) -> dict[str, str]:
    """Set up a root for apt; returns the environment that makes apt use it."""
    for folder in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "var/lib/dpkg"):
        (workplace / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt"):
        (workplace / folder).mkdir(parents=True, exist_ok=True)
    status = workplace / "var/lib/dpkg/status"
    status.touch()
    sources = "".join(
        f"{kind} [signed-by={KEYRING}] {MIRROR} {root.suite} main\n" for kind in ("deb", "deb-src")
    )
    (workplace / "etc/apt/sources.list").write_text(sources)
    configuration = workplace / "apt.conf"
    configuration.write_text(
        f'Dir "{workplace}/";\n'
        f'Dir::State::status "{status}";\n'
        f'APT::Architecture "{root.architecture}";\n'
        f'APT::Architectures {{ "{root.architecture}"; }};\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "3";\n'
    )
    environment = {"APT_CONFIG": str(configuration), "DEBIAN_FRONTEND": "noninteractive"}
    try:
        output("apt-get", "-qq", "update", environment=environment)
    except TargetError as error:
        raise NotRunError(f"no package lists of Debian {root.suite}: {str(error)[-300:]}") from None
    return environment


def _check_tools() -> None:
    need("apt-get", "dpkg-deb")
    if not KEYRING.exists():
        raise NotRunError(f"{KEYRING} not found")


def unpacked(root: Root) -> Path:
    """The folder with the packages' files; fetched and unpacked unless it is in the cache."""
    folder = CACHE / root.name
    if folder.exists():
        return folder
    _check_tools()
    workplace, partial = CACHE / f"{root.name}.apt", CACHE / f"{root.name}.partial"
    for leftover in (workplace, partial):
        shutil.rmtree(leftover, ignore_errors=True)
    environment = _apt(root, workplace)
    output("apt-get", "-y", "-qq", "--download-only", "install", *root.packages, environment=environment)
    archives = sorted((workplace / "var/cache/apt/archives").glob("*.deb"))
    if not archives:
        raise TargetError(f"apt has fetched nothing for {root}")
    for archive in archives:
        output("dpkg-deb", "-x", archive, partial)
    partial.rename(folder)
    shutil.rmtree(workplace)
    return folder


def source(root: Root, into: Path) -> Path:
    """Fetch the source of the first of `packages` into `into`, and return its original archive."""
    _check_tools()
    workplace = CACHE / f"{root.name}.apt"
    shutil.rmtree(workplace, ignore_errors=True)
    environment = _apt(root, workplace)
    output("apt-get", "-qq", "source", "--download-only", root.packages[0], at=into, environment=environment)
    shutil.rmtree(workplace)
    return next(into.glob("*.orig.tar.*z"))
