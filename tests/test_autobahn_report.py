"""The reader of Autobahn's reports: what passes, what does not, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from autobahn_report import Run, bad_cases, case_order, read_report, table

AGENT = "server-compiled"


def write_report(folder: Path, verdicts: dict[str, tuple[str, str]], agent: str = AGENT) -> None:
    """A report of the shape that the fuzzers write: an index, and a file for each case."""
    index = {}
    for case_id, (behavior, behavior_close) in verdicts.items():
        name = f"case_{case_id.replace('.', '_')}.json"
        index[case_id] = {
            "behavior": behavior,
            "behaviorClose": behavior_close,
            "remoteCloseCode": 1000,
            "duration": 1500,
            "reportfile": name,
        }
        details = {"id": case_id, "result": "What <b>was</b><br/>seen.", "resultClose": "How it closed."}
        (folder / name).write_text(json.dumps(details))
    (folder / "index.json").write_text(json.dumps({agent: index}))


def run_of(folder: Path, *expected: str, problems: tuple[str, ...] = ()) -> Run:
    descriptions = {case_id: f"Send<br/>{case_id}." for case_id in expected}
    return Run("server, compiled", read_report(folder, AGENT, descriptions), problems, 2.5)


@pytest.mark.parametrize("behavior", ["OK", "INFORMATIONAL"])
@pytest.mark.parametrize("behavior_close", ["OK", "INFORMATIONAL"])
def test_ok_and_informational_pass(tmp_path: Path, behavior: str, behavior_close: str) -> None:
    write_report(tmp_path, {"1.1.1": (behavior, behavior_close)})
    run = run_of(tmp_path, "1.1.1")
    assert run.passed
    assert bad_cases(run) == ""
    assert run.results[0].verdict == behavior
    assert run.results[0].seconds == 1.5


BAD = [
    "NON-STRICT",
    "FAILED",
    "UNCLEAN",
    "WRONG CODE",
    "FAILED BY CLIENT",
    "UNIMPLEMENTED",
    "NO_CLOSE",
    "ok",
    "",
]


@pytest.mark.parametrize("behavior", BAD)
def test_any_other_behavior_fails(tmp_path: Path, behavior: str) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK"), "1.1.2": (behavior, "OK")})
    run = run_of(tmp_path, "1.1.1", "1.1.2")
    assert not run.passed
    assert [result.passed for result in run.results] == [True, False]
    assert run.results[1].verdict == behavior


@pytest.mark.parametrize("behavior_close", BAD)
@pytest.mark.parametrize("behavior", ["OK", "INFORMATIONAL"])
def test_any_other_close_fails_though_the_behavior_is_good(
    tmp_path: Path, behavior: str, behavior_close: str
) -> None:
    write_report(tmp_path, {"7.1.1": (behavior, behavior_close)})
    run = run_of(tmp_path, "7.1.1")
    assert not run.passed
    assert run.results[0].verdict == f"close: {behavior_close}"


def test_a_missing_case_fails(tmp_path: Path) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK")})
    run = run_of(tmp_path, "1.1.1", "1.1.2")
    assert not run.passed
    assert [result.verdict for result in run.results] == ["OK", "MISSING"]
    assert bad_cases(run) == "server, compiled: case 1.1.2: MISSING: Send 1.1.2."


def test_a_bad_case_that_nobody_expected_fails(tmp_path: Path) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK"), "1.1.2": ("FAILED", "OK")})
    assert not run_of(tmp_path, "1.1.1").passed


@pytest.mark.parametrize("index", [None, "", '{"server-comp', "[]", "{}"])
def test_without_a_whole_index_every_case_is_missing(tmp_path: Path, index: str | None) -> None:
    if index is not None:
        (tmp_path / "index.json").write_text(index)
    run = run_of(tmp_path, "1.1.1", "1.1.2")
    assert [result.verdict for result in run.results] == ["MISSING", "MISSING"]
    assert not run.passed


def test_the_report_of_another_agent_does_not_count(tmp_path: Path) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK")}, agent="client-compiled")
    assert [result.verdict for result in run_of(tmp_path, "1.1.1").results] == ["MISSING"]


@pytest.mark.parametrize("absent", ["behavior", "behaviorClose"])
def test_an_entry_without_one_of_the_verdicts_fails(tmp_path: Path, absent: str) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK")})
    report = json.loads((tmp_path / "index.json").read_text())
    del report[AGENT]["1.1.1"][absent]
    (tmp_path / "index.json").write_text(json.dumps(report))
    assert not run_of(tmp_path, "1.1.1").passed


def test_a_run_without_cases_or_with_a_problem_fails(tmp_path: Path) -> None:
    write_report(tmp_path, {"1.1.1": ("OK", "OK")})
    assert run_of(tmp_path, "1.1.1").passed
    assert not Run("server, compiled", [], [], 0.0).passed
    troubled = run_of(tmp_path, "1.1.1", problems=("the echo server ended with 1",))
    assert not troubled.passed
    assert bad_cases(troubled) == "server, compiled: the echo server ended with 1"


def test_a_bad_case_is_told_with_its_description_and_result(tmp_path: Path) -> None:
    write_report(tmp_path, {"9.4.1": ("FAILED", "UNCLEAN")})
    assert bad_cases(run_of(tmp_path, "9.4.1")).splitlines() == [
        "server, compiled: case 9.4.1: FAILED, close: UNCLEAN",
        "    Send 9.4.1.",
        "    What was seen. How it closed.",
    ]


def test_a_bad_case_without_its_own_file_is_told_all_the_same(tmp_path: Path) -> None:
    write_report(tmp_path, {"9.4.1": ("FAILED", "OK")})
    (tmp_path / "case_9_4_1.json").unlink()
    assert "case 9.4.1: FAILED, close: OK" in bad_cases(run_of(tmp_path, "9.4.1"))


def test_cases_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_report(tmp_path, dict.fromkeys(("10.1.1", "9.10.1", "9.2.1"), ("OK", "OK")))
    run = run_of(tmp_path, "2.10", "2.9")
    assert [result.case_id for result in run.results] == ["2.9", "2.10", "9.2.1", "9.10.1", "10.1.1"]
    assert case_order("2.9") < case_order("2.10")


def test_the_table_counts_each_case_once(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    write_report(good, {"1.1.1": ("OK", "OK"), "1.1.2": ("INFORMATIONAL", "INFORMATIONAL")})
    write_report(bad, {"1.1.1": ("FAILED", "UNCLEAN"), "1.1.2": ("OK", "UNCLEAN")})
    lines = table([run_of(good, "1.1.1", "1.1.2"), run_of(bad, "1.1.1", "1.1.2", "1.1.3")]).splitlines()
    heading = [
        "autobahn",
        "cases",
        "OK",
        "INFORMATIONAL",
        "FAILED",
        "MISSING",
        "close:",
        "UNCLEAN",
        "seconds",
    ]
    assert lines[0].split() == heading
    assert lines[1].split() == ["autobahn", "server,", "compiled", "2", "1", "1", "0", "0", "0", "2.5"]
    assert lines[2].split() == ["autobahn", "server,", "compiled", "3", "0", "0", "1", "1", "1", "2.5"]
    assert len({len(line) for line in lines}) == 1
