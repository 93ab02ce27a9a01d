"""What a table must say about where it was measured."""

from __future__ import annotations

import datetime
import importlib
import os
import pathlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass

from .calls import Unavailable, ours, version_of
from .contestants import SIMDUTF
from .figures import AnyFigure
from .node import NodeMissing, node_process


@dataclass(frozen=True)
class Machine:
    """Where and with what a run was made.

    Attributes:
        kernel: fastframe's SIMD kernel in use, or why there is none.
        versions: of every distribution measured, "not installed" among them.
    """

    date: str
    cpu: str
    cpus: int
    pinned_to: int | None
    system: str
    python: str
    kernel: str
    versions: dict[str, str]


def _cpu_model() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    model = facts.get("model name", platform.machine())
    return f"{model}, family {facts['cpu family']} model {facts['model']}" if "model" in facts else model


def _kernel() -> str:
    try:
        return str(ours("_codec_c").KERNEL)
    except Unavailable as reason:
        return f"compiled half {reason}"


def _fastframe_version() -> str:
    try:
        return str(importlib.import_module("fastframe").__version__)
    except ImportError as error:
        return f"not importable ({error})"


def machine(figures: Iterable[AnyFigure], pinned_to: int | None) -> Machine:
    """Describe this machine and the versions of all contestants of some figures."""
    contestants = [contestant for figure in figures for contestant in figure.contestants]
    versions = {}
    for distribution in sorted({c.distribution for c in contestants if c.distribution}):
        versions[distribution] = version_of(distribution) or "not installed"
    if any(contestant.name == SIMDUTF for contestant in contestants):
        try:
            found = node_process().versions
            versions["simdutf"] = f"{found['simdutf']} (node {found['node']})"
        except NodeMissing as reason:
            versions["simdutf"] = str(reason)
    return machine_with(versions, pinned_to)


def machine_with(versions: dict[str, str], pinned_to: int | None) -> Machine:
    """Describe this machine; `versions` of what is measured beside fastframe."""
    return Machine(
        date=datetime.date.today().isoformat(),
        cpu=_cpu_model(),
        cpus=os.cpu_count() or 1,
        pinned_to=pinned_to,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        kernel=_kernel(),
        versions={"fastframe": _fastframe_version(), **versions},
    )
