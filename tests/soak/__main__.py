"""Much of everything through one server process, which must not grow: ``make soak SOAK='--help'``.

Connections are held with keepalive on, others send messages of which the load
generator checks every byte, others come and go, and the held ones end by
SIGKILL. In between the server tells what it holds, and /proc of its memory
and descriptors.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.servers.process import Failed, Load
from bench.servers.programs import NoCompiler, Programs

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent.parent / "docs" / "security"

GROWTH = 8
"""MiB that as many connections may take more at the end than at the beginning.

What is left when all have gone says less: it depends on where in its pages the
allocator has put what was the last to go.
"""

SETTLING = 15.0
"""Seconds in which all that has ended must be gone."""

Sample = dict[str, Any]


class Soaked:
    """The server's process."""

    def __init__(self, loop: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline().split()[1])
        self.pid = self._process.pid
        self.began = time.monotonic()
        self.samples: list[Sample] = []

    def sample(self, phase: str) -> Sample:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sample: Sample = json.loads(self._process.stdout.readline())
        status = Path(f"/proc/{self.pid}/status").read_text()
        sample["phase"], sample["seconds"] = phase, time.monotonic() - self.began
        sample["memory"] = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        sample["descriptors"] = len(os.listdir(f"/proc/{self.pid}/fd"))
        self.samples.append(sample)
        return sample

    def settle(self, phase: str, before: Sample) -> Sample:
        """Wait until it holds what it held before.

        Raises:
            Failed: it holds more.
        """
        end = time.monotonic() + SETTLING
        names = ("sockets", "conversations", "tasks", "descriptors")
        while True:
            sample = self.sample(phase)
            left = {name: sample[name] - before[name] for name in names if sample[name] > before[name]}
            if not left:
                return sample
            if time.monotonic() > end:
                raise Failed(f"left after {phase}: {left}")
            time.sleep(0.5)

    def stop(self) -> None:
        self._process.communicate(timeout=20)


def noise(folder: Path, size: int) -> dict[str, object]:
    file = folder / "noise"
    file.write_bytes(random.Random(1).randbytes(size * 997))
    return {"payloads": file, "messages": 997, "size": size, "opcode": 2}


def many(server: Soaked, programs: Programs, goal: int, seconds: float, options: dict[str, object]) -> int:
    """Run the load again and again until it has done enough, or the time is over."""
    done, end = 0, time.monotonic() + seconds
    while done < goal and (left := end - time.monotonic()) > 0.5:
        piece = min(20.0, left)
        with Load(programs, None, piece + 60, port=server.port, pid=0, seconds=piece, **options) as load:
            done += load.result()["count"]
        server.sample(str(options["mode"]))
    return done


def soak(arguments: argparse.Namespace, programs: Programs, folder: Path) -> tuple[dict[str, Any], Soaked]:
    server = Soaked(arguments.loop)
    payloads = noise(folder, 125)
    seconds = arguments.minutes * 60
    done: dict[str, Any] = {}
    try:
        # What a server takes once and for all.
        many(server, programs, 1, 2, payloads | {"mode": "echo", "connections": 8, "in_flight": 32})
        many(server, programs, 1, 2, payloads | {"mode": "connect", "connections": 64, "in_flight": 1})
        held = payloads | {"mode": "hold", "connections": arguments.hold, "in_flight": 1}
        empty = server.sample("start")
        with Load(programs, None, 60, port=server.port, pid=0, seconds=1, **held) as holding:
            holding.wait_until_held()
            first = server.sample("held first")
        before = server.settle("killed before", empty)
        with Load(programs, None, seconds + 120, port=server.port, pid=0, seconds=1, **held) as holding:
            holding.wait_until_held()
            most = server.sample("held")
            done["held"] = most["sockets"]
            echo = payloads | {"mode": "echo", "connections": 8, "in_flight": 32}
            done["messages"] = many(server, programs, arguments.messages, seconds * 0.45, echo)
            connect = payloads | {"mode": "connect", "connections": 64, "in_flight": 1}
            done["connects"] = many(server, programs, arguments.connects, seconds * 0.45, connect)
            if server.settle("still held", most)["sockets"] < arguments.hold:
                raise Failed("connections that were to be held are gone")
            holding._process.kill()
        server.settle("killed", before)
        with Load(programs, None, 60, port=server.port, pid=0, seconds=1, **held) as holding:
            holding.wait_until_held()
            done["grown"] = server.sample("held last")["memory"] - first["memory"]
        server.settle("end", before)
        if done["grown"] > GROWTH:
            raise Failed(f"memory grew by {done['grown']:.0f} MiB, {GROWTH} at most")
        for name in ("held", "messages", "connects"):
            if not done[name]:
                raise Failed(f"no {name}: the soak soaked nothing")
    finally:
        server.stop()
    return done, server


def write_report(done: dict[str, Any], server: Soaked, loop: str) -> None:
    from bench.plot import write_panels

    REPORT.mkdir(exist_ok=True)
    times = [sample["seconds"] for sample in server.samples]

    def drawer(name: str) -> Any:
        return lambda axis: axis.plot(times, [sample[name] for sample in server.samples], marker=".")

    panels = [("resident memory, MiB, over seconds", drawer("memory"))]
    panels.append(("descriptors, over seconds", drawer("descriptors")))
    write_panels(REPORT / "soak.svg", panels, f"fastframe on {loop}, one process")
    names = ("phase", "descriptors", "sockets", "tasks")
    rows = [
        " | ".join(
            [f"| {sample['seconds']:.0f}", f"{sample['memory']:.1f}", *(f"{sample[n]}" for n in names)]
        )
        + " |"
        for sample in server.samples
    ]
    text = f"""# Soak

Written by `make soak SOAK='--write-docs ...'`: one server process, coroutine form, {loop}, Python \
{sys.version.split()[0]}, {time.strftime("%d %B %Y")}, {times[-1]:.0f} seconds.

{done["held"]:,} connections were held with keepalive. Meanwhile {done["messages"]:,} messages of 125
bytes were echoed, of which every byte was checked, and {done["connects"]:,} connections opened, echoed
and closed. Then the process that held connections was killed. Afterwards the server had as many sockets,
tasks, objects and descriptors as before. Held again, as many connections took {done["grown"]:.1f} MiB more
resident memory than at the beginning ({GROWTH} are allowed).

![memory and descriptors](soak.svg)

| seconds | resident MiB | phase | descriptors | sockets | tasks |
|---:|---:|---|---:|---:|---:|
"""
    (REPORT / "soak.md").write_text(text + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.8, help="at most, about")
    parser.add_argument("--hold", type=int, default=2000, help="connections to hold")
    parser.add_argument("--messages", type=int, default=100_000_000)
    parser.add_argument("--connects", type=int, default=1_000_000)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    parser.add_argument("--write-docs", action="store_true", help="write docs/security/soak.md")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("not run: the soak reads /proc, which Linux has")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            programs = Programs(Path(folder))
            done, server = soak(arguments, programs, Path(folder))
        except NoCompiler as error:
            print(f"not run: {error}")
            return int(os.environ.get("REQUIRE") == "1")
        except Failed as error:
            print(f"soak FAILED: {error}")
            return 1
    figures = ", ".join(f"{name} {value:,.0f}" for name, value in done.items())
    print(f"soak ok: {figures} MiB")
    if arguments.write_docs:
        write_report(done, server, arguments.loop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
