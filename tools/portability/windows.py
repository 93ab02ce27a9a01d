"""The C by compilers for Windows, as far as that goes without Windows' own headers and Python's for it."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from .parts import Extent
from .running import ROOT, NotRunError, TargetError, output

KERNELS = ROOT / "src" / "fastframe" / "_kernels"
TRIPLES = ("x86_64-windows-gnu", "aarch64-windows-gnu", "x86-windows-gnu")
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable")

# All kernels, reachable from a function that is exported, so that code is generated for them.
UNIT = """
#include "cpu.h"
#include "header.h"
const ff_kernels *chosen(const char *name) { return ff_choose_kernels(name); }
int parse(const uint8_t *p, size_t n, const ff_expectation *e, ff_header *h) {
    return ff_parse_header(p, n, e, h);
}
"""
STRING_H = """
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
int strcmp(const char *, const char *);
"""
GNU_ONLY = re.compile(
    r"__attribute__|__builtin_|__int128|__typeof__|\btypeof\b|__asm__|\basm\b|__extension__|\(\{"
)
GUARD = re.compile(r"__GNUC__|__clang__|_MSC_VER|__GLIBC__|_WIN32")


def unguarded(text: str) -> list[str]:
    """Lines with a construct of GNU's that no condition on the compiler encloses."""
    found = []
    guards: list[bool] = []
    for number, line in enumerate(re.sub(r"/\*.*?\*/", _blank, text, flags=re.DOTALL).splitlines(), 1):
        directive = re.match(r"\s*#\s*(if|el|endif)", line)
        if directive and directive.group(1) == "if":
            guards.append(bool(GUARD.search(line)))
        elif directive and directive.group(1) == "el":
            guards[-1] = guards[-1] or bool(GUARD.search(line))
        elif directive:
            guards.pop()
        elif GNU_ONLY.search(line) and not any(guards):
            found.append(f"{number}: {line.strip()}")
    return found


def _blank(comment: re.Match[str]) -> str:
    return "\n" * comment.group().count("\n")


def hand_written() -> dict[str, str]:
    """The C of this repository that goes into the extension: the kernels, and what Cython sources quote."""
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(KERNELS.glob("*.h"))}
    for path in sorted((ROOT / "src").rglob("*.p[yx][xi]")):
        quoted = re.findall(r'cdef extern from \*:\n\s+"""(.*?)"""', path.read_text(), flags=re.DOTALL)
        for number, text in enumerate(quoted):
            sources[f"{path.relative_to(ROOT)}, quotation {number}"] = text
    return sources


def run(extent: Extent) -> None:
    if not find_spec("ziglang"):
        raise NotRunError("ziglang not found")
    bad = [f"{name}: {line}" for name, text in hand_written().items() for line in unguarded(text)]
    if bad:
        raise TargetError("GNU's own constructs outside of guards:\n" + "\n".join(bad))
    with tempfile.TemporaryDirectory() as folder:
        unit = Path(folder) / "unit.c"
        unit.write_text(UNIT)
        zig = (sys.executable, "-m", "ziglang", "cc")
        for triple in TRIPLES:
            made = Path(folder) / f"{triple}.o"
            output(*zig, *WARNINGS, "-O3", "-target", triple, f"-I{KERNELS}", "-c", unit, "-o", made)
            print(f"{triple}: the kernels compile, {made.stat().st_size} bytes")
        clang = shutil.which("clang-cl-16") or shutil.which("clang-cl") or shutil.which("clang-16")
        if clang is None:
            raise NotRunError("clang-16 not found: kernels in clang-cl's mode")
        # Microsoft's headers are not to be had; the kernels need no more of them than this.
        (Path(folder) / "string.h").write_text(STRING_H)
        for machine in ("x86_64", "aarch64"):
            output(
                *(
                    clang,
                    "--driver-mode=cl",
                    f"--target={machine}-pc-windows-msvc",
                    "/O2",
                    "/W3",
                    "/WX",
                    "/c",
                ),
                *("/clang:-ffreestanding", "-Wno-unused-function", f"/I{KERNELS}", f"/I{folder}"),
                *(unit, f"/Fo{folder}/{machine}.obj"),
            )
            print(f"{machine}-pc-windows-msvc: the kernels compile in clang-cl's mode")
