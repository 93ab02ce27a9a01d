"""What is installed, and what of it is in use."""

from __future__ import annotations

import json
import platform
import ssl
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import build_info
from ..deflate import DEFLATE_BACKEND

__all__ = ["EXTRAS", "run"]

EXTRAS = {
    "cli": ("prompt-toolkit",),
    "deflate": ("isal", "zlib-ng"),
    "proxy": ("python-socks",),
    "uvicorn": ("uvicorn",),
    "uvloop": ("uvloop",),
}
"""The extras of the package that add to what it can do, and the distributions that each brings."""


def gather() -> dict[str, Any]:
    """Return what `info` prints.

    Returns:
        What `fastframe.build_info` says, ``deflate`` (where compressors come
        from), ``system``, ``openssl``, ``h11`` (its version), ``loops`` (the
        event loops that are there), and ``extras``: the version of each
        distribution that an extra brings, None for one that is not there.
    """
    extras = {extra: {name: _version(name) for name in names} for extra, names in EXTRAS.items()}
    loops = ["asyncio"] + (["uvloop"] if extras["uvloop"]["uvloop"] else [])
    return {
        **build_info(),
        "deflate": DEFLATE_BACKEND,
        "system": platform.platform(),
        "openssl": ssl.OPENSSL_VERSION,
        "h11": _version("h11"),
        "loops": loops,
        "extras": extras,
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def run(*, as_json: bool) -> int:
    """Print it."""
    gathered = gather()
    if as_json:
        print(json.dumps(gathered, indent=2))
        return 0
    extras = gathered.pop("extras")
    for name, value in gathered.items():
        print(f"{name:8} {', '.join(value) if isinstance(value, (list, tuple)) else value}")
    for name, distributions in extras.items():
        found = [f"{each} {release or 'not installed'}" for each, release in distributions.items()]
        print(f"extra    {name}: {', '.join(found)}")
    return 0
