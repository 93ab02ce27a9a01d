"""The command: ``python -m bench.servers`` measures servers and clients end to end, beside their peers."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import platform
import sys
import time
from collections.abc import Sequence

from ..machine import Machine, machine_with
from ..report import Progress, print_table
from ..tables import Table
from . import compare, front, pages
from .cases import CASES, Case
from .programs import NoCompiler
from .registry import SERVERS, Server, versions_of
from .results import CaseResult, from_document
from .resume import CannotResume, Earlier
from .run import Bench, Plan, Processors, count_samples, measure

ROOT = pathlib.Path(__file__).parent.parent.parent
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "benchmarks"

# Short rounds and many of them: what else a machine does comes and goes in seconds, and is shared out so.
FULL = Plan(rounds=9, fresh_rounds=3, seconds=0.2, warmup=0.1)
QUICK = Plan(rounds=3, fresh_rounds=1, seconds=0.2, warmup=0.08, timeout=30)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.servers",
        description="Measures servers and clients end to end, beside their peers: a quick set in about two"
        " minutes, or everything. Results go to bench/results as JSON, Markdown and SVG.",
        epilog="The codec alone: python -m bench. Its instructions: python -m bench.instructions.",
    )
    parser.add_argument("--full", action="store_true", help="all cases, all servers, more and longer rounds")
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="TEXT",
        help="the cases of these names, or with these in their names (see --list)",
    )
    parser.add_argument("--servers", nargs="+", metavar="TEXT", help="the servers, likewise")
    parser.add_argument("--list", action="store_true", help="list cases and servers; measure nothing")
    parser.add_argument(
        "--rounds",
        type=_whole,
        help="samples of each server in each case; fewer where each takes a fresh server",
    )
    parser.add_argument("--seconds", type=_positive, help="that one sample lasts")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count by the server's own processor time: for a machine that others use too",
    )
    parser.add_argument("--output", type=pathlib.Path, default=RESULTS, help="folder for the results")
    earlier = parser.add_mutually_exclusive_group()
    earlier.add_argument(
        "--read", type=pathlib.Path, metavar="JSON", help="measure nothing, take this earlier run's results"
    )
    earlier.add_argument(
        "--resume",
        type=pathlib.Path,
        metavar="JSON",
        help="go on with this interrupted run: measure only the cases that it has not, or that failed",
    )
    parser.add_argument(
        "--compare",
        type=pathlib.Path,
        metavar="JSON",
        help="compare with this earlier run; 1 if one of ours lost",
    )
    parser.add_argument(
        "--margin", type=_positive, default=0.15, help="what may be lost without a complaint (default 0.15)"
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="write servers.md and servers.svg of the docs too"
    )
    arguments = parser.parse_args(argv)
    if arguments.write_docs and arguments.processor_time:
        parser.error("the docs show what a client sees: no --processor-time with --write-docs")
    return arguments


def chosen(arguments: argparse.Namespace) -> tuple[list[Case], list[Server]]:
    """The cases and servers that were asked for."""

    def wanted(names: Sequence[str], texts: Sequence[str] | None, quick: Sequence[str]) -> set[str]:
        if not texts:
            return set(names if arguments.full else quick)
        # A whole name means that one alone.
        return {
            name for text in texts for name in names if name == text or (text in name and text not in names)
        }

    labels = wanted(
        [case.label for case in CASES], arguments.cases, [case.label for case in CASES if case.quick]
    )
    names = wanted(
        [server.name for server in SERVERS],
        arguments.servers,
        [server.name for server in SERVERS if server.quick],
    )
    cases = [case for case in CASES if case.label in labels]
    servers = [server for server in SERVERS if server.name in names]
    return cases, servers


def plan_of(arguments: argparse.Namespace) -> Plan:
    """How long to measure, as it was asked for."""
    plan = FULL if arguments.full else QUICK
    if arguments.rounds:
        fresh = min(arguments.rounds, plan.fresh_rounds)
        plan = dataclasses.replace(plan, rounds=arguments.rounds, fresh_rounds=fresh)
    seconds = arguments.seconds or plan.seconds
    return dataclasses.replace(plan, seconds=seconds, by_processor=arguments.processor_time)


class _Run:
    """The results so far, written down after each case: an hour's work is not lost to the last minute."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.cases, self.servers = chosen(arguments)
        self.plan = plan_of(arguments)
        self.processors = Processors.of_this_machine()
        self.machine = machine_with(versions_of(self.servers), self.processors.server)
        self.results: list[CaseResult] = []
        self._output: pathlib.Path = arguments.output
        self._progress = Progress()
        self._done = 0
        self._total = 0

    def _say(self, text: str) -> None:
        self._done += 1
        self._progress(f"{self._done / self._total:4.0%}  {text}")

    def measure(self) -> None:
        """Measure the cases that there are no results of yet."""
        done = {result.case for result in self.results}
        left = [case for case in self.cases if case not in done]
        self._total = count_samples(left, self.servers, self.plan)
        try:
            with Bench(self.plan, self.processors) as bench:
                for result in measure(bench, left, self.servers, self._say):
                    self.results.append(result)
                    self._save()
        finally:
            self._progress.done()

    def _save(self) -> None:
        self._output.mkdir(parents=True, exist_ok=True)
        path = self._output / "servers.json"
        # Interrupted here, a run would have nothing left to go on with.
        new = path.with_suffix(".json.new")
        new.write_text(pages.as_json(self.results, self.machine, self.plan), encoding="utf-8")
        new.replace(path)

    def resume(self, path: pathlib.Path) -> None:
        """Begin with what an interrupted run has measured.

        Raises:
            CannotResume: it is none, or was made under other conditions.
        """
        earlier = Earlier.read(path)
        earlier.check(self.machine, self.plan, self.servers)
        # It keeps the date of its beginning.
        self.machine = earlier.machine
        self.results = earlier.finished(self.cases)
        self._save()

    def read(self, path: pathlib.Path) -> None:
        """Take an earlier run's results, and where they were measured."""
        document = json.loads(path.read_text(encoding="utf-8"))
        self.results = from_document(document["cases"], CASES)
        self.machine = Machine(**document["machine"])
        self.plan = Plan(**document["plan"])

    def in_order(self) -> list[CaseResult]:
        """As the cases are listed, however they were grouped for measuring."""
        return sorted(self.results, key=lambda result: CASES.index(result.case))


def _write(folder: pathlib.Path, run: _Run, environment: Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results, picture = run.in_order(), folder / "servers.svg"
    written = [folder / "servers.md"]
    try:
        from .plot import write_plot

        where = run.machine
        write_plot(picture, results, f"{where.cpu}, {where.python}, {where.date}")
        written.append(picture)
    except ImportError as error:  # the `bench` extra brings matplotlib
        print(f"no picture is drawn: {error}", file=sys.stderr)
    page = pages.as_markdown(results, environment, picture.name if picture in written else None)
    written[0].write_text(page, encoding="utf-8")
    print(f"written: {', '.join(map(str, written))}")


def _compare(arguments: argparse.Namespace, results: Sequence[CaseResult]) -> int:
    document = json.loads(arguments.compare.read_text(encoding="utf-8"))
    found = compare.changes(from_document(document["cases"], CASES), results)
    if not found:
        print(f"{arguments.compare} has no case and server in common with this run", file=sys.stderr)
        return 2
    print_table(compare.as_table(found, arguments.margin))
    return 1 if compare.regressions(found, arguments.margin) else 0


def _failures(run: _Run) -> int:
    """Say who failed; 1 if one of ours did."""
    status = 0
    ours = {server.name for server in SERVERS if server.is_ours}
    for result in run.results:
        for name, reason in result.failures().items():
            print(f"{result.label}: {name} {reason}", file=sys.stderr)
            status |= name in ours
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = arguments_of(argv)
    if platform.system() != "Linux":
        print("the load generator is for Linux", file=sys.stderr)
        return 1
    run = _Run(arguments)
    if arguments.list:
        for case in CASES:
            print(f"case    {case.label}{'' if case.quick else '   (--full)'}")
        for server in SERVERS:
            print(f"server  {server.name}{'' if server.quick else '   (--full)'}")
        return 0
    start = time.monotonic()
    if arguments.read:
        run.read(arguments.read)
    else:
        if not run.cases or not run.servers:
            print("no case or no server has such a name; --list names them", file=sys.stderr)
            return 2
        try:
            if arguments.resume:
                run.resume(arguments.resume)
            run.measure()
        except CannotResume as error:
            print(error, file=sys.stderr)
            return 2
        except NoCompiler as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{time.monotonic() - start:.0f} seconds")
    environment = pages.environment(run.machine, run.plan, run.processors)
    pages.print_all(run.in_order(), environment)
    status = _failures(run)
    _write(arguments.output, run, environment)
    if arguments.write_docs and status == 0:
        _write(DOCS, run, environment)
        front.rewrite()
    if arguments.compare:
        status = status or _compare(arguments, run.in_order())
    return status


if __name__ == "__main__":
    sys.exit(main())
