"""Where the tables go: terminal, Markdown, JSON."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .figures import FigureResult
from .machine import Machine
from .tables import Table, all_tables, environment, folded
from .timing import Plan, Samples

try:
    import rich.box
    import rich.console
    import rich.table

    _has_rich = True
except ImportError:  # the `bench` extra brings it; plain text is as complete
    _has_rich = False

_FILE_WIDTH = 200

_STYLES = {"reached": "bold green", "NOT reached": "bold red", "not measured": "yellow"}


class Progress:
    """One line on the terminal that says what is being measured; nothing when output is redirected."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{text} ...", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def print_figure(result: FigureResult) -> None:
    """Print a figure's tables to standard output."""
    print_heading(f"Figure {result.figure.number}: {result.figure.title}")
    for table in all_tables(result, spread=False):
        print_table(table)


def print_heading(text: str) -> None:
    """Print a heading to standard output."""
    if _has_rich:
        _console().rule(f"[bold]{text}")
    else:
        print(f"\n{text}\n{'=' * len(text)}")


def print_table(table: Table) -> None:
    """Print a table with rich, or as aligned text where rich is not installed."""
    for part in folded(table, _width()):
        if _has_rich:
            _print_rich(part)
        else:
            _print_plain(part)
        for remark in part.remarks:
            print(f"  {remark}")
        print()


def _width() -> int:
    # Output into a file has no width; a log may be as wide as the table.
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _FILE_WIDTH


def _console() -> rich.console.Console:
    return rich.console.Console(width=_width(), highlight=False)


def _print_rich(table: Table) -> None:
    shown = rich.table.Table(
        title=table.title, title_justify="left", box=rich.box.SIMPLE_HEAD, pad_edge=False
    )
    for number, head in enumerate(table.header):
        is_number = number > 0 and table.numeric
        shown.add_column(head, justify="right" if is_number else "left", no_wrap=is_number)
    for row in table.rows:
        style = "bold" if row[0] in table.emphasised and table.numeric else _STYLES.get(row[1])
        shown.add_row(*row, style=style)
    _console().print(shown)


def _print_plain(table: Table) -> None:
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    print(table.title)
    for row in (table.header, *table.rows):
        cells = [
            cell.rjust(width) if number and table.numeric else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def as_json(results: Sequence[FigureResult], machine: Machine, plan: Plan, loop: float) -> str:
    """All samples and verdicts, for machines."""
    figures = [
        {
            "number": result.figure.number,
            "title": result.figure.title,
            "unit": result.figure.unit,
            "goals": [dataclasses.asdict(verdict) for verdict in result.verdicts],
            "cases": [_json_case(case.label, case.size, case.outcomes) for case in result.cases],
        }
        for result in results
    ]
    document = {
        "machine": dataclasses.asdict(machine),
        "plan": dataclasses.asdict(plan),
        "empty_loop_ns": loop,
        "figures": figures,
    }
    return json.dumps(document, indent=1) + "\n"


def _json_case(label: str, size: int, outcomes: dict[str, Samples | str]) -> dict[str, Any]:
    contestants: dict[str, Any] = {}
    for name, outcome in outcomes.items():
        if isinstance(outcome, str):
            contestants[name] = {"left_out": outcome}
        else:
            contestants[name] = {
                "median_ns": outcome.median,
                "iqr_ns": outcome.spread,
                "iterations": outcome.iterations,
                "samples_ns": outcome.nanoseconds,
            }
    return {"case": label, "size": size, "contestants": contestants}


_METHOD = """\
Everything here is measured in one run. For each case all contestants are first checked for the right
result, then timed in rounds; every round starts with another contestant and every other one runs backwards.
A sample is one compiled loop, as `timeit` makes it, around the contestant's own statement, after one untimed
iteration; the loop's own cost is in every figure alike. One processor for all, no garbage collection while
timing; where the system can tell, the time is the processor's own, without what other programs took of it.
Figures are medians over the rounds; after ± stands the interquartile range.

A copy is `bytes(source)` of a bytearray of the same size: what moving the bytes costs. The empty C call is
`callable(data)`: what calling anything costs. A ratio is the median of the rounds' ratios, because what
disturbs a round disturbs both sides of it; below 1 fastframe takes less time. Goals are judged on ratios of
two digits after the point.
"""


def as_markdown(results: Sequence[FigureResult], machine: Machine, plan: Plan, loop: float) -> str:
    """The page docs/benchmarks/codec.md."""
    lines = [
        "# Codec benchmarks",
        "",
        "This page is written by `python -m bench --write-docs`, which measures it anew.",
        "",
        "![Plots of the figures below](codec.svg)",
        "",
        _METHOD,
    ]
    lines += markdown_table(environment(machine, plan, loop), level=2)
    for result in results:
        lines += [f"## Figure {result.figure.number}: {result.figure.title}", ""]
        lines += [f"{note}\n" for note in result.figure.notes]
        for table in all_tables(result, spread=True):
            lines += markdown_table(table, level=3)
    return "\n".join(lines).rstrip() + "\n"


def markdown_table(table: Table, level: int) -> Iterable[str]:
    """The lines of a table in Markdown, under a heading of that level."""
    rule = [" --- ", *([" ---: " if table.numeric else " --- "] * (len(table.header) - 1))]
    yield f"{'#' * level} {table.title}"
    yield ""
    for cells in (table.header, None, *table.rows):
        if cells is None:
            yield f"|{'|'.join(rule)}|"
        else:
            bold = "**" if (cells[0] in table.emphasised and table.numeric) or "NOT reached" in cells else ""
            texts = (f"{bold}{cell}{bold}" if cell else "" for cell in cells)
            yield f"| {' | '.join(texts)} |"
    yield ""
    for remark in table.remarks:
        yield f"- {remark}"
    if table.remarks:
        yield ""
