"""Runs the cases: starts the servers, loads one after the other in rounds, collects what came out."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..figures import MIB
from ..texts import noise_of, text_of
from ..timing import round_order
from .cases import Case, Mode
from .hosting import Setup
from .process import Failed, Load, ServerProcess, run_client
from .programs import Programs, make_certificate
from .registry import SERVERS, Server
from .results import FAILED, CaseResult, Sample, Samples

SLOW_BYTES = 32 * MIB
"""Bytes that a slow consumer sends at most; the replies it never takes are as many."""

LONGER = 10
"""How many times longer a sample is taken again of a server from which nothing came."""

_RING_BYTES = MIB
_RING_MESSAGES = 1009


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: samples of each server in each case; those that take a fresh server have `fresh_rounds`.
        seconds: that one sample lasts.
        warmup: seconds of load before it.
        timeout: seconds that one load may take with everything around it.
        by_processor: count by seconds of the server's own processor time, not of the wall's clock.
    """

    rounds: int
    fresh_rounds: int
    seconds: float
    warmup: float
    timeout: float = 60.0
    by_processor: bool = False

    def rate(self, result: dict[str, Any]) -> float:
        """What was counted, by the second."""
        if not result["count"]:
            raise Failed("nothing came back while it was measured")
        share = result["server_cpu"] if self.by_processor else 1.0
        if not share:
            raise Failed("the system does not tell the server's processor time")
        return float(result["count"] / result["seconds"] / share)

    def rounds_of(self, case: Case) -> int:
        return self.fresh_rounds if case.needs_fresh_server else self.rounds


@dataclass(frozen=True)
class Processors:
    """The processors that servers and load are pinned to; None where there is nothing to choose."""

    server: int | None
    load: int | None

    @classmethod
    def of_this_machine(cls) -> Processors:
        """The last two allowed: the first serves most interrupts."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[-1], allowed[-2]) if len(allowed) > 1 else cls(None, None)

    @property
    def spin(self) -> bool:
        """Whether the load may never sleep: without a processor of its own it would take the server's."""
        return self.load is not None and self.load != self.server


class Bench:
    """What all loads of a run share: programs, messages, a certificate; a context manager."""

    def __init__(self, plan: Plan, processors: Processors) -> None:
        self.plan = plan
        self.processors = processors
        self._folder = tempfile.TemporaryDirectory(prefix="bench-servers-")
        self.folder = pathlib.Path(self._folder.name)
        self.certificate = ""

    def __enter__(self) -> Bench:
        try:
            self.programs = Programs(self.folder)
            certificate = make_certificate(self.folder)
            self.certificate = str(certificate or "")
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def why_not(self, case: Case, server: Server) -> str | None:
        """Why a server cannot be measured in a case."""
        lacks = self.programs.lacks | dict(server.lacks)
        if not self.certificate:
            lacks.setdefault("tls", "there is no openssl command to make a certificate with")
        reasons = [lacks[trait] for trait in sorted(case.traits) if trait in lacks]
        return reasons[0] if reasons else server.missing()

    def messages(self, case: Case) -> dict[str, object]:
        """A file of different messages, as the load generator wants to be told of it."""
        count = max(2 * case.in_flight + 1, min(_RING_MESSAGES, _RING_BYTES // max(1, case.size)))
        file = self.folder / f"{'text' if case.text else 'noise'}-{case.size}-{count}"
        if not file.exists():
            if case.text:
                file.write_bytes(b"".join(text_of("JSON", case.size, number) for number in range(count)))
            else:
                file.write_bytes(noise_of(case.size * count))
        return {"payloads": file, "messages": count, "size": case.size, "opcode": 1 if case.text else 2}

    def start(self, server: Server, setup: Setup) -> ServerProcess:
        return ServerProcess(server, setup, self.programs, self.processors.server)

    def load(self, case: Case, process: ServerProcess, mode: str, times: int = 1) -> Load:
        options: dict[str, object] = {
            "mode": mode,
            "port": process.port,
            "pid": process.pid,
            "connections": case.connections,
            "in_flight": case.in_flight,
            "seconds": self.plan.seconds * times,
            "warmup": self.plan.warmup,
            "copies": max(1, case.copies),
            "tls": int(case.tls),
            "deflate": int(case.deflate),
            "packed": int(case.packed),
            "slow": case.slow,
            "slow_bytes": SLOW_BYTES,
            "spin": int(self.processors.spin),
        }
        return Load(self.programs, self.processors.load, self.plan.timeout, **options, **self.messages(case))


# One sample -----------------------------------------------------------------


def _sample_rate(bench: Bench, case: Case, process: ServerProcess) -> Sample:
    mode = {Mode.ECHO: "echo", Mode.FANOUT: "fanout", Mode.CONNECT: "connect"}[case.mode]
    before = process.peak() if case.slow else 0
    for times in (1, LONGER):
        with bench.load(case, process, mode, times) as load:
            result = load.result()
        if result["count"]:
            break
    return Sample(
        bench.plan.rate(result),
        result["server_cpu"],
        result["load_cpu"],
        _cost(result),
        result["latency_us"],
        process.peak() - before if case.slow else 0,
    )


def _cost(result: dict[str, Any]) -> float:
    return float(result["server_cpu"] * result["seconds"] / result["count"] * 1e6)


def _sample_idle(bench: Bench, case: Case, process: ServerProcess) -> Sample:
    # What a first connection brings for good is no cost of the others.
    first = replace(case, connections=32)
    with bench.load(first, process, "hold") as load:
        load.wait_until_held()
        load.result("\n")
    before = process.memory()
    with bench.load(case, process, "hold") as load:
        load.wait_until_held()
        time.sleep(0.2)
        grown = process.memory() - before
        load.result("\n")
    return Sample(grown / case.connections)


def _sample_client(bench: Bench, case: Case, server: Server, limit: ServerProcess) -> Sample:
    messages = bench.messages(case)
    options: dict[str, object] = {
        "port": limit.port,
        "payloads": messages["payloads"],
        "size": case.size,
        "connections": case.connections,
        "in-flight": case.in_flight,
        "warmup": bench.plan.warmup,
        "seconds": bench.plan.seconds,
    }
    result = run_client(server, bench.processors.server, bench.plan.timeout, options)
    return Sample(bench.plan.rate(result), result["server_cpu"], cost=_cost(result))


@contextlib.contextmanager
def _telling_errors(process: ServerProcess) -> Iterator[None]:
    try:
        yield
    except Failed as error:
        errors = process.errors()
        raise Failed(f"{error}; the server said: {errors}" if errors else str(error)) from None


# One case -------------------------------------------------------------------

Sampler = Callable[[Server], Sample]


@contextlib.contextmanager
def _sampler(bench: Bench, case: Case, running: dict[str, ServerProcess]) -> Iterator[Sampler]:
    """What takes a sample of a server in this case."""
    setup = case.setup(bench.certificate)

    def of_running(server: Server) -> Sample:
        with _telling_errors(running[server.name]):
            return _sample_rate(bench, case, running[server.name])

    def of_fresh(server: Server) -> Sample:
        sample = _sample_idle if case.mode is Mode.IDLE else _sample_rate
        with bench.start(server, setup) as process, _telling_errors(process):
            return sample(bench, case, process)

    if case.mode is Mode.CLIENT:
        limit = next(server for server in SERVERS if not server.module)
        # Here the C program is the load.
        processors = bench.processors
        with ServerProcess(limit, setup, bench.programs, processors.load, spin=processors.spin) as process:
            yield lambda server: _sample_client(bench, case, server, process)
    else:
        yield of_fresh if case.needs_fresh_server else of_running


Progress = Callable[[str], None]


def _measure_case(
    bench: Bench,
    case: Case,
    servers: Sequence[Server],
    running: dict[str, ServerProcess],
    outcomes: dict[str, Samples | str],
    progress: Progress,
) -> CaseResult:
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    with _sampler(bench, case, running) as sample:
        for number in range(bench.plan.rounds_of(case)):
            for server in round_order(servers, number):
                progress(f"{case.label}: {server.name}")
                if server.name in outcomes:
                    continue
                try:
                    samples[server.name].append(sample(server))
                except Failed as error:
                    outcomes[server.name] = f"{FAILED}{error}"
    for name, found in samples.items():
        if name not in outcomes:
            outcomes[name] = Samples(tuple(found))
    return CaseResult(case, outcomes)


def _able(
    bench: Bench, case: Case, servers: Iterable[Server]
) -> tuple[list[Server], dict[str, Samples | str]]:
    """Who takes part, and why the others do not."""
    reasons: dict[str, Samples | str] = {}
    able = []
    for server in servers:
        reason = bench.why_not(case, server)
        if reason is None:
            able.append(server)
        else:
            reasons[server.name] = reason
    return able, reasons


def measure(
    bench: Bench, cases: Sequence[Case], servers: Sequence[Server], progress: Progress
) -> Iterator[CaseResult]:
    """Measure all cases; those that the same servers can be used for come one after the other."""
    setups = dict.fromkeys(case.setup(bench.certificate) for case in cases)
    for setup in setups:
        group = [case for case in cases if case.setup(bench.certificate) == setup]
        with contextlib.ExitStack() as stack:
            running: dict[str, ServerProcess] = {}
            broken: dict[str, Samples | str] = {}
            for case in group:
                able, outcomes = _able(bench, case, servers)
                if not case.needs_fresh_server and case.mode is not Mode.CLIENT:
                    for server in able:
                        _start(bench, server, setup, running, broken, stack)
                    outcomes |= {server.name: broken[server.name] for server in able if server.name in broken}
                yield _measure_case(bench, case, able, running, outcomes, progress)


def _start(
    bench: Bench,
    server: Server,
    setup: Setup,
    running: dict[str, ServerProcess],
    broken: dict[str, Samples | str],
    stack: contextlib.ExitStack,
) -> None:
    if server.name in running or server.name in broken:
        return
    try:
        running[server.name] = stack.enter_context(bench.start(server, setup))
    except Failed as error:
        broken[server.name] = f"{FAILED}{error}"


def count_samples(cases: Iterable[Case], servers: Sequence[Server], plan: Plan) -> int:
    """How often `measure` will report progress, at most."""
    return sum(plan.rounds_of(case) * len(servers) for case in cases)
