"""What a figure is made of: cases, what was measured, and whether a goal is reached."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .contestants import Contestant, Kind
from .timing import Samples

Input = TypeVar("Input")

KIB = 1024
MIB = 1024 * 1024


def size_name(size: int) -> str:
    """Return a size in bytes as people write it."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


@dataclass(frozen=True)
class Case(Generic[Input]):
    """One input that all contestants of a figure are timed with.

    Attributes:
        group: what else than the size tells cases apart (a kind of text, a role), or "".
        size: bytes of payload in one unit.
        units: units of work (calls, frames) in one iteration.
        input: what the contestants are given.
        expected: what they all must make of it.
        probes: further inputs and what must come out; checked, never timed.
    """

    group: str
    size: int
    input: Input
    expected: object
    units: int = 1
    probes: tuple[tuple[Input, object], ...] = ()

    @property
    def label(self) -> str:
        return f"{self.group} {size_name(self.size)}".strip()


@dataclass(frozen=True)
class CaseResult:
    """What one case gave: for each contestant its samples, or why there are none."""

    group: str
    size: int
    outcomes: dict[str, Samples | str]

    @property
    def label(self) -> str:
        return f"{self.group} {size_name(self.size)}".strip()

    def median(self, name: str) -> float | None:
        """Nanoseconds per unit, None if the contestant was not measured."""
        outcome = self.outcomes.get(name)
        return outcome.median if isinstance(outcome, Samples) else None

    def ratio(self, name: str, other: str) -> float | None:
        """How much longer `name` takes than `other`: the median of the rounds' ratios.

        What changes while a case is measured (the processor's frequency, a
        neighbour in its caches) changes both sides of a round.
        """
        ours, theirs = self.outcomes.get(name), self.outcomes.get(other)
        if not isinstance(ours, Samples) or not isinstance(theirs, Samples):
            return None
        pairs = zip(ours.nanoseconds, theirs.nanoseconds, strict=True)
        return statistics.median(mine / other for mine, other in pairs)

    def best(self, name: str, others: Iterable[str]) -> str | None:
        """Whom of `others` it is hardest for `name` to beat; the fastest if `name` was not measured."""
        measured = [other for other in others if self.median(other) is not None]
        if self.median(name) is None:
            return min(measured, key=lambda other: self.median(other) or 0.0, default=None)
        return max(measured, key=lambda other: self.ratio(name, other) or 0.0, default=None)


@dataclass(frozen=True)
class Verdict:
    """A goal, what was measured for it, and whether it is reached (None: not measured)."""

    goal: str
    measured: str
    reached: bool | None


@dataclass(frozen=True)
class Figure(Generic[Input]):
    """One figure: a question, who answers it, and the goal.

    Attributes:
        number: as in the project's list of figures.
        unit: what the nanoseconds are for.
        cases: makes the cases for some sizes.
        sizes: bytes; the full list, and the one of a quick run.
        judge: compares what was measured with the goal.
        yardsticks: contestants that ratios are shown to, beside the best peer.
        throughput: whether tables give GB/s from 1 KiB up.
        notes: what a reader of the table has to know.
    """

    number: int
    title: str
    unit: str
    contestants: Sequence[Contestant[Input]]
    cases: Callable[[Sequence[int]], list[Case[Input]]]
    sizes: tuple[int, ...]
    quick_sizes: tuple[int, ...]
    judge: Callable[[Sequence[CaseResult]], list[Verdict]]
    yardsticks: tuple[str, ...]
    throughput: bool = False
    notes: tuple[str, ...] = field(default=())

    def names(self, *kinds: Kind) -> list[str]:
        return [contestant.name for contestant in self.contestants if contestant.kind in kinds]


AnyFigure = Figure[Any]


@dataclass(frozen=True)
class FigureResult:
    """A figure, measured."""

    figure: AnyFigure
    cases: list[CaseResult]

    @property
    def verdicts(self) -> list[Verdict]:
        return self.figure.judge(self.cases)

    def is_without(self, name: str) -> bool:
        """Whether a contestant was not measured in some case."""
        return any(case.median(name) is None for case in self.cases)


class Labelled(Protocol):
    """What a goal is judged on: a case, or a pair of contestants in one."""

    @property
    def label(self) -> str: ...


Judged = TypeVar("Judged", bound=Labelled)


def at_most(
    goal: str,
    cases: Iterable[Judged],
    value: Callable[[Judged], float | None],
    limit: float,
    unit: str = "x",
) -> Verdict:
    """Judge that a value is at most `limit` in every case."""
    return _judge(goal, cases, value, limit, unit, upper=True)


def at_least(
    goal: str,
    cases: Iterable[Judged],
    value: Callable[[Judged], float | None],
    limit: float,
    unit: str = "x",
) -> Verdict:
    """Judge that a value is at least `limit` in every case."""
    return _judge(goal, cases, value, limit, unit, upper=False)


def _judge(
    goal: str,
    cases: Iterable[Judged],
    value: Callable[[Judged], float | None],
    limit: float,
    unit: str,
    *,
    upper: bool,
) -> Verdict:
    values = [(case.label, found) for case in cases if (found := value(case)) is not None]
    if not values:
        return Verdict(goal, "not measured", None)
    # Two digits after the point are what the tables show and what repeats;
    # times in whole nanoseconds need none.
    digits = 2 if unit == "x" else 0
    rounded = [(label, round(found, digits)) for label, found in values]
    missed = [(label, found) for label, found in rounded if (found > limit if upper else found < limit)]
    label, worst = (max if upper else min)(rounded, key=lambda pair: pair[1])
    text = f"worst {_number(worst, unit)} ({label})"
    if missed:
        text = "missed: " + ", ".join(f"{label} {_number(found, unit)}" for label, found in missed)
    return Verdict(goal, text, not missed)


def _number(value: float, unit: str) -> str:
    return f"{value:.2f} x" if unit == "x" else f"{value:,.0f} {unit}"


def inverse(value: float | None) -> float | None:
    """How many times faster, from how many times longer."""
    return None if value is None else 1 / value


def ratio_to_best(name: str, others: Sequence[str]) -> Callable[[CaseResult], float | None]:
    """How much longer `name` takes than the fastest of `others`, case by case."""

    def value(case: CaseResult) -> float | None:
        best = case.best(name, others)
        return None if best is None else case.ratio(name, best)

    return value
