"""Run targets: python -m tools.portability [--brief | --whole] [--require] [TARGET...]; without one all."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from . import foreign, free_threaded, kernels, old_processors, pypy, windows
from .parts import Extent
from .running import NotRunError, TargetError


class Target(NamedTuple):
    proves: str
    run: Callable[[Extent], None]


TARGETS = {
    "kernels": Target("kernels for armv7, riscv64 and ppc64le, by emulation", kernels.run),
    "windows": Target("C that compilers for Windows take", windows.run),
    "instructions": Target(
        "no instruction beyond the baseline outside of its kernel", old_processors.disassemble
    ),
    "old-processors": Target("the codec on x86-64 of four generations, by emulation", old_processors.emulate),
    "aarch64": Target("extension and suite on aarch64, by emulation", partial(foreign.run, foreign.AARCH64)),
    "s390x": Target(
        "extension and suite on big-endian s390x, by emulation", partial(foreign.run, foreign.S390X)
    ),
    "pypy": Target("the wheel without the extension on PyPy", pypy.run),
    "free-threaded": Target("extension, suite and threads on CPython without the GIL", free_threaded.run),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.portability", description=__doc__)
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=", ".join(TARGETS))
    amount = parser.add_mutually_exclusive_group()
    for flag, extent, what in [
        ("--brief", Extent.BRIEF, "of the conversation over sockets only a part"),
        ("--whole", Extent.WHOLE, "all of the suite, not the parts chosen for each night"),
    ]:
        amount.add_argument(
            flag, action="store_const", const=extent, default=Extent.USUAL, dest="extent", help=what
        )
    parser.add_argument("--require", action="store_true", help="what cannot run fails (so does REQUIRE=1)")
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    required = options.require or os.environ.get("REQUIRE") == "1"
    verdicts = []
    for name in options.targets or TARGETS:
        print(f"--- {name}: {TARGETS[name].proves}", flush=True)
        began, verdict = time.monotonic(), "ok"
        try:
            TARGETS[name].run(options.extent)
        except NotRunError as reason:
            verdict = f"not run: {reason}"
            print(verdict)
        except TargetError as error:
            verdict = "FAILED"
            print(error)
        verdicts.append((name, verdict, time.monotonic() - began))
    for name, verdict, seconds in verdicts:
        print(f"portability {name}: {verdict} ({seconds:.0f} s)")
    bad = [verdict for _, verdict, _ in verdicts if verdict == "FAILED" or (required and verdict != "ok")]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
