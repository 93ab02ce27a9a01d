"""The results as tables, as the page docs/benchmarks/servers.md, and as JSON."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..machine import Machine
from ..report import markdown_table, print_heading, print_table
from ..tables import Table, environment_table, goals_table
from .cases import Mode
from .goals import FIGURES, judge
from .registry import CALLBACK, COROUTINE, LOOPS, SERVERS
from .results import CaseResult, Samples, as_document
from .run import Plan, Processors

_METHOD = pathlib.Path(__file__).with_name("method.md")

_COLUMNS = 6

_OURS = tuple(f"{label}, {loop}" for label in (CALLBACK, COROUTINE) for loop in LOOPS)

Cell = Callable[[Samples], str]


def _tables(results: Sequence[CaseResult], title: str, cell: Cell) -> Iterator[Table]:
    """Servers by cases, a few cases in each table."""
    for start in range(0, len(results), _COLUMNS):
        part = results[start : start + _COLUMNS]
        names = [server.name for server in SERVERS if any(server.name in result.outcomes for result in part)]
        rows, remarks = [], []
        for name in names:
            outcomes = [result.outcomes.get(name, "not chosen") for result in part]
            if not any(isinstance(outcome, Samples) for outcome in outcomes):
                remarks += [f"{name}: {reason}" for reason in dict.fromkeys(map(str, outcomes))]
                continue
            rows.append([name, *(cell(found) if isinstance(found, Samples) else "–" for found in outcomes)])
            remarks += [
                f"{name}, {result.label}: {found}"
                for result, found in zip(part, outcomes, strict=True)
                if isinstance(found, str)
            ]
        header = ["", *(result.label for result in part)]
        yield Table(title, header, rows, tuple(remarks), emphasised=_OURS)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _value(samples: Samples) -> str:
    share = samples.spread / samples.median if samples.median else 0.0
    return f"{_number(samples.median)} ± {share:.0%}"


def _latency(samples: Samples) -> str:
    middle, late = samples.latency("p50"), samples.latency("p99")
    return "–" if middle is None or late is None else f"{_number(middle)} / {_number(late)}"


def _processor(samples: Samples) -> str:
    share = samples.middle("server_cpu")
    return f"{samples.middle('cost'):.2f} ({share:.0%})" if share else "–"


def main_tables(results: Sequence[CaseResult]) -> Iterator[Table]:
    """What was counted, mode by mode."""
    for mode in Mode:
        chosen = [result for result in results if result.case.mode is mode]
        yield from _tables(chosen, mode.value[0].upper() + mode.value[1:], _value)
    slow = [result for result in results if result.case.slow]
    yield from _tables(
        slow,
        "Memory that the server grew by at its peak with slow consumers, MiB",
        lambda samples: f"{samples.middle('memory') / 2**20:.1f}",
    )


def further_tables(results: Sequence[CaseResult]) -> Iterator[Table]:
    """Latencies, and where the time went."""
    timed = [result for result in results if result.case.mode in (Mode.ECHO, Mode.FANOUT, Mode.CONNECT)]
    yield from _tables(timed, "Latency, microseconds, median / 99th percentile", _latency)
    rates = [result for result in results if result.case.mode is not Mode.IDLE]
    yield from _tables(
        rates, "Processor time of what is measured, microseconds each (share of the processor)", _processor
    )


def verdict_tables(results: Sequence[CaseResult]) -> Iterator[Table]:
    verdicts = judge(results)
    for figure, title in FIGURES.items():
        yield goals_table(f"Figure {figure}: {title}", verdicts[figure])


def environment(machine: Machine, plan: Plan, processors: Processors) -> Table:
    load = "not pinned" if processors.load is None else f"pinned to processor {processors.load}"
    measuring = [
        ["load", load],
        ["rounds", f"{plan.rounds}, {plan.fresh_rounds} of those that take a fresh server"],
        ["a sample", f"{plan.seconds:g} s of load, after {plan.warmup:g} s that are not counted"],
    ]
    if plan.by_processor:
        measuring.append(["seconds", "of the server's own processor time, not of the clock"])
    return environment_table(machine, measuring)


def print_all(results: Sequence[CaseResult], environment: Table) -> None:
    for table in main_tables(results):
        print_table(table)
    print_heading("Goals")
    for table in verdict_tables(results):
        print_table(table)
    print_table(environment)


def as_markdown(results: Sequence[CaseResult], environment: Table, picture: str | None) -> str:
    """The page docs/benchmarks/servers.md."""
    lines = ["# Servers and clients", ""]
    lines += ["This page is written by `python -m bench.servers --write-docs`, which measures it anew.", ""]
    if picture:
        lines += [f"![Plots of the figures below]({picture})", ""]
    lines += [_METHOD.read_text(encoding="utf-8"), *markdown_table(environment, level=2), "## Goals", ""]
    for table in verdict_tables(results):
        lines += markdown_table(table, level=3)
    lines += ["## Results", ""]
    for table in (*main_tables(results), *further_tables(results)):
        lines += markdown_table(table, level=3)
    return "\n".join(lines).rstrip() + "\n"


def as_json(results: Sequence[CaseResult], machine: Machine, plan: Plan) -> str:
    """All samples and verdicts, for machines; `compare.py` reads it."""
    document: dict[str, Any] = {
        "machine": dataclasses.asdict(machine),
        "plan": dataclasses.asdict(plan),
        "goals": [
            {"figure": figure, **dataclasses.asdict(verdict)}
            for figure, verdicts in judge(results).items()
            for verdict in verdicts
        ],
        "cases": as_document(results),
    }
    return json.dumps(document, indent=1) + "\n"
