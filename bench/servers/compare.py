"""The regression check: one run beside an earlier one.

Machines differ, and the same machine differs from day to day. What the peers
lost or gained in a case is taken as the machine's doing, so a server of ours is
judged by its ratio beyond theirs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..tables import Table
from .cases import Mode
from .registry import SERVERS
from .results import CaseResult

_OURS = {server.name for server in SERVERS if server.is_ours}


@dataclass(frozen=True)
class Change:
    """How one server changed in one case.

    Attributes:
        ratio: how many times better it is than it was.
        drift: the same of the peers in that case, the median; 1 without peers.
    """

    case: str
    server: str
    ratio: float
    drift: float

    @property
    def beyond_drift(self) -> float:
        return self.ratio / self.drift

    @property
    def is_ours(self) -> bool:
        return self.server in _OURS


def changes(old: Iterable[CaseResult], new: Iterable[CaseResult]) -> list[Change]:
    """What both runs have measured, case by case."""
    before = {result.label: result for result in old}
    found = []
    for result in new:
        if result.label in before:
            found += _changes_of(before[result.label], result)
    return found


def _changes_of(old: CaseResult, new: CaseResult) -> list[Change]:
    ratios = {}
    for name in new.outcomes:
        mine, theirs = new.median(name), old.median(name)
        if mine and theirs:
            ratios[name] = theirs / mine if new.case.mode is Mode.IDLE else mine / theirs
    peers = [ratio for name, ratio in ratios.items() if name not in _OURS]
    # Bytes do not depend on how busy the machine is.
    drift = statistics.median(peers) if peers and new.case.mode is not Mode.IDLE else 1.0
    return [Change(new.label, name, ratio, drift) for name, ratio in ratios.items()]


def regressions(found: Iterable[Change], margin: float) -> list[Change]:
    """Servers of ours that lost more than `margin` (0.15: 15 %)."""
    return [change for change in found if change.is_ours and change.beyond_drift < 1 - margin]


def as_table(found: Sequence[Change], margin: float) -> Table:
    """New beside old: above 1 it is better now."""
    lost = regressions(found, margin)
    rows = [
        [
            f"{change.case}: {change.server}",
            f"{change.ratio:.2f}",
            f"{change.drift:.2f}",
            f"{change.beyond_drift:.2f}" + (" REGRESSION" if change in lost else ""),
        ]
        for change in found
    ]
    header = ["", "now / before", "of the peers", "beyond the peers"]
    emphasised = tuple(f"{change.case}: {change.server}" for change in lost)
    return Table("Compared with the earlier run; above 1 is better now", header, rows, emphasised=emphasised)
