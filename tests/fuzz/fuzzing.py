"""One target fuzzed for a while: what is on its way, what it came to, and what it found."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from fuzz import autobahn, engines
from fuzz.catalogue import CORPUS, HERE, REGRESSIONS

FOUND = Path(sys.prefix) / "found"
"""Inputs that reached something new on this machine, a folder for each target."""

MAX_SIZE = 2000
"""Bytes in an input; what is larger is made of choices."""

_EVERY = 15
"""Seconds between two lines of progress."""

_STATUS = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")


class Job(NamedTuple):
    """What to fuzz, and for how long."""

    name: str
    scratch: Path
    seconds: int | None
    runs: int | None


class Result(NamedTuple):
    """What became of it."""

    name: str
    executions: int
    seconds: float
    edges: int
    features: int
    corpus: int
    failure: str | None


def output_of(command: list[str], environment: dict[str, str]) -> str:
    ran = subprocess.run(
        command,
        env=environment,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return ran.stdout + ran.stderr


def run(job: Job) -> Result:
    """Fuzz, and save an input that fails."""
    command, environment = engines.command(job.name, job.scratch)
    found = FOUND / job.name
    found.mkdir(parents=True, exist_ok=True)
    failing = job.scratch / f"failing-{job.name}"
    failing.mkdir()
    options = [f"-artifact_prefix={failing}/", f"-max_len={MAX_SIZE}", "-timeout=30", "-rss_limit_mb=3000"]
    options += ["-print_final_stats=1"]
    options += [f"-runs={job.runs}", "-seed=1"] if job.runs else [f"-max_total_time={job.seconds}"]
    if job.runs:
        # From the same inputs each time, whatever was found on this machine before.
        found = job.scratch / f"found-{job.name}"
        found.mkdir()
    recorded = job.scratch / f"recorded-{job.name}"
    recorded.mkdir()
    for number, data in enumerate(autobahn.inputs(job.name)):
        (recorded / str(number)).write_bytes(data)
    folders = [
        found,
        recorded,
        *(folder / job.name for folder in (CORPUS, REGRESSIONS) if (folder / job.name).is_dir()),
    ]
    began = time.monotonic()
    process = subprocess.Popen(
        [*command, *options, *map(str, folders)],
        env=environment,
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines = _followed(job.name, process)
    status = process.wait()
    return _result(job.name, lines, status, time.monotonic() - began, failing)


def _followed(name: str, process: subprocess.Popen[str]) -> list[str]:
    """All it says; now and then, how far it is."""
    assert process.stdout is not None
    lines = []
    shown = time.monotonic()
    for line in process.stdout:
        lines.append(line)
        if _STATUS.match(line) and time.monotonic() - shown > _EVERY:
            shown = time.monotonic()
            print(f"{name:24} {' '.join(line.split())}", flush=True)
    return lines


def _result(name: str, lines: list[str], status: int, seconds: float, failing: Path) -> Result:
    told = "".join(lines)
    statuses = _STATUS.findall(told)
    executed = _EXECUTED.findall(told)
    _, _, edges, features, corpus = statuses[-1] if statuses else ("0", "", "0", "0", "0")
    failure = None
    if status != 0:
        saved = [_saved(name, path) for path in sorted(failing.iterdir())]
        failure = f"saved {', '.join(saved) or 'nothing'}"
        print(f"==== {name} failed\n{told[-6000:]}", flush=True)
    executions = int(executed[-1]) if executed else int(statuses[-1][0]) if statuses else 0
    if executions == 0 and failure is None:
        failure = "nothing was executed"
    return Result(name, executions, seconds, int(edges), int(features), int(corpus), failure)


def _saved(name: str, path: Path) -> str:
    data = path.read_bytes()
    kind = path.name.partition("-")[0]
    kept = REGRESSIONS / name / f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return kept.relative_to(HERE.parent.parent).as_posix()


def keep_corpus(name: str, largest: int = 600, most: int = 60) -> None:
    """Replace the target's corpus by the fewest inputs that reach what all found ones reach.

    Args:
        largest: bytes in an input that is kept.
        most: inputs that are kept.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command, environment = engines.command(name, Path(scratch))
        merged = Path(scratch) / "merged"
        merged.mkdir()
        folders = [folder / name for folder in (CORPUS, FOUND) if (folder / name).is_dir()]
        told = output_of(
            [*command, "-merge=1", f"-max_len={MAX_SIZE}", str(merged), *map(str, folders)], environment
        )
        small = sorted((path for path in merged.iterdir()), key=lambda path: path.stat().st_size)
        small = [path for path in small if path.stat().st_size <= largest]
        if not small:
            raise RuntimeError(f"nothing to keep for {name}:\n{told[-2000:]}")
        # Evenly over the sizes, so that large inputs have their share.
        kept = small if len(small) <= most else [small[i * len(small) // most] for i in range(most)]
        shutil.rmtree(CORPUS / name, ignore_errors=True)
        (CORPUS / name).mkdir(parents=True)
        for path in kept:
            (CORPUS / name / hashlib.sha256(path.read_bytes()).hexdigest()[:12]).write_bytes(
                path.read_bytes()
            )
        print(f"{name}: {len(kept)} of {len(small)} inputs kept")
