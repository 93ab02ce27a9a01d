"""Reads the JSON reports of the Autobahn testsuite and judges them.

A case passes only if both of its verdicts, on what happened and on how the
connection closed, are in `PASSING`. A case that the report does not have is
`MISSING`, which is a failure like any other.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PASSING = ("OK", "INFORMATIONAL")
MISSING = "MISSING"


class CaseResult(NamedTuple):
    case_id: str
    behavior: str
    behavior_close: str
    seconds: float
    description: str
    explanation: str

    @property
    def passed(self) -> bool:
        return self.behavior in PASSING and self.behavior_close in PASSING

    @property
    def verdict(self) -> str:
        """The one word that a table counts this case under."""
        if self.behavior in PASSING and self.behavior_close not in PASSING:
            return f"close: {self.behavior_close}"
        return self.behavior


def case_order(case_id: str) -> tuple[int, ...]:
    """Sorts "9.2" before "9.10"."""
    return tuple(int(number) for number in case_id.split("."))


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an empty one if a fuzzer that was stopped left none, or half of one."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _plain(text: object) -> str:
    """`text` without HTML tags, on one line."""
    return " ".join(re.sub(r"<[^>]*>", " ", str(text)).split())


def _case_result(folder: Path, case_id: str, entry: Mapping[str, Any] | None, description: str) -> CaseResult:
    if entry is None:
        return CaseResult(case_id, MISSING, MISSING, 0.0, description, "")
    details = _read_object(folder / str(entry.get("reportfile", "")))
    explanation = _plain(f"{details.get('result', '')} {details.get('resultClose', '')}")
    return CaseResult(
        case_id,
        str(entry.get("behavior", MISSING)),
        str(entry.get("behaviorClose", MISSING)),
        float(entry.get("duration", 0)) / 1000,
        description,
        explanation,
    )


def read_report(folder: Path, agent: str, expected: Mapping[str, str]) -> list[CaseResult]:
    """What became of every case.

    Args:
        folder: The `outdir` of one run of the fuzzer.
        agent: The name under which it lists the peer.
        expected: Descriptions by case number, of each case that should have run.

    Returns:
        A result for each case that is expected or reported, in the order of the suite.
    """
    entries = _read_object(folder / "index.json").get(agent, {})
    return [
        _case_result(folder, case_id, entries.get(case_id), _plain(expected.get(case_id, "")))
        for case_id in sorted({*expected, *entries}, key=case_order)
    ]


class Run(NamedTuple):
    """One peer in one role: its results, what went wrong outside of the cases, and the time it took."""

    name: str
    results: Sequence[CaseResult]
    problems: Sequence[str]
    seconds: float

    @property
    def passed(self) -> bool:
        return bool(self.results) and not self.problems and all(result.passed for result in self.results)


def table(runs: Iterable[Run]) -> str:
    """A line for each run: how many cases, how many of each verdict, seconds."""
    runs = list(runs)
    counts = [Counter(result.verdict for result in run.results) for run in runs]
    verdicts = list(PASSING) + sorted({verdict for count in counts for verdict in count} - set(PASSING))
    rows = [["autobahn", "cases", *verdicts, "seconds"]]
    for run, count in zip(runs, counts, strict=True):
        numbers = [str(count[verdict]) for verdict in verdicts]
        rows.append([f"autobahn {run.name}", str(len(run.results)), *numbers, f"{run.seconds:.1f}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def bad_cases(run: Run) -> str:
    """Each case of `run` that did not pass, with the suite's words on it; "" if all passed."""
    lines = [f"{run.name}: {problem}" for problem in run.problems]
    for result in run.results:
        if result.behavior == MISSING:
            lines.append(f"{run.name}: case {result.case_id}: {MISSING}: {result.description}")
        elif not result.passed:
            lines += [
                f"{run.name}: case {result.case_id}: {result.behavior}, close: {result.behavior_close}",
                f"    {result.description}",
                f"    {result.explanation}",
            ]
    return "\n".join(lines)
