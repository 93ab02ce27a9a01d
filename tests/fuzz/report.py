"""What all runs on this machine came to, and the page of the documentation that says so."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fuzz import engines
from fuzz.catalogue import HERE, NAMES, REGRESSIONS, inputs
from fuzz.fuzzing import Result

SUMS = Path(sys.prefix) / "fuzzing.json"
PAGE = HERE.parent.parent / "docs" / "security" / "fuzzing.md"

WHAT = {
    "kernel-mask": "masking kernels, against a loop over bytes",
    "kernel-utf8": "UTF-8 kernels in up to three chunks, against the definition",
    "kernel-transcode": "UTF-8 to code units, against the definition",
    "kernel-header": "header, at every cut, against RFC 6455 5.2 in plain C",
    "masking": "both halves, every entry and alignment, against XOR",
    "utf8": "both halves, in chunks and as messages, against CPython's decoder",
    "header": "both halves, and written back",
    "frame-decoder": "both halves, any cut",
    "message-decoder": "both halves, both entries, any cut and options",
    "take-chunk": "both halves, with messages taken in pieces",
    "valid-streams": "both halves, websockets, wsproto",
    "encoder": "both halves, any calls",
    "connection": "the compiled module and its source, any calls",
    "conversation": "two connections, any cuts",
    "inflate": "against zlib, within limits",
    "http-request": "request heads, against h11",
    "http-head": "any cut of a head",
    "server-handshake": "any request, any cut; answers read by h11 and by our client",
    "client-handshake": "any answer, any cut",
    "http-lists": "tokens, extensions, fields: read, written, read",
    "negotiation": "permessage-deflate between any two wishes, and any offer or answer",
    "uri": "URIs, and the requests made of them",
    "proxies": "proxies' URLs and answers",
}


def remember(results: list[Result]) -> None:
    """Add what has run to the sums of this environment."""
    sums: dict[str, Any] = json.loads(SUMS.read_text()) if SUMS.exists() else {}
    for result in results:
        entry = sums.setdefault(result.name, {"executions": 0, "seconds": 0.0, "edges": 0, "features": 0})
        entry["executions"] += result.executions
        entry["seconds"] += result.seconds
        entry["edges"] = max(entry["edges"], result.edges)
        entry["features"] = max(entry["features"], result.features)
    SUMS.write_text(json.dumps(sums, indent=1))


def table(results: list[Result]) -> str:
    rows = [f"{'target':26}{'executions':>12}{'a second':>10}{'edges':>8}{'features':>10}{'corpus':>8}"]
    for result in results:
        rate = result.executions / max(result.seconds, 0.001)
        rows.append(
            f"{result.name:26}{result.executions:12,}{rate:10,.0f}{result.edges:8,}{result.features:10,}{result.corpus:8,}"
        )
    executions = sum(result.executions for result in results)
    failed = sum(result.failure is not None for result in results)
    rows.append(f"fuzz: {len(results)} targets, {executions:,} executions, {failed} failed")
    return "\n".join(rows)


def _line_coverage() -> list[tuple[str, int, int]]:
    """Files of the package, their lines that were run by the inputs kept and found, and all their lines."""
    command = [sys.executable, "-m", "fuzz.line_coverage"]
    ran = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stdout + ran.stderr)
    return [tuple(row) for row in json.loads(ran.stdout)]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write_docs() -> None:
    """Write the page, from the sums of this environment."""
    sums: dict[str, Any] = json.loads(SUMS.read_text())
    clang = subprocess.run([engines.COMPILER, "--version"], capture_output=True, text=True, check=True).stdout
    today = datetime.date.today().isoformat()
    rows = ["| target | what is compared | executions | edges | features |", "|---|---|--:|--:|--:|"]
    for name in NAMES:
        if name not in sums:
            continue
        entry = sums[name]
        what = WHAT.get(name, "the library with the adapter and without")
        rows.append(
            f"| `{name}` | {what} | {entry['executions']:,} | {entry['edges']:,} | {entry['features']:,} |"
        )
    total = sum(entry["executions"] for entry in sums.values())
    hours = sum(entry["seconds"] for entry in sums.values()) / 3600
    lines = ["| file | lines | run |", "|---|--:|--:|"]
    for file, run, count in _line_coverage():
        lines.append(f"| `{file}` | {count} | {100 * run / count:.0f} % |")
    found = sum(len(inputs(REGRESSIONS, name)) for name in NAMES)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(
        PAGE_TEXT.format(
            total=total,
            hours=hours,
            found=found,
            targets="\n".join(rows),
            lines="\n".join(lines),
            today=today,
            python=platform.python_version(),
            atheris=version("atheris"),
            clang=clang.splitlines()[0],
            processor=_processor(),
        )
    )
    print(f"wrote {PAGE.relative_to(HERE.parent.parent)}")


PAGE_TEXT = """# Fuzzing

<!-- Written by `make fuzz FUZZ=--write-docs`. -->

Coverage-guided: libFuzzer on the C kernels, atheris on the rest, with the extension built for coverage, ASan
and UBSan. An input is a plan of choices, so that valid streams are reached as quickly as broken ones. How to
run it is in [Development](../development.md#fuzzing).

{total:,} executions in {hours:.1f} hours of one processor, {today}. Inputs that once failed, and are run
with the suite ever since: {found}.

{targets}

Edges and features are libFuzzer's: of the C of the kernels, or of the Python and of the extension together.

Lines of Python that the kept and found inputs run, of the files that the targets are about (both halves of
the codec do the same, so this is the pure one; what is compiled as it stands is counted in its source):

{lines}

Made with CPython {python}, atheris {atheris}, {clang}, on {processor}.
"""
