"""Results as tables of text, whatever they are printed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .contestants import COPY, EMPTY_CALL, OURS, OURS_PURE, Kind
from .figures import KIB, CaseResult, FigureResult, Verdict, size_name
from .machine import Machine
from .timing import Plan, Samples


@dataclass(frozen=True)
class Table:
    """Rows of cells under a header; the first column is text, the others are `numeric` or are not.

    The rows named in `emphasised` stand out.
    """

    title: str
    header: list[str]
    rows: list[list[str]]
    remarks: tuple[str, ...] = ()
    numeric: bool = True
    emphasised: tuple[str, ...] = (OURS,)


def goals(result: FigureResult) -> Table:
    """What was to be reached, and whether it is."""
    return goals_table("Goals", result.verdicts)


def goals_table(title: str, verdicts: Sequence[Verdict]) -> Table:
    words = {True: "reached", False: "NOT reached", None: "not measured"}
    rows = [[v.goal, words[v.reached], v.measured] for v in verdicts]
    return Table(title, ["goal", "", "measured"], rows, numeric=False)


def summary(result: FigureResult) -> Table:
    """Ours beside the best peer, a copy and the figure's yardsticks, a row for each case."""
    figure = result.figure
    peers = figure.names(Kind.PEER, Kind.PEER_PURE)
    yardsticks = [COPY, *(name for name in figure.yardsticks if name != COPY)]
    header = ["", OURS, "IQR", OURS_PURE, "best peer", "", "ours / best peer"]
    header += [text for name in yardsticks for text in (name, f"ours / {name}")]
    rows = []
    for case in result.cases:
        best = case.best(OURS, peers)
        ours = case.outcomes.get(OURS)
        row = [case.label, _time(case.median(OURS))]
        row.append(_time(ours.spread) if isinstance(ours, Samples) else "")
        row.append(_time(case.median(OURS_PURE)))
        row += [best or "–", _time(case.median(best) if best else None), _ratio(case.ratio(OURS, best or ""))]
        for name in yardsticks:
            row += [_time(case.median(name)), _ratio(case.ratio(OURS, name))]
        rows.append(row)
    return Table(f"Beside the best peer, {figure.unit}", header, rows)


def details(result: FigureResult, *, spread: bool) -> list[Table]:
    """All contestants by all sizes; a table for each group of cases.

    Args:
        result: the figure.
        spread: whether to put the interquartile range after each median.
    """
    groups = list(dict.fromkeys(case.group for case in result.cases))
    tables = [_details(result, group, spread) for group in groups]
    # Who is missing is missing in every group: said once, under the last.
    remarks = tuple(dict.fromkeys(remark for table in tables for remark in table.remarks))
    return [replace(table, remarks=remarks if table is tables[-1] else ()) for table in tables]


def _details(result: FigureResult, group: str, spread: bool) -> Table:
    figure = result.figure
    cases = [case for case in result.cases if case.group == group]
    in_gbps = [figure.throughput and case.size >= KIB for case in cases]
    header = [""]
    header += [
        size_name(case.size) + (", GB/s" if gbps else "") for case, gbps in zip(cases, in_gbps, strict=True)
    ]
    rows = []
    remarks = []
    for name in [contestant.name for contestant in figure.contestants]:
        reasons = dict.fromkeys(found for case in cases if isinstance(found := case.outcomes[name], str))
        remarks += [f"{name}: {reason}" for reason in reasons]
        cells = [_cell(case, name, gbps, spread) for case, gbps in zip(cases, in_gbps, strict=True)]
        if len(reasons) == 1 and all(cell == "–" for cell in cells):
            cells[0] = next(iter(reasons)).split(":")[0]
        rows.append([name, *cells])
    title = f"All, {group}, {figure.unit}" if group else f"All, {figure.unit}"
    return Table(title, header, rows, tuple(remarks))


def _cell(case: CaseResult, name: str, gbps: bool, spread: bool) -> str:
    found = case.outcomes[name]
    if isinstance(found, str):
        return "–"
    if gbps and name == EMPTY_CALL:
        return "–"
    if gbps:
        speed = case.size / found.median
        return f"{speed:.2f}" + (f" ± {speed * found.spread / found.median:.2f}" if spread else "")
    return _time(found.median) + (f" ± {_time(found.spread)}" if spread else "")


def _time(nanoseconds: float | None) -> str:
    if nanoseconds is None:
        return "–"
    return f"{nanoseconds:.1f}" if nanoseconds < 100 else f"{nanoseconds:,.0f}"


def _ratio(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def environment(machine: Machine, plan: Plan, loop: float) -> Table:
    """Where, when and with what; `loop`: nanoseconds of an empty loop's iteration."""
    measuring = [
        ["rounds", f"{plan.rounds}, samples of {plan.sample_time * 1e3:g} ms or one iteration at least"],
        ["the loop alone", f"{loop:.1f} ns an iteration, in every figure alike"],
    ]
    return environment_table(machine, measuring)


def environment_table(machine: Machine, measuring: Sequence[list[str]]) -> Table:
    """Where, when and with what; `measuring`: rows on how it was measured."""
    pinned = "not pinned" if machine.pinned_to is None else f"pinned to processor {machine.pinned_to}"
    rows = [
        ["date", machine.date],
        ["machine", f"{machine.cpu}, {machine.cpus} processors, {pinned}"],
        ["system", machine.system],
        ["Python", machine.python],
        ["fastframe's kernel", machine.kernel],
        *measuring,
        *[[name, version] for name, version in machine.versions.items()],
    ]
    return Table("Where and with what", ["", ""], rows, numeric=False)


def folded(table: Table, width: int) -> list[Table]:
    """Cut a table between columns into tables of at most `width` characters, the first column in each.

    Tables of long text are left whole.
    """
    gap = 3
    widths = [max(map(len, column)) + gap for column in zip(table.header, *table.rows, strict=True)]
    if sum(widths) <= width or not table.numeric:
        return [table]
    groups: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        used = widths[0] + sum(widths[other] for other in groups[-1])
        if groups[-1] and used + widths[column] > width:
            groups.append([])
        groups[-1].append(column)
    return [
        replace(
            table,
            header=[table.header[column] for column in (0, *group)],
            rows=[[row[column] for column in (0, *group)] for row in table.rows],
            remarks=table.remarks if group is groups[-1] else (),
        )
        for group in groups
    ]


def all_tables(result: FigureResult, *, spread: bool) -> Sequence[Table]:
    return (goals(result), summary(result), *details(result, spread=spread))
