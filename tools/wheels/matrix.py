"""The README's table of platforms, made from what cibuildwheel and the release workflow are told.

`python -m tools.wheels.matrix` prints it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from .configuration import ROOT

WORKFLOWS = ROOT / ".github" / "workflows"
INTERPRETERS = ("cp310", "cp311", "cp312", "cp313", "cp314", "cp315", "cp314t", "cp315t")
LINUX = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64")
PLATFORMS = {
    **{f"manylinux_{machine}": f"Linux {machine}, glibc" for machine in LINUX},
    **{f"musllinux_{machine}": f"Linux {machine}, musl" for machine in LINUX},
    "macosx_x86_64": "macOS x86_64",
    "macosx_arm64": "macOS arm64",
    "win_amd64": "Windows amd64",
    "win_arm64": "Windows arm64",
    "win32": "Windows x86",
}
SYSTEMS = ("linux", "macos", "windows")
ENTRY = re.compile(r"- \{ build: (\w+), arch: (\w+), runner: [\w.-]+(, qemu: \w+)? \}")


def identifiers() -> set[str]:
    """What cibuildwheel would build of the configuration, as it says itself."""
    found: set[str] = set()
    for system in SYSTEMS:
        command = [sys.executable, "-m", "cibuildwheel", "--platform", system, "--print-build-identifiers"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
        asked = subprocess.run(
            [*command, str(ROOT)], stdout=subprocess.PIPE, text=True, check=True, timeout=120, env=environment
        )
        found |= set(asked.stdout.split())
    return found


def jobs() -> dict[str, bool]:
    """The platforms that the release workflow has a job for, and whether it runs under emulation."""
    text = (WORKFLOWS / "release.yml").read_text(encoding="utf-8")
    windows = {"AMD64": "win_amd64", "ARM64": "win_arm64", "x86": "win32"}
    return {
        windows[arch] if build == "win" else f"{build}_{arch}": bool(emulated)
        for build, arch, emulated in ENTRY.findall(text)
    }


def cell(interpreter: str, platform: str, built: set[str], by_job: dict[str, bool], skipped: str) -> str:
    """What is done for one wheel; `skipped`: cibuildwheel's test-skip."""
    identifier = f"{interpreter}-{platform}"
    if identifier not in built or platform not in by_job:
        return "-"
    if skipped and re.fullmatch(skipped.replace("*", ".*").replace(" ", "|"), identifier):
        return "built"
    return "emulated" if by_job[platform] else "tested"


def table() -> list[str]:
    """Lines of Markdown."""
    built, by_job = identifiers(), jobs()
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    skipped = " ".join(re.findall(r'^test-skip = "(.*)"', declared, re.MULTILINE))
    head = [re.sub(r"cp3(\d+)", r"3.\1", name) for name in INTERPRETERS]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'---|' * len(head)}"]
    for platform, name in PLATFORMS.items():
        cells = [cell(one, platform, built, by_job, skipped) for one in INTERPRETERS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table()))
