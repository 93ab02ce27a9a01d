"""What each adapter saves: ``python -m drop_ins.adapters.measure [--write-docs] [HOST ...]``, in tests/.

One process echoes through the library while its adapter is installed and
uninstalled in turn, over a connection for each; what counts is its own process
time for a message, the median of the rounds. Sizes are in bytes; "32 x 125" is
32 messages in flight. "websockets-deflate" has agreed on permessage-deflate. The
host has one core for itself, this process another, where there are two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from drop_ins.adapters.driver import HostProcess, Peer

import fastframe
from fastframe import adapters

CASES = {
    "125": (125, 1, 1500),
    "32 x 125": (125, 32, 6400),
    "4 KiB": (4096, 1, 800),
    "1 MiB": (1 << 20, 1, 6),
}
"""By name: bytes in a message, messages in flight, messages a round."""

ROUNDS = 11

DOCS = Path(__file__).resolve().parents[3] / "docs" / "drop-ins.md"
START = "<!-- measured -->"
END = "<!-- end -->"

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

# The host's name, its role, and what is installed.
SUBJECTS = [
    ("websockets", "server", "websockets"),
    ("websockets-deflate", "server", "websockets"),
    ("websockets", "client", "websockets"),
    ("websockets-sync", "server", "websockets"),
    ("wsproto", "server", "wsproto"),
    ("tornado", "server", "tornado"),
    ("autobahn", "server", "autobahn"),
    ("ws4py", "server", "ws4py"),
    ("websocket-client", "client", "websocket-client"),
]


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


def pump(peer: Peer, burst: bytes, take_answers: Callable[[], None], bursts: int) -> None:
    """Send bursts, each after the answers to the one before it have come."""
    for _ in range(bursts):
        if len(burst) <= 100_000:
            peer.socket.sendall(burst)
            take_answers()
            continue
        # Neither side may wait for the other to read.
        sender = threading.Thread(target=peer.socket.sendall, args=(burst,))
        sender.start()
        take_answers()
        sender.join()


def load(peer: Peer, size: int, in_flight: int) -> tuple[bytes, Callable[[], None]]:
    """A burst of messages, and what takes the answers to it."""
    text = ("{'a': 1, 'text': 'plain'} " * (size // 26 + 1))[:size].encode()
    if peer.deflates:
        # A first message refers to none before it, so it can be sent again and again.
        return peer.frame(1, peer.deflated(text), rsv=4) * in_flight, partial(take_frames, peer, in_flight)
    frame = peer.frame(1, text)
    # A frame to the peer is masked where one from it is not.
    answer = len(frame) - 4 if peer.masks else len(frame) + 4
    return frame * in_flight, partial(take, peer, answer * in_flight)


def measure(host: HostProcess, library: str, depth: str, case: str) -> tuple[float, float]:
    """Microseconds of the host's process time a message, without and with the adapter."""
    size, in_flight, messages = CASES[case]
    bursts = max(messages // in_flight, 1)
    rounds: dict[bool, list[float]] = {False: [], True: []}
    commands = {False: ("uninstall", library), True: ("install", library, depth)}
    # A connection each: what it is made of is decided when it is made.
    peers: dict[bool, Peer] = {}
    for number in range(2 * ROUNDS + 2):
        installed = bool(number % 2)
        host.command(*commands[installed])
        warming_up = installed not in peers
        if warming_up:
            peers[installed] = host.meet()
        burst, take_answers = load(peers[installed], size, in_flight)
        before = host.command("cpu")
        pump(peers[installed], burst, take_answers, bursts)
        if not warming_up:
            rounds[installed].append((host.command("cpu") - before) / (bursts * in_flight) / 1000)
    for peer in peers.values():
        peer.close()
    return statistics.median(rounds[False]), statistics.median(rounds[True])


def pin(host: HostProcess) -> None:
    """Keep the host, all its threads and this process from moving between cores."""
    if not hasattr(os, "sched_setaffinity"):
        return
    if len(CORES) > 1:
        for thread in Path(f"/proc/{host.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), CORES[:1])
        os.sched_setaffinity(0, CORES[1:2])


def rows(wanted: list[str]) -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield f"| library | role | depth | {' | '.join(CASES)} |"
    yield "|---|---|---|" + "---|" * len(CASES)
    for name, role, library in SUBJECTS:
        if wanted and name not in wanted:
            continue
        known = adapters._library(library)
        for depth in known.depths or ():
            cells = []
            for case in CASES:
                host = HostProcess(name, role)
                pin(host)
                try:
                    without, with_it = measure(host, library, depth, case)
                finally:
                    host.end()
                cells.append(f"{without:.1f} → {with_it:.1f} ({without / with_it:.2f} x)")
            yield f"| {name} {known.version()} | {role} | `{depth}` | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what each adapter saves.")
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="all if none is named")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/drop-ins.md")
    options = parser.parse_args()
    info = fastframe.build_info()
    lines = [f"fastframe {info['version']}, {info['backend']} ({info['kernel']}), {info['python']}:", ""]
    print(*lines, sep="\n")
    for row in rows(options.hosts):
        lines.append(row)
        print(row, flush=True)
    if options.write_docs:
        before, start, rest = DOCS.read_text("utf-8").partition(START)
        _, end, after = rest.partition(END)
        table = "\n".join(lines)
        DOCS.write_text(f"{before}{start}\n{table}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
