"""Prints the oldest releases that the adapters and uvicorn's plug-in accept, where newer ones are tested too.

They come as NAME==VERSION in one line, for pip; what was found of each library is said on stderr. It is run
by the Python of an environment that has the extra drop-ins.
"""

from __future__ import annotations

import sys

from packaging.version import Version

from fastframe import adapters
from tools.newer import bounds


def ranges() -> dict[str, tuple[Version, Version]]:
    """The oldest and the newest of each, as its adapter has it."""
    upper = bounds("<=")
    found = {}
    for name in adapters.LIBRARIES:
        library = adapters._library(name)
        # Not what is put in the library's place whole, nor what this Python cannot have.
        if library.depths and library.distribution in upper:
            oldest, newest = (Version(version) for version in library.tested)
            found[library.distribution] = (oldest, newest)
    # The plug-in has no range of its own but what the extra says.
    found["uvicorn"] = (bounds(">=")["uvicorn"], upper["uvicorn"])
    return found


def main() -> int:
    pinned = []
    for name, (oldest, newest) in ranges().items():
        is_older = oldest < newest
        said = f"the oldest, {newest} the newest" if is_older else "the only one; make drop-ins tests it"
        print(f"{name} {oldest}: {said}", file=sys.stderr)
        if is_older:
            pinned.append(f"{name}=={oldest}")
    assert pinned, "no library has more than one tested release"
    print(*pinned)
    return 0


if __name__ == "__main__":
    sys.exit(main())
