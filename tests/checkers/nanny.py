"""Cython's refnanny: each function of the extension keeps account of the references that it takes and gives.

``python nanny.py [pytest's arguments]``, with the package and planted.pyx built with CYTHON_REFNANNY=1, and
Cython's refnanny itself as the module ``refnanny``. What a function has left over, or gave without having it,
is reported as it returns, wherever the object goes then: a count of all references sees sums only.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from pathlib import Path

REPORTS: list[str] = []


def note(*words: object) -> None:
    """Stands in for print, which is all that the nanny reports by: pytest would put that away."""
    REPORTS.append(" ".join(map(str, words)))


def hire() -> None:
    """Import the nanny, which looks its print up once."""
    kept = builtins.print
    builtins.print = note  # type: ignore[assignment]
    try:
        importlib.import_module("refnanny")
    finally:
        builtins.print = kept


def found() -> list[str]:
    """The reports there are, which are then forgotten."""
    told = REPORTS.copy()
    REPORTS.clear()
    return told


def planted_faults_are_found() -> bool:
    """Whether both are told of, by the names of their functions."""
    planted = importlib.import_module("planted")
    for fault, words in [(planted.leak, "References leaked"), (planted.drop_twice, "Too many decrefs")]:
        fault(object())
        told = "\n".join(found())
        if words not in told or f"{fault.__name__}()" not in told:
            print(f"FAILED: the nanny says nothing of {fault.__name__}: {told!r}")
            return False
    print("planted faults are found")
    return True


class Reports:
    """A plugin of pytest: what a test makes the nanny say fails it."""

    def pytest_runtest_teardown(self) -> None:
        told = found()
        assert not told, "\n".join(told)


def main(arguments: list[str]) -> int:
    hire()
    if not planted_faults_are_found():
        return 1
    import pytest

    import fastframe

    package = Path(fastframe.__file__).parent
    extensions = sorted(package.rglob("*.so"))
    left_out = [path.name for path in extensions if b"Cython.Runtime.refnanny" not in path.read_bytes()]
    if left_out or fastframe.BACKEND != "compiled":
        print(f"FAILED: built without the nanny: {left_out or 'all'}")
        return 1
    print(f"{len(extensions)} extension modules account for their references")
    at_import = found()
    status = int(pytest.main(arguments, plugins=[Reports()]))
    # What is said between two tests, and as the last one ends.
    left = [*at_import, *found()]
    verdict = "tests passed, no reports" if status == 0 else "tests failed or reported"
    print("\n".join([*left, f"refnanny: {verdict}, {len(left)} reports outside of tests"]))
    return status or int(bool(left))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
