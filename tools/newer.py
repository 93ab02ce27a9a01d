"""Prints the newest releases of the package index that are newer than those that the extra drop-ins allows.

They come as NAME==VERSION in one line, for pip; nothing if there are none. What was found of each library is
said on stderr. It is run by the Python of an environment that has that extra; nothing is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.version import Version

SECONDS = 180


def bounds(operator: str) -> dict[str, Version]:
    """The bounds of one kind by name, of what this Python can have."""
    requirements = [Requirement(line) for line in metadata.requires("fastframe") or ()]
    found = {}
    for requirement in requirements:
        # True without the extra is what every install has; only what the extra brings is meant.
        if requirement.marker is None or not requirement.marker.evaluate({"extra": "drop-ins"}):
            continue
        for specifier in requirement.specifier:
            if specifier.operator == operator:
                found[requirement.name] = Version(specifier.version)
    return found


def newest(names: list[str]) -> dict[str, Version]:
    """What pip would install of them today."""
    command = "-m pip --disable-pip-version-check --quiet --quiet install"
    command += " --dry-run --ignore-installed --no-deps --report -"
    ran = subprocess.run(
        [sys.executable, *command.split(), *names], stdout=subprocess.PIPE, check=True, timeout=SECONDS
    )
    found = (entry["metadata"] for entry in json.loads(ran.stdout)["install"])
    return {entry["name"].lower().replace("_", "-"): Version(entry["version"]) for entry in found}


def main() -> int:
    bound = bounds("<=")
    assert bound, "the extra drop-ins has no upper bounds"
    found = newest(sorted(bound))
    assert found.keys() == bound.keys(), f"{found.keys() ^ bound.keys()} not found"
    newer = []
    for name, version in found.items():
        is_newer = version > bound[name]
        said = (
            f"newer than {bound[name]}, which is tested"
            if is_newer
            else "the newest, and what make drop-ins tests"
        )
        print(f"{name} {version}: {said}", file=sys.stderr)
        if is_newer:
            newer.append(f"{name}=={version}")
    print(*newer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
