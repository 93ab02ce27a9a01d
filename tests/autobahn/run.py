"""Run the Autobahn testsuite against fastframe, or another peer, and fail on all that is not strict.

Usage: python tests/autobahn/run.py [--role server|client|both] [--half compiled|pure|both]
           [--cases '1.*,2.*'] [--exclude '9.*'] [--jobs 2] [--accelerated] [--keep-report DIR] [--require]

Autobahn's fuzzing client is run against an echo server, its fuzzing server
against an echo client. Every case must be OK or INFORMATIONAL, and close so
too; one that is missing fails as well. The suite needs Python 2.7: a machine
without one says "not run: ..." and passes, with --require it fails.

Any other peer can take the place of ours:

    --server-command 'node server.js {port}' --client-command 'node client.js {uri} {agent}'
    --server-command 'python /.../tests/autobahn/echo_server.py --library websockets {port}'

The commands run in a scratch folder: give their files by absolute paths. A client
asks for URI/getCaseCount, URI/runCase?case=1&agent=AGENT and so on, and at last for
URI/updateReports?agent=AGENT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from autobahn_report import CaseResult, Run, bad_cases, case_order, read_report, table

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
START_SECONDS = 30

# Programs for Python 2.7. The suite's own server would listen on all interfaces.
FUZZER = f"""
import functools
from autobahntestsuite import wstest, fuzzing
fuzzing.listenWS = functools.partial(fuzzing.listenWS, interface="{HOST}")
wstest.run()
"""
LIST_CASES = """
import json
from autobahntestsuite import case
name = lambda kind: kind.__name__[len(case.CaseBasename):].replace("_", ".")
print(json.dumps(dict((name(kind), kind.DESCRIPTION) for kind in case.Cases)))
"""
# An alarm outlives exec: whatever becomes of this program, none that it started runs longer.
LIMITED = "import os, signal, sys; signal.alarm(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"


class Problem(Exception):
    """Something other than a case went wrong."""


class Part(NamedTuple):
    """A share of the cases, with a fuzzer, a peer and a port of its own."""

    role: str
    half: str
    cases: list[str]
    folder: Path
    python27: str
    peer_command: list[str]
    limit: int

    @property
    def agent(self) -> str:
        return f"{self.role}-{self.half}"


def free_ports() -> Iterator[int]:
    # Below the ports that systems give to outgoing connections: one of the fuzzer's could take a server's.
    for port in random.sample(range(20_000, 32_000), 12_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            yield port


PORTS = free_ports()
EXTENSION = {"compiled": "1", "pure": "0"}


@contextlib.asynccontextmanager
async def running(part: Part, name: str, command: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in a group of its own, which is killed at the end. Its output goes to NAME.log."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if part.half in EXTENSION:
        variables["FASTFRAME_EXTENSION"] = EXTENSION[part.half]
    with (part.folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-ISc", LIMITED, str(part.limit + START_SECONDS), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=part.folder,
            env=variables,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def listening(process: asyncio.subprocess.Process, port: int, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.returncode is None:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise Problem(f"the {name} does not listen on port {port}")


async def finished(process: asyncio.subprocess.Process, limit: int, name: str) -> None:
    try:
        status = await asyncio.wait_for(process.wait(), limit)
    except asyncio.TimeoutError:
        raise Problem(f"the {name} was still running after {limit} s") from None
    if status:
        raise Problem(f"the {name} ended with {status}")


async def request_report(part: Part, port: int) -> None:
    """Have the fuzzing server write what it knows, if a client ended without asking for it."""
    if (part.folder / "report" / "index.json").exists():
        return
    lines = [
        f"GET /updateReports?agent={part.agent} HTTP/1.1",
        f"Host: {HOST}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    # EOFError: the server is gone as well; what it has not written is missing, and counted so.
    with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        # The close frame comes once the reports are written.
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n\x88"), START_SECONDS)
        writer.close()


def fuzzer_command(part: Part, mode: str, **spec: object) -> list[str]:
    spec |= {"outdir": "report", "cases": part.cases, "exclude-cases": [], "exclude-agent-cases": {}}
    (part.folder / "spec.json").write_text(json.dumps(spec))
    # -E: PYTHONPATH and the like are meant for our Python. --webport 0: no web server.
    return [part.python27, "-E", "-u", "-c", FUZZER, "--mode", mode, "--spec", "spec.json", "--webport", "0"]


async def fuzz_server(part: Part) -> None:
    port = next(PORTS)
    server = {"agent": part.agent, "url": f"ws://{HOST}:{port}"}
    fuzzer = fuzzer_command(part, "fuzzingclient", servers=[server])
    async with running(part, "peer", filled_in(part, port)) as peer:
        await listening(peer, port, "echo server")
        async with running(part, "fuzzer", fuzzer) as process:
            await finished(process, part.limit, "fuzzing client")
        if peer.returncode is not None:
            raise Problem(f"the echo server ended with {peer.returncode}")


async def fuzz_client(part: Part) -> None:
    port = next(PORTS)
    fuzzer = fuzzer_command(part, "fuzzingserver", url=f"ws://{HOST}:{port}")
    async with running(part, "fuzzer", fuzzer) as process:
        await listening(process, port, "fuzzing server")
        try:
            async with running(part, "peer", filled_in(part, port)) as peer:
                await finished(peer, part.limit, "echo client")
        except Problem:
            await request_report(part, port)
            raise
        await request_report(part, port)


def filled_in(part: Part, port: int) -> list[str]:
    values = {"{port}": str(port), "{uri}": f"ws://{HOST}:{port}", "{agent}": part.agent}
    return [
        re.sub(r"\{(?:port|uri|agent)\}", lambda found: values[found[0]], word) for word in part.peer_command
    ]


async def run_part(part: Part, descriptions: dict[str, str]) -> tuple[list[CaseResult], list[str]]:
    """The results of the cases, and what else went wrong, with the last lines of both processes."""
    problems = []
    try:
        await (fuzz_server(part) if part.role == "server" else fuzz_client(part))
    except Problem as problem:
        tails = [
            f"{path.name}: {line}"
            for path in sorted(part.folder.glob("*.log"))
            for line in path.read_text(errors="replace").splitlines()[-12:]
        ]
        problems = [str(problem), *tails]
    expected = {case: descriptions[case] for case in part.cases}
    return read_report(part.folder / "report", part.agent, expected), problems


async def run_cases(parts: Sequence[Part], descriptions: dict[str, str]) -> Run:
    started = time.monotonic()
    # return_exceptions: if this is cancelled, it waits until every part has ended its processes.
    ended = await asyncio.gather(*[run_part(part, descriptions) for part in parts], return_exceptions=True)
    done = []
    for outcome in ended:
        if isinstance(outcome, BaseException):
            raise outcome
        done.append(outcome)
    results = sorted(
        (result for part in done for result in part[0]), key=lambda result: case_order(result.case_id)
    )
    problems = [problem for part in done for problem in part[1]]
    return Run(f"{parts[0].role}, {parts[0].half}", results, problems, time.monotonic() - started)


def environment(*, accelerated: bool) -> str | None:
    """The Python 2.7 that has the suite; None if the machine has none."""
    options = ["--accelerated"] if accelerated else []
    done = subprocess.run(
        [sys.executable, str(HERE / "environment.py"), *options],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit("the environment of the Autobahn testsuite could not be made")
    return done.stdout.strip() or None


def all_cases(python27: str) -> dict[str, str]:
    """The description of each case of the suite, by number."""
    command = [python27, "-E", "-c", LIST_CASES]
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    return dict(json.loads(listed.stdout))


def matching(cases: Sequence[str], patterns: str) -> set[str]:
    """The cases that a list like "1.*,7.1.6" names; every pattern must name one."""
    chosen: set[str] = set()
    for pattern in filter(None, (pattern.strip() for pattern in patterns.split(","))):
        expression = re.escape(pattern).replace(r"\*", ".*")
        found = {case for case in cases if re.fullmatch(expression, case)}
        if not found:
            sys.exit(f"no case of the Autobahn testsuite matches {pattern}")
        chosen |= found
    return chosen


def peers(arguments: argparse.Namespace) -> Iterator[tuple[str, str, list[str]]]:
    """Role, half and command of each peer to test."""
    halves = ("compiled", "pure") if arguments.half == "both" else (arguments.half,)
    own = {"server": ["echo_server.py", "{port}"], "client": ["echo_client.py", "{uri}", "{agent}"]}
    given = {"server": arguments.server_command, "client": arguments.client_command}
    for role in ("server", "client") if arguments.role == "both" else (arguments.role,):
        if given[role]:
            yield role, "other", shlex.split(given[role])
            continue
        script, *words = own[role]
        for half in halves:
            yield role, half, [sys.executable, str(HERE / script), *words]


def shares(
    cases: Sequence[str], arguments: argparse.Namespace, reports: Path, python27: str
) -> Iterator[list[Part]]:
    """The parts of each peer, in fresh folders: a report of an earlier run must not pass for one of this."""
    for role, half, command in peers(arguments):
        parts = []
        for number in range(min(arguments.jobs, len(cases))):
            folder = reports / f"{role}-{half}-{number + 1}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            # Every so many: each fuzzer gets its share of the slow ones.
            own = cases[number :: arguments.jobs]
            parts.append(Part(role, half, list(own), folder, python27, command, arguments.limit))
        yield parts


async def run_all(peers_parts: Iterator[list[Part]], descriptions: dict[str, str]) -> list[Run]:
    task = asyncio.current_task()
    assert task is not None
    # A CI that gives up sends SIGTERM: the processes are to end as well.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    runs = []
    for parts in peers_parts:
        run = await run_cases(parts, descriptions)
        runs.append(run)
        if not run.passed:
            print(bad_cases(run), flush=True)
    return runs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run the Autobahn testsuite.")
    parser.add_argument(
        "--role", choices=["server", "client", "both"], default="both", help="of the peer that is tested"
    )
    parser.add_argument(
        "--half", choices=["compiled", "pure", "both"], default="compiled", help="of the codec"
    )
    parser.add_argument("--cases", default="*", help="such as '1.*,7.1.6'")
    parser.add_argument("--exclude", default="", help="such as '9.*,12.*,13.*'")
    parser.add_argument(
        "--jobs", type=int, default=2, help="fuzzers side by side, each with a part of the cases"
    )
    parser.add_argument(
        "--accelerated", action="store_true", help="a fuzzer with native masking and UTF-8 validation"
    )
    parser.add_argument("--limit", type=int, default=7200, metavar="SECONDS", help="for one peer")
    parser.add_argument(
        "--keep-report", metavar="DIR", help="keep Autobahn's reports, the HTML too, and all output"
    )
    parser.add_argument("--require", action="store_true", help="fail if there is no Python 2.7")
    parser.add_argument("--server-command", metavar="COMMAND", help="another echo server, with {port}")
    parser.add_argument(
        "--client-command", metavar="COMMAND", help="another echo client, with {uri} and {agent}"
    )
    arguments = parser.parse_args()
    if arguments.jobs < 1 or arguments.limit < 1:
        parser.error("--jobs and --limit: at least 1")
    return arguments


def main() -> int:
    arguments = parse_arguments()
    python27 = environment(accelerated=arguments.accelerated)
    if python27 is None:
        return 1 if arguments.require else 0
    descriptions = all_cases(python27)
    chosen = matching(list(descriptions), arguments.cases) - matching(list(descriptions), arguments.exclude)
    if not chosen:
        sys.exit("no cases are left to run")
    cases = sorted(chosen, key=case_order)
    with tempfile.TemporaryDirectory() as scratch:
        reports = Path(arguments.keep_report or scratch).resolve()
        try:
            runs = asyncio.run(run_all(shares(cases, arguments, reports, python27), descriptions))
        except asyncio.CancelledError:
            sys.exit("stopped")
    print(table(runs))
    return 0 if all(run.passed for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
