"""The end-to-end benchmark: that it counts what is there, and that no wrong reply gets past it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bench.servers import compare, goals
from bench.servers.__main__ import arguments_of, chosen, main
from bench.servers.cases import CASES, Case, Mode
from bench.servers.hosting import Conversation, WrongReply
from bench.servers.process import Failed, Load
from bench.servers.registry import CALLBACK, COROUTINE, LIMIT, PICOWS, SERVERS, Server
from bench.servers.results import CaseResult, Sample, Samples, as_document, from_document
from bench.servers.run import Bench, Plan, Processors, measure
from bench.wire import header, xor

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux", reason="the load generator is for Linux (epoll)"
)

PLAN = Plan(rounds=1, fresh_rounds=1, seconds=0.2, warmup=0.02, timeout=20)
PURE = next(server for server in SERVERS if server.name == "fastframe pure, asyncio")
SIZE = 40


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(PLAN, Processors(None, None)) as made:
        yield made


@pytest.fixture(scope="module")
def pinned() -> Iterator[Bench]:
    processors = Processors.of_this_machine()
    if not processors.spin:
        pytest.skip("one processor: a load that spins would take the server's")
    with Bench(PLAN, processors) as made:
        yield made


# What it counts --------------------------------------------------------------


def test_the_smallest_run_measures_two_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cases", "32 x 1, 125 B", "--servers", LIMIT, PURE.name, "--output", str(tmp_path)]
    assert main([*options, "--rounds", "2", "--seconds", "0.25"]) == 0
    document = json.loads((tmp_path / "servers.json").read_text())
    (case,) = document["cases"]
    assert case["case"] == "32 x 1, 125 B"
    assert set(case["servers"]) == {LIMIT, PURE.name}
    for server in case["servers"].values():
        assert len(server["rounds"]) == 2
        for sample in server["rounds"]:
            assert sample["value"] > 0
            assert 0 < sample["latency"]["p50"] <= sample["latency"]["p99"] <= sample["latency"]["max"]
    page = (tmp_path / "servers.md").read_text()
    assert f"| {PURE.name} |" in page and "NOT reached" not in page
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    "case",
    [
        Case(Mode.ECHO, 3, 4, size=0),
        Case(Mode.ECHO, 3, 4, size=200_000, text=True),
        Case(Mode.ECHO, 2, 4, tls=True),
        Case(Mode.ECHO, 2, 4, size=512, text=True, deflate=True),
        Case(Mode.ECHO, 2, 4, slow=1),
        Case(Mode.FANOUT, 5, copies=1),
        Case(Mode.FANOUT, 5, copies=3),
        Case(Mode.CONNECT, 3),
        Case(Mode.IDLE, 20),
        Case(Mode.IDLE, 20, size=16, deflate=True, packed=False),
        Case(Mode.CLIENT, 2, 4),
    ],
    ids=lambda case: f"{case.mode.name} {case.label}",
)
def test_every_mode_measures_something(bench: Bench, case: Case) -> None:
    if reason := bench.why_not(case, PURE):
        pytest.skip(reason)
    (result,) = measure(bench, [case], [PURE], lambda text: None)
    outcome = result.outcomes[PURE.name]
    assert isinstance(outcome, Samples), outcome
    assert outcome.median > 0 or case.mode is Mode.IDLE
    assert (outcome.middle("memory") > 0) == bool(case.slow)


@pytest.mark.parametrize(
    "case",
    [
        Case(Mode.ECHO, 3, 4),
        Case(Mode.ECHO, 2, 4, slow=1),
        Case(Mode.FANOUT, 5, copies=3),
        Case(Mode.CONNECT, 3),
        Case(Mode.IDLE, 20),
        Case(Mode.CLIENT, 2, 4),
    ],
    ids=lambda case: f"{case.mode.name} {case.label}",
)
def test_every_mode_measures_with_a_load_that_spins(pinned: Bench, case: Case) -> None:
    (result,) = measure(pinned, [case], [PURE], lambda text: None)
    outcome = result.outcomes[PURE.name]
    assert isinstance(outcome, Samples), outcome
    assert outcome.median > 0 or case.mode is Mode.IDLE
    if case.mode in (Mode.ECHO, Mode.FANOUT, Mode.CONNECT):
        assert 0 < outcome.middle("load_cpu") < 1


@pytest.mark.parametrize(
    ("server", "load", "spin"), [(1, 0, True), (0, 0, False), (None, None, False), (0, None, False)]
)
def test_a_load_spins_on_a_processor_of_its_own(server: int | None, load: int | None, spin: bool) -> None:
    assert Processors(server, load).spin is spin


def test_a_server_that_does_not_start_is_a_failure_of_its_own(bench: Bench) -> None:
    broken = Server("fastframe broken", "asyncio", "with_nothing")
    (result,) = measure(bench, [Case(Mode.ECHO, 1)], [broken, PURE], lambda text: None)
    assert "with_nothing" in result.failures()[broken.name]
    assert isinstance(result.outcomes[PURE.name], Samples)


def test_a_missing_library_is_named(bench: Bench) -> None:
    absent = Server("absent", "asyncio", "with_absent", needs=("no_such_library",))
    (result,) = measure(bench, [Case(Mode.ECHO, 1)], [absent], lambda text: None)
    assert result.outcomes == {absent.name: "no_such_library is not installed"}
    assert not result.failures()


def test_a_sample_in_which_nothing_came_is_taken_again_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.servers.run.LONGER", 200_000)
    plan = dataclasses.replace(PLAN, seconds=1e-6, warmup=0)
    with Bench(plan, Processors(None, None)) as hasty:
        (result,) = measure(hasty, [Case(Mode.ECHO, 1)], [PURE], lambda text: None)
    (sample,) = cast("Samples", result.outcomes[PURE.name]).rounds
    assert 0 < sample.value < 500_000


# Wrong replies -----------------------------------------------------------------

Answer = Callable[[int, int, bytes], bytes]


def _frame(opcode: int, payload: bytes) -> bytes:
    return header(opcode, len(payload), masked=False) + payload


def _swapped() -> Answer:
    kept: list[bytes] = []

    def answer(number: int, opcode: int, payload: bytes) -> bytes:
        if number == 3:
            kept.append(payload)
            return b""
        return _frame(opcode, payload) + b"".join(_frame(opcode, kept.pop()) for _ in kept[:])

    return answer


def _from_the_third(fault: Callable[[int, bytes], bytes]) -> Answer:
    return lambda number, opcode, payload: _frame(opcode, payload) if number < 3 else fault(opcode, payload)


FAULTS: dict[str, tuple[Answer, str]] = {
    "the last byte": (
        _from_the_third(lambda opcode, payload: _frame(opcode, payload[:-1] + bytes([payload[-1] ^ 1]))),
        "other content",
    ),
    "another order": (_swapped(), "other content"),
    "one twice": (_from_the_third(lambda opcode, payload: 2 * _frame(opcode, payload)), "wrong reply"),
    "one lost": (_from_the_third(lambda opcode, payload: b""), "not done within 2 s"),
    "one byte less": (_from_the_third(lambda opcode, payload: _frame(opcode, payload[:-1])), "39 bytes"),
    "one byte more": (_from_the_third(lambda opcode, payload: _frame(opcode, payload + b"x")), "41 bytes"),
    "text for binary": (_from_the_third(lambda opcode, payload: _frame(1, payload)), "opcode 1"),
    "in fragments": (
        _from_the_third(lambda opcode, payload: b"\x02" + _frame(opcode, payload)[1:]),
        "first byte 0x02",
    ),
    "masked": (
        _from_the_third(lambda opcode, payload: header(opcode, SIZE, masked=True) + bytes(4) + payload),
        "masked",
    ),
    "a long length": (
        _from_the_third(lambda opcode, payload: bytes((0x82, 126, 0, SIZE)) + payload),
        "shortest form",
    ),
    "compressed": (_from_the_third(lambda opcode, payload: b"\xc2" + bytes([SIZE]) + payload), "compressed"),
    "a close frame": (
        _from_the_third(lambda opcode, payload: b"\x88\x05\x03\xf3bad"),
        "closed with 1011: bad",
    ),
}


class FaultyServer:
    """Takes one connection and answers its messages as it is told."""

    def __init__(self, answer: Answer, head: str = "") -> None:
        self._answer = answer
        self._head = head
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(10)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(15)
        self._listening.close()
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection, connection.makefile("rb") as stream:
            connection.settimeout(10)
            try:
                self._shake_hands(connection, stream)
                number = 0
                while data := self._read(stream):
                    connection.sendall(self._answer(number, *data))
                    number += 1
            except OSError:
                pass  # the load has seen enough

    def _shake_hands(self, connection: socket.socket, stream: Any) -> None:
        key = b""
        while (line := stream.readline()) not in (b"\r\n", b""):
            if line.startswith(b"Sec-WebSocket-Key: "):
                key = line.split()[1]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
        lines = "Upgrade: websocket\r\nConnection: Upgrade\r\n" + (self._head or accept)
        connection.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n".encode())

    def _read(self, stream: Any) -> tuple[int, bytes] | None:
        """A masked frame of less than 126 bytes, None for the end."""
        first = stream.read(2)
        if len(first) < 2:
            return None
        key = stream.read(4)
        opcode = first[0] & 0x0F
        payload = xor(stream.read(first[1] & 0x7F), key)
        return None if opcode == 8 else (opcode, payload)


def _load(bench: Bench, port: int, **options: object) -> dict[str, Any]:
    messages = bench.messages(Case(Mode.ECHO, 1, 4, size=SIZE))
    told = {"warmup": 0.02, "seconds": 0.2, "in_flight": 4} | messages | options
    with Load(bench.programs, None, 2, port=port, **told) as load:
        return load.result()


@pytest.mark.parametrize("spin", [0, 1])
def test_right_replies_of_the_faulty_server_pass(bench: Bench, spin: int) -> None:
    with FaultyServer(lambda number, opcode, payload: _frame(opcode, payload)) as server:
        assert _load(bench, server.port, spin=spin)["count"] > 0


@pytest.mark.parametrize("spin", [0, 1])
def test_a_load_that_waits_is_idle_though_it_spins(bench: Bench, spin: int) -> None:
    def answer(number: int, opcode: int, payload: bytes) -> bytes:
        time.sleep(0.01)
        return _frame(opcode, payload)

    with FaultyServer(answer) as server:
        result = _load(bench, server.port, spin=spin)
    assert 0.2 <= result["seconds"] < 1
    assert 0 < result["count"] <= 50
    assert 0 <= result["load_cpu"] < 0.5


def test_a_load_that_spins_has_its_time_limit_too(bench: Bench) -> None:
    answer, message = FAULTS["one lost"]
    with FaultyServer(answer) as server, pytest.raises(Failed, match=message):
        _load(bench, server.port, spin=1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_reply_ends_the_run(bench: Bench, fault: str) -> None:
    answer, message = FAULTS[fault]
    with FaultyServer(answer) as server, pytest.raises(Failed, match=message):
        _load(bench, server.port)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", "wrong Sec-WebSocket-Accept"),
        ("X-Nothing: to see\r\n", "wrong Sec-WebSocket-Accept"),
    ],
)
def test_a_wrong_handshake_ends_the_run(bench: Bench, head: str, message: str) -> None:
    with (
        FaultyServer(lambda number, opcode, payload: b"", head) as server,
        pytest.raises(Failed, match=message),
    ):
        _load(bench, server.port)


def test_a_delivery_of_other_content_ends_a_fanout(bench: Bench) -> None:
    answer = _from_the_third(lambda opcode, payload: _frame(opcode, bytes(SIZE)))
    with FaultyServer(answer) as server, pytest.raises(Failed, match="other content"):
        _load(bench, server.port, mode="fanout", in_flight=1)


def test_a_client_has_to_get_its_own_replies() -> None:
    conversation = Conversation([b"a", b"b", b"c"], in_flight=2)
    assert conversation.opening() == [b"a", b"b"]
    assert conversation.answer(b"a") == b"c"
    assert conversation.answer(b"b") == b"a"
    with pytest.raises(WrongReply, match="reply 2"):
        conversation.answer(b"a")
    conversation.is_over = True
    assert conversation.answer(b"c") is None
    assert conversation.replies == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_messages_in_flight_are_all_different(bench: Bench, case: Case) -> None:
    told = bench.messages(case)
    data = Path(str(told["payloads"])).read_bytes()
    if case.size == 0:
        assert data == b""
        return
    messages = {data[at : at + case.size] for at in range(0, len(data), case.size)}
    assert len(messages) == told["messages"]
    assert len(messages) > 2 * case.in_flight


# What is made of it ----------------------------------------------------------


def _result(case: Case, **values: list[float]) -> CaseResult:
    """Results by server; "callback_uvloop" stands for "fastframe callback, uvloop" and so on."""
    labels = {"callback": CALLBACK, "coroutine": COROUTINE, "picows": PICOWS}
    outcomes: dict[str, Samples | str] = {}
    for name, found in values.items():
        label, _, loop = name.partition("_")
        outcomes[f"{labels[label]}, {loop}"] = Samples(tuple(Sample(value) for value in found))
    return CaseResult(case, outcomes)


ECHO = next(case for case in CASES if case.figure == 7)
IDLE = next(case for case in CASES if case.label == "idle 1,500")


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    result = _result(ECHO, callback_uvloop=[100.0, 30.0, 60.0], picows_uvloop=[50.0, 10.0, 60.0])
    assert result.ratio(f"{CALLBACK}, uvloop", f"{PICOWS}, uvloop") == 2.0


def test_less_memory_is_better() -> None:
    result = _result(IDLE, callback_uvloop=[2000.0], picows_uvloop=[8000.0])
    assert result.ratio(f"{CALLBACK}, uvloop", f"{PICOWS}, uvloop") == 4.0
    assert result.best(result.outcomes) == f"{CALLBACK}, uvloop"


@pytest.mark.parametrize(
    ("ours", "reached", "text"),
    [
        (100.0, True, "worst 1.00 x (picows, uvloop)"),
        (98.0, False, "missed: picows, uvloop 0.98 x"),
    ],
)
def test_a_goal_is_judged_on_every_loop_that_was_measured(ours: float, reached: bool, text: str) -> None:
    result = _result(
        ECHO, callback_uvloop=[ours], picows_uvloop=[100.0], callback_asyncio=[500.0], picows_asyncio=[100.0]
    )
    verdict = goals.judge([result])[7][0]
    assert (verdict.reached, verdict.measured) == (reached, text)


@pytest.mark.parametrize(("taken", "reached"), [(4096.0, True), (4097.0, False)])
def test_memory_is_judged_by_the_byte(taken: float, reached: bool) -> None:
    verdict = goals.judge([_result(IDLE, callback_uvloop=[taken])])[13][0]
    assert verdict.reached is reached


def test_what_was_not_measured_is_not_judged() -> None:
    verdicts = [verdict for figure in goals.judge([]).values() for verdict in figure]
    assert len(verdicts) > 20
    assert {verdict.reached for verdict in verdicts} == {None}


def test_every_goal_has_a_title_and_cases() -> None:
    assert set(goals.judge([])) == set(goals.FIGURES)
    assert {case.figure for case in CASES} | {15} == {0, *goals.FIGURES}


def test_results_are_read_back_as_they_were_written() -> None:
    result = _result(ECHO, callback_uvloop=[1.0, 2.0], picows_uvloop=[3.0, 4.0])
    result.outcomes["tornado, uvloop"] = "failed: load: wrong reply"
    assert from_document(json.loads(json.dumps(as_document([result]))), CASES) == [result]


def _changed(
    old: dict[str, list[float]], new: dict[str, list[float]], case: Case = ECHO
) -> list[compare.Change]:
    return compare.changes([_result(case, **old)], [_result(case, **new)])


@pytest.mark.parametrize(
    ("now", "lost"),
    [
        ({"callback_uvloop": [100.0], "picows_uvloop": [50.0]}, False),
        ({"callback_uvloop": [80.0], "picows_uvloop": [50.0]}, True),
        # A slower machine is slower for all.
        ({"callback_uvloop": [80.0], "picows_uvloop": [40.0]}, False),
        # A faster one hides nothing.
        ({"callback_uvloop": [100.0], "picows_uvloop": [100.0]}, True),
        # A peer that lost is no regression of ours.
        ({"callback_uvloop": [100.0], "picows_uvloop": [10.0]}, False),
    ],
)
def test_a_regression_is_what_peers_did_not_suffer(now: dict[str, list[float]], lost: bool) -> None:
    found = _changed({"callback_uvloop": [100.0], "picows_uvloop": [50.0]}, now)
    assert bool(compare.regressions(found, 0.15)) is lost


def test_more_memory_is_a_regression() -> None:
    found = _changed({"callback_uvloop": [2000.0]}, {"callback_uvloop": [3000.0]}, IDLE)
    assert [change.server for change in compare.regressions(found, 0.15)] == [f"{CALLBACK}, uvloop"]


def _written(folder: Path, *results: CaseResult) -> str:
    folder.mkdir()
    document = {
        "machine": {
            "date": "2026-01-01",
            "cpu": "some",
            "cpus": 2,
            "pinned_to": 1,
            "system": "Linux",
            "python": "CPython",
            "kernel": "avx2",
            "versions": {},
        },
        "plan": vars(PLAN),
        "cases": as_document(results),
    }
    path = folder / "old.json"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize(("value", "status"), [(100.0, 0), (70.0, 1)])
def test_compare_exits_with_one_on_a_regression(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float, status: int
) -> None:
    old = _written(tmp_path / "old", _result(ECHO, callback_uvloop=[100.0]))
    new = _written(tmp_path / "new", _result(ECHO, callback_uvloop=[value]))
    assert main(["--read", new, "--compare", old, "--output", str(tmp_path / "out")]) == status
    assert ("REGRESSION" in capsys.readouterr().out) is bool(status)


def test_compare_with_nothing_in_common_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = _written(tmp_path / "old", _result(ECHO, picows_uvloop=[100.0]))
    new = _written(tmp_path / "new", _result(IDLE, callback_uvloop=[100.0]))
    assert main(["--read", new, "--compare", old, "--output", str(tmp_path / "out")]) == 2
    assert "no case and server in common" in capsys.readouterr().err


# Choosing --------------------------------------------------------------------


def _chosen(*options: str) -> tuple[list[str], list[str]]:
    cases, servers = chosen(arguments_of(options))
    return [case.label for case in cases], [server.name for server in servers]


def test_a_whole_name_chooses_one_and_a_part_chooses_all_that_have_it() -> None:
    assert _chosen("--cases", ECHO.label, "--servers", "fastframe, uvloop") == (
        [ECHO.label],
        ["fastframe, uvloop"],
    )
    cases, servers = _chosen("--cases", "TLS", "--servers", "picows")
    assert len(cases) == 3 and all("TLS" in case for case in cases)
    assert len(servers) == 4 and all("picows" in server for server in servers)


def test_a_quick_run_is_a_part_of_the_full_one_and_has_every_figure() -> None:
    quick, full = _chosen(), _chosen("--full")
    assert set(quick[0]) < set(full[0]) == {case.label for case in CASES}
    assert set(quick[1]) < set(full[1]) == {server.name for server in SERVERS}
    assert {case.figure for case in CASES if case.quick} >= set(range(7, 15))


def test_names_are_unique() -> None:
    assert len({case.label for case in CASES}) == len(CASES)
    assert len({server.name for server in SERVERS}) == len(SERVERS)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cases", "no such case"]) == 2
    assert "--list" in capsys.readouterr().err
