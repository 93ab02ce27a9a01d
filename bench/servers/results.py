"""What was measured, and how servers compare."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .cases import Case, Mode


@dataclass(frozen=True)
class Sample:
    """One round of one server in one case.

    Attributes:
        value: in the unit of the case's mode.
        server_cpu: share of a processor that it took.
        load_cpu: the same of the load, or of the time it had something to do where it never sleeps: the load
            is the limit where this is about 1.
        cost: microseconds of the server's processor time for each that was counted.
        latency: microseconds by percentile, of echoes and broadcasts.
        memory: bytes that the server grew by at its peak, where that was looked at.
    """

    value: float
    server_cpu: float = 0.0
    load_cpu: float = 0.0
    cost: float = 0.0
    latency: dict[str, float] = field(default_factory=dict)
    memory: int = 0


@dataclass(frozen=True)
class Samples:
    """All rounds of one server in one case."""

    rounds: tuple[Sample, ...]

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.rounds]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """The interquartile range; the whole range if rounds are fewer than four."""
        values = self.values
        if len(values) < 4:
            return max(values) - min(values)
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
        return third - first

    def middle(self, attribute: str) -> float:
        """The median of an attribute of the rounds."""
        return float(statistics.median(getattr(sample, attribute) for sample in self.rounds))

    def latency(self, percentile: str) -> float | None:
        """The median over the rounds, in microseconds."""
        found = [sample.latency[percentile] for sample in self.rounds if percentile in sample.latency]
        return statistics.median(found) if found else None


@dataclass(frozen=True)
class CaseResult:
    """One case: for each server its samples, or why there are none."""

    case: Case
    outcomes: dict[str, Samples | str]

    @property
    def label(self) -> str:
        return self.case.label

    def median(self, name: str) -> float | None:
        outcome = self.outcomes.get(name)
        return outcome.median if isinstance(outcome, Samples) else None

    def ratio(self, name: str, other: str) -> float | None:
        """How many times better `name` is than `other`: the median of the rounds' ratios.

        What disturbs a round disturbs both sides of it.
        """
        ours, theirs = self.outcomes.get(name), self.outcomes.get(other)
        if not isinstance(ours, Samples) or not isinstance(theirs, Samples):
            return None
        pairs = zip(ours.values, theirs.values, strict=True)
        ratio = statistics.median(mine / other for mine, other in pairs)
        return 1 / ratio if self.case.mode is Mode.IDLE else ratio

    def best(self, others: Iterable[str]) -> str | None:
        """The best of `others` by its median."""
        medians = {other: median for other in others if (median := self.median(other)) is not None}
        if not medians:
            return None
        return (min if self.case.mode is Mode.IDLE else max)(medians, key=medians.__getitem__)

    def failures(self) -> dict[str, str]:
        """Who failed, as opposed to who cannot take part."""
        return {
            name: outcome
            for name, outcome in self.outcomes.items()
            if isinstance(outcome, str) and outcome.startswith(FAILED)
        }


FAILED = "failed: "


def as_document(results: Sequence[CaseResult]) -> list[dict[str, Any]]:
    """The results as JSON has them."""
    return [
        {
            "case": result.label,
            "unit": result.case.mode.value,
            "servers": {name: _outcome_document(outcome) for name, outcome in result.outcomes.items()},
        }
        for result in results
    ]


def _outcome_document(outcome: Samples | str) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"left_out": outcome}
    return {
        "median": outcome.median,
        "spread": outcome.spread,
        "rounds": [
            {name: value for name, value in vars(sample).items() if value or name == "value"}
            for sample in outcome.rounds
        ],
    }


def from_document(document: Sequence[dict[str, Any]], cases: Iterable[Case]) -> list[CaseResult]:
    """Read back what `as_document` wrote; cases that are no more are left out."""
    by_label = {case.label: case for case in cases}
    return [
        CaseResult(
            by_label[entry["case"]],
            {name: _outcome_from(outcome) for name, outcome in entry["servers"].items()},
        )
        for entry in document
        if entry["case"] in by_label
    ]


def _outcome_from(document: dict[str, Any]) -> Samples | str:
    if "left_out" in document:
        return str(document["left_out"])
    return Samples(tuple(Sample(**sample) for sample in document["rounds"]))
