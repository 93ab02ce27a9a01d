"""What each adapter saves, and uvicorn's protocol class.

``make bench-drop-ins BENCH='[--write-docs] [--time SECONDS] [SUBJECT ...]'``.

One process echoes through the library while its adapter is installed, at each
depth, and uninstalled in turn, over connections of its own for each; and so in
rounds, whose ratios have a median. A round counts messages, seconds, and the
process time of the host. Servers get further rounds, for the messages a second,
from a load generator in C. The host has one core for itself, this process and
the load generator another, where there are two.

Results are kept in a file and merged, so that a run may measure a few of the
subjects: what `--write-docs` writes are all that are there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from drop_ins.adapters.driver import HostProcess, Peer
from drop_ins.adapters.measured import CASES, Case, Rounds, document_of, gains, markdown
from drop_ins.adapters.rates import LoadGenerator

from bench.machine import machine_with
from fastframe import adapters

ROUNDS = 9
RATE_ROUNDS = 5
"""Of the load generator's, which say little about processor time and much about all that waits."""

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "drop-ins.md"
RESULTS = ROOT / "bench" / "results" / "drop-ins.json"
GAINS = ROOT / "src" / "fastframe" / "cli" / "gains.py"
START = "<!-- measured -->"
END = "<!-- end -->"

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

ROUND = 0.1
"""Seconds that a round is to last."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A host, and how deep an adapter is in it."""

    host: str
    depth: str | None = None


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured with an adapter and without."""

    host: str
    library: str
    """Whose adapter it is; "" for uvicorn, which has another host instead."""
    role: str = "server"
    connections: int = 8
    """Of a server with one thread for all of them; one for a thread each."""
    largest: int = 1 << 20
    only: tuple[str, ...] = ()
    """The depths worth telling apart; all if none."""

    @property
    def depths(self) -> tuple[str, ...]:
        return self.only or adapters.depths_of(self.library)

    @property
    def variants(self) -> list[Variant]:
        if not self.library:
            return [Variant(self.host), Variant("uvicorn-fastframe")]
        return [Variant(self.host), *(Variant(self.host, depth) for depth in self.depths)]


SUBJECTS = {
    "uvicorn's plug-in": Subject("uvicorn-sansio", ""),
    "uvicorn, websockets-sansio": Subject("uvicorn-sansio", "websockets", only=("frame",)),
    "websockets": Subject("websockets", "websockets"),
    "websockets, deflate": Subject("websockets-deflate", "websockets"),
    "websockets, a client": Subject("websockets", "websockets", "client", 1),
    "websockets, threads": Subject("websockets-sync", "websockets", connections=1, only=("frame",)),
    "wsproto": Subject("wsproto", "wsproto", connections=1),
    "uvicorn, wsproto": Subject("uvicorn-wsproto", "wsproto"),
    "hypercorn": Subject("hypercorn", "wsproto"),
    # It sends no more than the socket takes at once.
    "simple-websocket": Subject("simple-websocket", "wsproto", connections=1, largest=4096),
    "tornado": Subject("tornado-plain", "tornado"),
    "tornado, on_message is a coroutine": Subject("tornado", "tornado"),
    "autobahn": Subject("autobahn", "autobahn"),
    "ws4py": Subject("ws4py", "ws4py", connections=1),
    "websocket-client, a client": Subject("websocket-client", "websocket-client", "client", 1),
}


def take(peer: Peer, size: int) -> None:
    """Take so many bytes of answers."""
    buffer = bytearray(1 << 20)
    while size > 0:
        received = peer.socket.recv_into(buffer, min(len(buffer), size))
        assert received, "the host has closed the connection"
        size -= received


def take_frames(peer: Peer, count: int) -> None:
    """Take so many answers, of whatever size."""
    for _ in range(count):
        assert peer.get() is not None, "the host has closed the connection"


def load(peer: Peer, case: Case) -> tuple[bytes, Callable[[], None]]:
    """A burst of messages for one connection, and what takes the answers to it."""
    text = ("{'a': 1, 'text': 'plain'} " * (case.size // 26 + 1))[: case.size].encode()
    if peer.deflates:
        # A first message refers to none before it, so it can be sent again and again.
        burst = peer.frame(1, peer.deflated(text), rsv=4) * case.in_flight
        return burst, partial(take_frames, peer, case.in_flight)
    frame = peer.frame(1, text)
    # A frame to the peer is masked where one from it is not.
    answer = len(frame) - 4 if peer.masks else len(frame) + 4
    return frame * case.in_flight, partial(take, peer, answer * case.in_flight)


class Line:
    """The connections of one variant, and the load for them."""

    def __init__(self, variant: Variant, host: HostProcess, subject: Subject, case: Case) -> None:
        self.variant = variant
        self.host = host
        self._library = subject.library
        self._set_adapter()
        connections = subject.connections if case.size * case.in_flight <= 8192 else 1
        self.peers = [host.meet() for _ in range(connections)]
        self._loads = [(peer, *load(peer, case)) for peer in self.peers]
        self._per_burst = case.in_flight * connections
        self.bursts = 1

    def _set_adapter(self) -> None:
        if self.variant.depth is not None:
            self.host.command("install", self._library, self.variant.depth)

    def _unset_adapter(self) -> None:
        if self.variant.depth is not None:
            self.host.command("uninstall", self._library)

    @property
    def connections(self) -> int:
        return len(self.peers)

    def rate(self, load: LoadGenerator, case: Case) -> float:
        """Messages a second, over new connections."""
        self._set_adapter()
        deflate = self.peers[0].deflates
        rate = load.rate(self.host.port, case, self.connections, deflate=deflate)
        self._unset_adapter()
        return rate

    def warm_up(self) -> None:
        """Send some, and find out how much is a round."""
        self._pump(2)
        began = time.perf_counter()
        self._pump(1)
        self.bursts = max(1, round(ROUND / (time.perf_counter() - began)))
        self._unset_adapter()

    def round(self) -> tuple[float, float]:
        """Messages a second, and microseconds of the host's process time for one."""
        self._set_adapter()
        before = self.host.command("cpu")
        began = time.perf_counter()
        self._pump(self.bursts)
        seconds = time.perf_counter() - began
        spent = self.host.command("cpu") - before
        self._unset_adapter()
        messages = self.bursts * self._per_burst
        return messages / seconds, spent / messages / 1000

    def _pump(self, bursts: int) -> None:
        """Send a burst on each connection, then take all answers; and so again."""
        for _ in range(bursts):
            if len(self._loads[0][1]) <= 100_000:
                for peer, burst, _take_answers in self._loads:
                    peer.socket.sendall(burst)
                for _, _, take_answers in self._loads:
                    take_answers()
                continue
            # Neither side may wait for the other to read.
            [(peer, burst, take_answers)] = self._loads
            sender = threading.Thread(target=peer.socket.sendall, args=(burst,))
            sender.start()
            take_answers()
            sender.join()

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


def pin(host: HostProcess) -> None:
    """Keep the host, all its threads and this process from moving between cores."""
    if len(CORES) > 1:
        for thread in Path(f"/proc/{host.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), CORES[:1])
        os.sched_setaffinity(0, CORES[1:2])


def measure(subject: Subject, case: Case, load: LoadGenerator) -> tuple[Rounds, Rounds]:
    """Messages a second, and microseconds of process time for one: the rounds of each variant."""
    hosts = {name: HostProcess(name, subject.role) for name in {v.host for v in subject.variants}}
    try:
        for host in hosts.values():
            pin(host)
        lines = []
        for variant in subject.variants:
            line = Line(variant, hosts[variant.host], subject, case)
            line.warm_up()
            lines.append(line)
        rates: Rounds = [[] for _ in lines]
        costs: Rounds = [[] for _ in lines]
        for _ in range(ROUNDS):
            for line, rate_samples, cost_samples in zip(lines, rates, costs, strict=True):
                rate, cost = line.round()
                rate_samples.append(rate)
                cost_samples.append(cost)
        if subject.role == "server" and (load.deflates or not lines[0].peers[0].deflates):
            rates = [[] for _ in lines]
            for _ in range(RATE_ROUNDS):
                for line, rate_samples in zip(lines, rates, strict=True):
                    rate_samples.append(line.rate(load, case))
        for line in lines:
            line.close()
        return rates, costs
    finally:
        for host in hosts.values():
            host.end()


def versions(subject: Subject) -> dict[str, str]:
    wanted = {subject.library, *subject.host.split("-")[:1], subject.host} - {""}
    found = {}
    for name in sorted(wanted | ({"uvloop", "websockets"} if "uvicorn" in subject.host else set())):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def all_cases(name: str, load: LoadGenerator) -> dict[str, Any]:
    """Measure a subject in every case that it has; as it is kept."""
    subject = SUBJECTS[name]
    labels = [variant.depth or "" for variant in subject.variants]
    figures: dict[str, Any] = {}
    for case in CASES:
        if case.size > subject.largest:
            continue
        figures[case.name] = document_of(labels, *measure(subject, case, load))
        best = figures[case.name][-1]
        print(
            f"{name}, {case.name}: {best['rate']:,.0f}/s ({best['rate_ratio']:.2f} x),"
            f" {best['cpu']:.1f} us ({best['cpu_ratio']:.2f} x)",
            flush=True,
        )
    pinned = CORES[0] if len(CORES) > 1 else None
    about = dataclasses.asdict(machine_with(versions(subject), pinned))
    return {"role": subject.role, "connections": subject.connections, "figures": figures, "machine": about}


def write_docs(results: dict[str, Any]) -> None:
    before, start, rest = DOCS.read_text("utf-8").partition(START)
    _, end, after = rest.partition(END)
    table = markdown({name: results[name] for name in SUBJECTS if name in results})
    DOCS.write_text(f"{before}{start}\n\n{table}\n{end}{after}", "utf-8")
    before, start, rest = GAINS.read_text("utf-8").partition("] = {\n")
    _, end, after = rest.partition("\n}\n")
    GAINS.write_text(f"{before}{start}{gains(results)}{end.lstrip()}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each adapter saves.")
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(SUBJECTS)}; all if none"
    )
    parser.add_argument("--time", type=float, metavar="SECONDS", help="begin no subject after so long")
    parser.add_argument("--missing", action="store_true", help="leave out what the results have already")
    parser.add_argument("--write-docs", action="store_true", help="put all results into docs/drop-ins.md")
    options = parser.parse_args()
    unknown = [name for name in options.subjects if name not in SUBJECTS]
    if unknown:
        parser.error(f"no subject {', '.join(unknown)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    began = time.monotonic()
    with LoadGenerator(CORES[1] if len(CORES) > 1 else None) as load:
        for name in options.subjects or SUBJECTS:
            if options.missing and name in results:
                continue
            if options.time is not None and time.monotonic() - began > options.time:
                print(f"out of time before {name}")
                break
            results[name] = all_cases(name, load)
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=1))
    if options.write_docs:
        write_docs(results)


if __name__ == "__main__":
    main()
