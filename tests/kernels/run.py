"""Build and run test_kernels.c: natively, under the sanitizers, and for other processors by emulation.

Usage: python tests/kernels/run.py [--zig] [--all]

With ``--zig`` the targets are those that the package ziglang compiles for. A
target whose compiler or emulator the machine lacks is reported as not run; with
``--all`` that is a failure.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
KERNELS = HERE.parent.parent / "src" / "fastframe" / "_kernels"
VECTORS = HERE.parent / "vectors"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-wrapv", "-g"]


class Target(NamedTuple):
    name: str
    compiler: str
    flags: tuple[str, ...] = ("-O3",)
    emulator: str | None = None


TARGETS = [
    Target("native, gcc", "gcc"),
    Target("native, gcc with ASan and UBSan", "gcc", ("-O1", *SANITIZERS)),
    Target("native, clang", "clang-16"),
    Target("aarch64, gcc", "aarch64-linux-gnu-gcc", ("-O3", "-static"), "qemu-aarch64-static"),
    Target("s390x (big-endian), gcc", "s390x-linux-gnu-gcc", ("-O3", "-static"), "qemu-s390x-static"),
]
if platform.machine() in ("x86_64", "AMD64"):
    # "max" has AVX2 and no AVX-512; "qemu64" has neither.
    TARGETS += [
        Target("x86-64 without AVX-512", "gcc", ("-O3", "-static"), "qemu-x86_64-static -cpu max"),
        Target("x86-64 baseline", "gcc", ("-O3", "-static"), "qemu-x86_64-static -cpu qemu64"),
    ]

# One package of the package index, instead of a cross-compiler and a C library for each.
ZIG = f"{sys.executable} -m ziglang cc"
ZIG_TARGETS = [
    Target(f"{name}, zig", ZIG, ("-O3", "-static", "-target", triple), emulator)
    for name, triple, emulator in (
        ("armv7", "arm-linux-musleabihf", "qemu-arm-static"),
        ("riscv64", "riscv64-linux-musl", "qemu-riscv64-static"),
        ("ppc64le", "powerpc64le-linux-musl", "qemu-ppc64le-static"),
    )
]


def expand(piece: object) -> bytes:
    """The bytes that a vector describes."""
    if isinstance(piece, str):
        return bytes.fromhex(piece)
    if isinstance(piece, dict):
        if "text" in piece:
            return str(piece["text"]).encode()
        return bytes.fromhex(piece["repeat"]) * int(piece["count"])
    assert isinstance(piece, list), piece
    return b"".join(expand(part) for part in piece)


def wire_cases() -> str:
    """The vectors that concern the kernels, in the lines that test_kernels.c reads."""
    lines = []
    for vector in json.loads((VECTORS / "utf8.json").read_text()):
        data = expand(vector["bytes"])
        lines += [f"utf8 {data.hex()} {vector.get('bad_at', -1)}"] if data else []
    for vector in json.loads((VECTORS / "headers.json").read_text()):
        data = expand(vector["header"])
        lines.append(f"header {data.hex()} {len(data)} {vector['payload_length']}")
    for vector in json.loads((VECTORS / "header_errors.json").read_text()):
        if "parse_header" in vector["by"]:
            lines.append(f"header {expand(vector['header']).hex()} -1 0")
    return "\n".join(lines) + "\n"


def missing(target: Target) -> str | None:
    needed = [command.split()[0] for command in (target.compiler, target.emulator) if command]
    lacking = [program for program in needed if not shutil.which(program)]
    if target.compiler == ZIG and not find_spec("ziglang"):
        lacking.append("ziglang")
    return ", ".join(lacking) or None


def run(target: Target, cases: str, folder: Path) -> bool:
    binary = folder / "test_kernels"
    source = str(HERE / "test_kernels.c")
    command = [*target.compiler.split(), *WARNINGS, *target.flags, f"-I{KERNELS}", source, "-o", str(binary)]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    if build.returncode:
        print(build.stderr)
        return False
    emulator = target.emulator.split() if target.emulator else []
    result = subprocess.run(
        [*emulator, str(binary)], input=cases, capture_output=True, text=True, timeout=900, check=False
    )
    print(result.stdout + result.stderr, end="")
    if result.returncode < 0:
        print(f"ended by signal {-result.returncode}")
    return result.returncode == 0


def main() -> int:
    need_all = "--all" in sys.argv[1:]
    targets = ZIG_TARGETS if "--zig" in sys.argv[1:] else TARGETS
    cases = wire_cases()
    failed, not_run = [], []
    for target in targets:
        print(f"--- {target.name}")
        lacking = missing(target)
        if lacking:
            print(f"not run: {lacking} not found")
            not_run.append(target.name)
            continue
        with tempfile.TemporaryDirectory() as folder:
            if not run(target, cases, Path(folder)):
                failed.append(target.name)
    passed = len(targets) - len(failed) - len(not_run)
    print(f"kernels: {passed} targets passed, {len(failed)} failed, {len(not_run)} not run")
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed or (need_all and not_run) else 0


if __name__ == "__main__":
    sys.exit(main())
