"""Instructions of the codec's hot paths, counted by callgrind: ``python -m bench.instructions``.

Unlike times, instructions are the same on a busy machine and on an idle one,
so a change of a few percent shows. One process under valgrind runs all paths;
it counts nothing until they are built and warm. valgrind knows no AVX-512, so
the kernel is the one for AVX2 on every machine.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from .contestants import OURS
from .figures import KIB, AnyFigure, size_name
from .report import print_table
from .run import FIGURES, checked
from .tables import Table
from .timing import EMPTY_LOOP, Snippet

ROOT = pathlib.Path(__file__).parent.parent
BASELINE = pathlib.Path(__file__).with_name("instructions.json")
KERNEL = "avx2"
TOLERATED = 0.05
"""What a path may gain or lose without being reported."""

TIMEOUT = 600
"""Seconds that all of it may take."""

_ITERATIONS = 200

# callgrind's client requests are instructions of their own that only C can utter.
_SHIM = """
#include <valgrind/callgrind.h>
void start(void) { CALLGRIND_START_INSTRUMENTATION; }
void zero(void) { CALLGRIND_ZERO_STATS; }
void dump(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }
"""

_NOTHING = "nothing"

# Figure of the codec, group of its cases, sizes in bytes.
_PATHS: tuple[tuple[int, str, tuple[int, ...]], ...] = (
    (1, "", (125, 64 * KIB)),
    (2, "", (4 * KIB,)),
    (3, "JSON", (125, 4 * KIB)),
    (3, "CJK", (4 * KIB,)),
    (4, "", (16, 125, KIB, 16 * KIB)),
    (5, "JSON", (125, 4 * KIB)),
    (5, "CJK", (4 * KIB,)),
    (6, "server", (125,)),
    (6, "client", (125,)),
)


class CannotCount(Exception):
    """Instructions cannot be counted here; the text says why."""


def _snippet(figure: AnyFigure, group: str, size: int) -> tuple[Snippet, int]:
    """What is run, and how many messages one run takes in."""
    case = next(case for case in figure.cases((size,)) if case.group == group)
    contestant = next(found for found in figure.contestants if found.name == OURS)
    snippet = checked(contestant, case)
    assert isinstance(snippet, Snippet)
    return snippet, case.units


def names() -> list[str]:
    """The paths, by name."""
    return [f"{figure}/{group}/{size}" for figure, group, sizes in _PATHS for size in sizes]


def _title(name: str) -> str:
    figure, group, size = name.split("/")
    subject = FIGURES[int(figure)].title.split(":")[-1].strip()
    return " ".join(part for part in (f"{subject},", group, size_name(int(size))) if part)


def _run_paths(shim: str, chosen: Sequence[str]) -> None:
    """Under valgrind: run the paths and have the count of each dumped; prints the messages in each."""
    counter = ctypes.CDLL(shim)
    built = []
    for name in chosen:
        figure, group, size = name.split("/")
        snippet, units = _snippet(FIGURES[int(figure)], group, int(size))
        built.append((name, snippet.loop(), units * _ITERATIONS))
    built.append((_NOTHING, EMPTY_LOOP.loop(), _ITERATIONS))
    gc.disable()
    for _, loop, _ in built:
        # CPython specialises its bytecode on the way.
        loop(_ITERATIONS)
    counter.start()
    for name, loop, _ in built:
        counter.zero()
        loop(_ITERATIONS)
        counter.dump(name.encode())
    print(json.dumps({name: units for name, _, units in built}))


def _dumped(folder: pathlib.Path) -> dict[str, int]:
    """The counts that callgrind has dumped, by name."""
    found = {}
    for file in folder.glob("callgrind.out.*"):
        text = file.read_text(errors="replace")
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if name and total:
            found[name[1]] = int(total[1])
    return found


def _build_shim(folder: pathlib.Path) -> pathlib.Path:
    source, shim = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise CannotCount("there is no C compiler")
    command = [compiler, "-shared", "-fPIC", "-O2", str(source), "-o", str(shim)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotCount(f"{' '.join(command)}\n{done.stderr}")
    return shim


def _under_valgrind(shim: pathlib.Path, folder: pathlib.Path, chosen: Sequence[str]) -> dict[str, int]:
    """Run `_run_paths` in a process of its own; returns the messages in each path."""
    command = ["valgrind", "--tool=callgrind", "--instr-atstart=no"]
    command += [f"--callgrind-out-file={folder / 'callgrind.out.%p'}", sys.executable]
    command += ["-m", "bench.instructions", "--under-valgrind", str(shim), "--paths", *chosen]
    ours = {"FASTFRAME_EXTENSION": "1", "FASTFRAME_KERNEL": KERNEL, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | ours,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotCount(f"not done within {TIMEOUT} s") from None
    if done.returncode != 0:
        raise CannotCount(done.stderr.strip()[-600:])
    units: dict[str, int] = json.loads(done.stdout)
    return units


def count(chosen: Sequence[str]) -> dict[str, float]:
    """Instructions of each path for one message.

    Raises:
        CannotCount: there is no valgrind, or it failed.
    """
    if shutil.which("valgrind") is None:
        raise CannotCount("valgrind is not installed")
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as name:
        folder = pathlib.Path(name)
        units = _under_valgrind(_build_shim(folder), folder, chosen)
        counts = _dumped(folder)
    missing = [name for name in (*chosen, _NOTHING) if name not in counts]
    if missing:
        raise CannotCount(f"callgrind has dumped nothing for {', '.join(missing)}")
    # The loop around the path and the way to callgrind are in every count alike.
    return {name: round((counts[name] - counts[_NOTHING]) / units[name], 1) for name in chosen}


def conditions() -> dict[str, str]:
    """What has to be the same for counts to be comparable."""
    python = f"{platform.python_implementation()} {sys.version_info[0]}.{sys.version_info[1]}"
    return {"python": python, "machine": platform.machine(), "kernel": KERNEL}


def compare(before: dict[str, float], now: dict[str, float]) -> tuple[list[list[str]], bool]:
    """Rows of a table, and whether a path takes more than is tolerated."""
    rows, worse = [], False
    for name, instructions in now.items():
        if name not in before:
            rows.append([_title(name), "–", f"{instructions:,.0f}", "new"])
            continue
        change = instructions / before[name] - 1
        remark = "" if abs(change) <= TOLERATED else " MORE" if change > 0 else " less"
        worse |= change > TOLERATED
        rows.append([_title(name), f"{before[name]:,.0f}", f"{instructions:,.0f}", f"{change:+.1%}{remark}"])
    return rows, worse


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--write-baseline", action="store_true", help=f"write {BASELINE.name}")
    parser.add_argument("--paths", nargs="+", choices=names(), metavar="PATH", help="count these only")
    parser.add_argument("--under-valgrind", metavar="SHIM", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.write_baseline and arguments.paths:
        parser.error("a baseline has all paths")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a path takes 5 % more instructions than the baseline says."""
    arguments = _arguments(argv)
    if arguments.under_valgrind:
        _run_paths(arguments.under_valgrind, arguments.paths)
        return 0
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else None
    if not arguments.write_baseline and (baseline is None or baseline["conditions"] != conditions()):
        print(f"{BASELINE.name} is not for {conditions()}: write one with --write-baseline", file=sys.stderr)
        return 2
    try:
        counted = count(arguments.paths or names())
    except CannotCount as error:
        print(error, file=sys.stderr)
        return 2
    before = baseline["instructions"] if baseline and baseline["conditions"] == conditions() else {}
    rows, worse = compare(before, counted)
    print_table(Table("Instructions for one message", ["", "before", "now", "change"], rows))
    if arguments.write_baseline:
        document = {"conditions": conditions(), "instructions": counted}
        BASELINE.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"written: {BASELINE}")
        return 0
    return int(worse)


if __name__ == "__main__":
    sys.exit(main())
