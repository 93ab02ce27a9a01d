"""Fuzz: ``make fuzz FUZZ='--seconds 60 --target message-decoder'``.

Without ``--target`` every target runs. What was found earlier on this machine is gone on with. An input that
makes a target fail is saved in tests/fuzz/regressions, where the suite runs it ever after, and fails this
command. Before anything else it is shown that planted faults are found.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz import engines, fuzzing, report
from fuzz.catalogue import NAMES
from fuzz.fuzzing import Job, Result

PLANTED = [
    ("kernel-mask", "-DPLANTED_FAULT", "memcmp(dst, expected, n)"),
    ("kernel-utf8", "-DPLANTED_FAULT", "AddressSanitizer: heap-buffer-overflow"),
    ("planted-wrong", "", "the planted fault"),
    ("planted-overread", "", "AddressSanitizer: heap-buffer-overflow"),
]
PLANTED_RUNS = 400_000


def planted_faults_are_found(folder: Path) -> bool:
    """Whether each planted fault is found, and what is printed says so."""
    for name, flag, words in PLANTED:
        why = engines.missing(name)
        if why:
            continue
        command, environment = engines.command(name, folder)
        if flag:
            command = [str(engines.build_kernel(name, folder, flag))]
        options = [f"-runs={PLANTED_RUNS}", "-seed=1", "-max_len=100", "-use_value_profile=1"]
        told = fuzzing.output_of([*command, *options, f"-artifact_prefix={folder}/"], environment)
        if words not in told:
            print(f"FAILED: the fault planted in {name} was not found:\n{told[-3000:]}")
            return False
    print("planted faults are found")
    return True


def chosen(patterns: list[str]) -> list[str]:
    names = [name for name in NAMES if not patterns or any(fnmatch(name, pattern) for pattern in patterns)]
    if not names:
        sys.exit(f"no such target; there are {', '.join(NAMES)}")
    return names


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz FUZZ=...", description=__doc__)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=int, help="how long each target runs; 10 if nothing is said")
    amount.add_argument("--runs", type=int, help="executions of each target, by a fixed seed")
    parser.add_argument(
        "--target", action="append", default=[], help="a name, or a pattern such as 'adapter-*'"
    )
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--list", action="store_true", help="list the targets")
    parser.add_argument(
        "--write-docs", action="store_true", help="write what all runs came to, and run nothing"
    )
    parser.add_argument(
        "--keep-corpus", action="store_true", help="minimise what was found into tests/fuzz/corpus"
    )
    return parser.parse_args()


def fuzz(names: list[str], options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not planted_faults_are_found(folder):
            return 1
        jobs = [Job(name, folder, options.seconds, options.runs) for name in names]
        with ThreadPoolExecutor(options.jobs) as pool:
            results: list[Result] = list(pool.map(fuzzing.run, jobs))
    report.remember(results)
    print(report.table(results))
    failed = [result for result in results if result.failure]
    for result in failed:
        print(f"FAILED: {result.name}: {result.failure}")
    return 1 if failed else 0


def main() -> int:
    options = parsed()
    names = chosen(options.target)
    if options.list:
        print("\n".join(names))
        return 0
    reasons = {name: engines.missing(name) for name in names}
    for reason in sorted({why for why in reasons.values() if why}):
        print(f"not run: {sum(why == reason for why in reasons.values())} fuzz targets: {reason}")
    names = [name for name in names if not reasons[name]]
    if options.write_docs:
        report.write_docs()
        return 0
    if options.keep_corpus:
        for name in names:
            fuzzing.keep_corpus(name)
        return 0
    if not options.runs and not options.seconds:
        options.seconds = 10
    # A compiler can be installed; wheels of atheris for another Python cannot.
    if os.environ.get("REQUIRE") == "1" and any(why and engines.COMPILER in why for why in reasons.values()):
        return 1
    return fuzz(names, options) if names else 0


if __name__ == "__main__":
    sys.exit(main())
