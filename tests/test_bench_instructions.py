"""Counting instructions: what is made of callgrind's files, and what is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import instructions


@pytest.mark.parametrize(
    ("now", "worse", "remark"),
    [(100.0, False, "+0.0%"), (104.0, False, "+4.0%"), (106.0, True, "MORE"), (90.0, False, "less")],
)
def test_only_more_instructions_than_tolerated_are_a_failure(now: float, worse: bool, remark: str) -> None:
    (name, *_) = instructions.names()
    rows, found = instructions.compare({name: 100.0}, {name: now})
    assert found is worse
    assert remark in rows[0][-1]


def test_a_path_that_the_baseline_lacks_is_new() -> None:
    (name, *_) = instructions.names()
    assert instructions.compare({}, {name: 1.0})[0][0][-1] == "new"


def test_counts_are_read_from_what_callgrind_dumps(tmp_path: Path) -> None:
    dump = "version: 1\ndesc: Trigger: Client Request: {}\n\nevents: Ir\nsummary: {}\n\nfn=(1) x\n1 2\n"
    (tmp_path / "callgrind.out.7.1").write_text(dump.format("4//16", 1200))
    (tmp_path / "callgrind.out.7.2").write_text(dump.format("nothing", 34))
    (tmp_path / "callgrind.out.7").write_text("desc: Trigger: Program termination\nsummary: 9\n")
    assert instructions._dumped(tmp_path) == {"4//16": 1200, "nothing": 34}


def test_the_baseline_has_every_path() -> None:
    stored = json.loads(instructions.BASELINE.read_text())
    assert list(stored["instructions"]) == instructions.names()
    assert set(stored["conditions"]) == set(instructions.conditions())
