"""An interrupted run is gone on with, where it was begun under the same conditions."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from ..machine import Machine
from .cases import CASES, Case
from .registry import Server
from .results import CaseResult, from_document
from .run import Plan


class CannotResume(Exception):
    """What is there is not the beginning of this run; the text, of one line, says why."""


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What an interrupted run has left behind."""

    machine: Machine
    plan: Plan
    results: list[CaseResult]

    @classmethod
    def read(cls, path: pathlib.Path) -> Earlier:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            machine, plan = Machine(**document["machine"]), Plan(**document["plan"])
            return cls(machine, plan, from_document(document["cases"], CASES))
        except OSError as error:
            raise CannotResume(f"{path}: {error.strerror}") from None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise CannotResume(f"{path} has no results of this program") from None

    def check(self, machine: Machine, plan: Plan, servers: Sequence[Server]) -> None:
        """Nothing that tells figures apart may differ.

        Raises:
            CannotResume: something does.
        """
        differences = [
            *_differences(_facts(self.machine), _facts(machine)),
            *_differences(dataclasses.asdict(self.plan), dataclasses.asdict(plan)),
        ]
        for result in self.results:
            others = result.outcomes.keys() ^ {server.name for server in servers}
            if others:
                differences.append(f"the servers ({'; '.join(sorted(others))})")
                break
        if differences:
            raise CannotResume(f"not the same as in the run to go on with: {', '.join(differences)}")

    def finished(self, cases: Sequence[Case]) -> list[CaseResult]:
        """What need not be measured again.

        A failure may have been a disturbance: its case is, if it is among `cases`.
        """
        return [result for result in self.results if result.case not in cases or not result.failures()]


def _facts(machine: Machine) -> dict[str, Any]:
    facts = dataclasses.asdict(machine)
    # An hour's run may go beyond midnight.
    del facts["date"]
    return {**facts, **facts.pop("versions")}


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if before != after:
            yield f"{name} ({before} then, {after} now)"
