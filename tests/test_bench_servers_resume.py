"""A run of the end-to-end benchmark that was interrupted: what goes on, and what does not."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from bench.machine import machine_with
from bench.report import Progress
from bench.servers.__main__ import arguments_of, chosen, main, plan_of
from bench.servers.cases import CASES
from bench.servers.registry import LIMIT, versions_of
from bench.servers.results import CaseResult, Sample, Samples, as_document
from bench.servers.run import Processors
from fastframe import __version__

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux", reason="the load generator is for Linux (epoll)"
)

PURE = "fastframe pure, asyncio"
ECHO = next(case for case in CASES if case.figure == 7)
ONE_AT_A_TIME = next(case for case in CASES if case.label == "1 x 1, 125 B")
RUN = ["--cases", ECHO.label, ONE_AT_A_TIME.label, "--servers", LIMIT, "--rounds", "1", "--seconds", "0.1"]


def _interrupted(path: Path, result: CaseResult, **changes: object) -> None:
    """What `RUN` leaves behind on this machine, interrupted after one case; `changes` by field."""
    arguments = arguments_of(RUN)
    _, servers = chosen(arguments)
    machine = machine_with(versions_of(servers), Processors.of_this_machine().server)
    facts = {"date": "2026-01-01", **changes}
    document = {
        part: {name: facts.get(name, value) for name, value in vars(whole).items()}
        for part, whole in (("machine", machine), ("plan", plan_of(arguments)))
    }
    path.write_text(json.dumps({**document, "cases": as_document([result])}))


def _resume(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
    status = main([*RUN, "--resume", str(path), "--output", str(path.parent), *options])
    return status, json.loads((path.parent / "servers.json").read_text())


def test_an_interrupted_run_goes_on_with_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Progress, "__call__", lambda _, text: said.append(text))
    path = tmp_path / "servers.json"
    _interrupted(path, CaseResult(ECHO, {LIMIT: Samples((Sample(123.0),))}))
    status, document = _resume(path)
    assert status == 0
    done, measured = document["cases"]
    assert done["case"] == ECHO.label and done["servers"][LIMIT]["rounds"] == [{"value": 123.0}]
    assert measured["case"] == ONE_AT_A_TIME.label and measured["servers"][LIMIT]["median"] > 0
    assert document["machine"]["date"] == "2026-01-01"
    assert [entry.name for entry in tmp_path.glob("servers.json*")] == ["servers.json"]
    assert "| 123 ±" in (tmp_path / "servers.md").read_text()
    assert said == [f"100%  {ONE_AT_A_TIME.label}: {LIMIT}"]


def test_a_finished_run_goes_on_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    _interrupted(path, CaseResult(ECHO, {LIMIT: Samples((Sample(123.0),))}))
    status, document = _resume(path, "--cases", ECHO.label)
    assert status == 0
    assert [case["servers"][LIMIT]["median"] for case in document["cases"]] == [123.0]


def test_a_case_with_a_failure_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "servers.json"
    _interrupted(path, CaseResult(ECHO, {LIMIT: "failed: load: not done within 30 s"}))
    status, document = _resume(path)
    assert status == 0
    assert {case["case"] for case in document["cases"]} == {ECHO.label, ONE_AT_A_TIME.label}
    assert all(case["servers"][LIMIT]["median"] > 0 for case in document["cases"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cpu": "another"}, "cpu (another then, "),
        ({"pinned_to": 77}, "pinned_to (77 then, "),
        ({"versions": {"fastframe": "0.0.1"}}, "fastframe (0.0.1 then, "),
        ({"versions": {"fastframe": __version__, "picows": "2.0"}}, "picows (2.0 then, None now)"),
        ({"rounds": 7}, "rounds (7 then, 1 now)"),
        ({"by_processor": True}, "by_processor (True then, False now)"),
    ],
)
def test_a_run_under_other_conditions_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], named: str
) -> None:
    path = tmp_path / "servers.json"
    _interrupted(path, CaseResult(ECHO, {LIMIT: Samples((Sample(123.0),))}), **changes)
    before = path.read_text()
    assert _resume(path)[0] == 2
    said = capsys.readouterr().err
    assert named in said and said.count("\n") == 1
    assert path.read_text() == before


def test_a_run_of_other_servers_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "servers.json"
    _interrupted(path, CaseResult(ECHO, {LIMIT: Samples((Sample(123.0),)), PURE: "no such module"}))
    assert _resume(path)[0] == 2
    assert f"the servers ({PURE})" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"machine": {}, "plan": {}, "cases": []}'])
def test_what_is_no_run_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    assert main([*RUN, "--resume", str(path), "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(str(path)) and said.count("\n") == 1


def test_a_run_is_read_or_gone_on_with(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        arguments_of(["--read", "a", "--resume", "b"])
    assert raised.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
