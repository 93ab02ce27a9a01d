"""x86-64 of earlier generations: what is installed may use no instruction that it has not asked for."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from pathlib import Path

from . import parts
from .parts import Extent
from .running import TESTS, NotRunError, TargetError, need, output, run

# qemu's models, and the best kernel each can run. None emulates AVX-512.
MODELS = {"qemu64": "sse2", "core2duo": "sse2", "Nehalem": "sse2", "Haswell": "avx2"}

# What the x86-64 baseline has not: wide or mask registers, the VEX encoding, BMI, SSE3 to SSE4.2.
BEYOND = re.compile(
    r"%[yz]mm|%k[0-7]|\tv[a-z]|\t(pext|pdep|popcnt|bzhi|sarx|shlx|shrx|andn |mulx|rorx|bls[ir]|blsmsk|"
    r"bextr|"
    r"crc32|movbe|pshufb|palignr|pabs|phadd|pblend|ptest|pmovzx|pmovsx|pmin[su][bd]|pmuld|pmulld|pinsr[bdq]|"
    r"pextr[bdq]|pcmp[ei]str|pcmpgtq|pcmpeqq|round[sp][sd]|blend|lddqu|haddp|addsubp|movddup|movs[hl]dup|"
    r"aes|pclmul)"
)
# tzcnt and lzcnt are left out: the baseline reads them as bsf and bsr, which compilers make use of.
DISPATCHED = re.compile(r"^ff_\w+_(avx2|avx512)(\.\w+)*$")


def extensions() -> list[Path]:
    spec = importlib.util.find_spec("fastframe")
    assert spec is not None and spec.origin is not None
    return sorted(Path(spec.origin).parent.rglob("*.so"))


def users(library: Path) -> dict[str, str]:
    """The functions that use an instruction beyond the baseline, with the first of them."""
    found: dict[str, str] = {}
    function = ""
    for line in output("objdump", "-d", "--no-show-raw-insn", library).splitlines():
        heading = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if heading:
            function = heading.group(1)
        elif BEYOND.search(line):
            found.setdefault(function, line.strip())
    return found


def _check_machine() -> None:
    if platform.machine() != "x86_64":
        raise NotRunError("this is no x86-64")


def disassemble(extent: Extent) -> None:
    _check_machine()
    need("objdump")
    libraries = extensions()
    kernels: set[str] = set()
    for library in libraries:
        for function, instruction in users(library).items():
            if not DISPATCHED.match(function):
                raise TargetError(f"{library.name}: {function}: {instruction}")
            kernels.add(function.split(".")[0])
    # Were the symbols stripped or the expression wrong, nothing would be found at all.
    if not {"ff_mask_avx2", "ff_mask_avx512", "ff_utf8_valid_avx2", "ff_utf8_valid_avx512"} <= kernels:
        raise TargetError(f"the kernels themselves were not seen in {libraries}: {sorted(kernels)}")
    print(
        f"{len(libraries)} extension modules, instructions beyond the baseline in {len(kernels)} kernels only"
    )


def emulate(extent: Extent) -> None:
    _check_machine()
    need("qemu-x86_64-static")
    for model, kernel in MODELS.items():
        command = ("qemu-x86_64-static", "-cpu", model, sys.executable)
        environment = {"FASTFRAME_EXTENSION": "1", "FASTFRAME_KERNEL": ""}
        found = output(
            *command, "-c", "import fastframe._codec_c as c; print(c.KERNEL)", environment=environment
        )
        if found.strip() != kernel:
            raise TargetError(f"{model} runs {found.strip()}, not {kernel}")
        print(f"-- {model}: {kernel}", flush=True)
        # Children would run on the real processor: this part of the suite starts none.
        run(
            *(*command, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-k"),
            "compiled and not wsaccel and not processes",
            *(parts.CODEC if extent is Extent.WHOLE else parts.CODEC[:3]),
            at=TESTS,
            environment=environment,
        )
