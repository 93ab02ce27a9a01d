"""What pyproject.toml tells cibuildwheel, for who builds the same without its containers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PLATFORMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}


@dataclass(frozen=True)
class Configuration:
    """The options of cibuildwheel that one platform gets."""

    environment: dict[str, str]
    repair_wheel_command: str
    test_environment: dict[str, str]
    test_requires: list[str]
    test_sources: list[str]
    test_command: str

    def with_flags(self, cflags: str) -> dict[str, str]:
        """What is set when a wheel is built, with more flags for the C compiler."""
        told = self.environment.get("FASTFRAME_CFLAGS", "")
        return {**self.environment, "FASTFRAME_CFLAGS": f"{told} {cflags}".strip()}

    def repair(self, wheel: Path, directory: Path) -> list[str]:
        """The command that writes `wheel`, made fit for other machines, into `directory`."""
        return shlex.split(self.repair_wheel_command.format(wheel=wheel, dest_dir=directory))

    def test(self, python: Path) -> list[str]:
        """The command that tests what is installed for `python`."""
        command = shlex.split(self.test_command)
        if command[0] != "python" or "{" in self.test_command:
            raise ValueError(f"test-command has to start with python and name no place: {self.test_command}")
        return [str(python), *command[1:]]


def read(root: Path = ROOT, platform: str = sys.platform) -> Configuration:
    """As cibuildwheel reads it: what a platform says replaces what all are told."""
    everywhere: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    options = everywhere["tool"]["cibuildwheel"]
    options = options | options.get(PLATFORMS[platform], {})
    if options["build-frontend"] != "pip":
        raise ValueError("only pip is known here as a build-frontend")
    return Configuration(
        environment=options["environment"],
        repair_wheel_command=options.get("repair-wheel-command", ""),
        test_environment=options["test-environment"],
        test_requires=options["test-requires"],
        test_sources=options["test-sources"],
        test_command=options["test-command"],
    )
