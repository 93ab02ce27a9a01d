"""The command: ``python -m bench`` measures the codec's figures beside its peers."""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Sequence

from . import report
from .contestants import OURS
from .figures import KIB, MIB, AnyFigure, FigureResult
from .machine import machine
from .node import stop_node
from .run import FIGURES, WrongResult, measure
from .tables import environment
from .timing import EMPTY_LOOP, Plan, interleave, quiet_processor

DOCS = pathlib.Path(__file__).parent.parent / "docs" / "benchmarks"

FULL = Plan(rounds=21, sample_time=0.004)
QUICK = Plan(rounds=7, sample_time=0.001)


def size_of(text: str) -> int:
    """Read a size: bytes, with K or M for the binary multiples."""
    units = {"K": KIB, "M": MIB}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 125, 64K or 1M")
    return int(number) * unit


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog="Servers and clients: python -m bench.servers. Instructions: python -m bench.instructions.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds, under a minute")
    parser.add_argument(
        "--figure",
        type=int,
        nargs="+",
        choices=sorted(FIGURES),
        help="measure these only: "
        + "; ".join(f"{number} {figure.title.split(':')[0]}" for number, figure in FIGURES.items()),
    )
    parser.add_argument(
        "--sizes", type=size_of, nargs="+", metavar="SIZE", help="payload sizes, such as 125 64K 1M"
    )
    parser.add_argument(
        "--rounds", type=_positive, help=f"rounds (default {FULL.rounds}, quick {QUICK.rounds})"
    )
    parser.add_argument("--cpu", type=int, help="processor to pin to (default: the last one allowed)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all samples to FILE")
    parser.add_argument(
        "--write-docs", action="store_true", help=f"write codec.md and codec.svg of {DOCS.name}/"
    )
    return parser.parse_args(argv)


def _measure(figures: Sequence[AnyFigure], arguments: argparse.Namespace, plan: Plan) -> list[FigureResult]:
    progress = report.Progress()
    results = []
    try:
        for figure in figures:
            sizes = arguments.sizes or (figure.quick_sizes if arguments.quick else figure.sizes)
            results.append(measure(figure, sizes, plan, progress))
            progress.done()
            report.print_figure(results[-1])
    finally:
        progress.done()
    return results


def _write_docs(page: str, results: Sequence[FigureResult], label: str) -> None:
    from .plot import write_plot

    DOCS.mkdir(parents=True, exist_ok=True)
    (DOCS / "codec.md").write_text(page, encoding="utf-8")
    write_plot(DOCS / "codec.svg", results, label)
    print(f"written: {DOCS / 'codec.md'}, {DOCS / 'codec.svg'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = _arguments(argv)
    plan = QUICK if arguments.quick else FULL
    if arguments.rounds:
        plan = Plan(arguments.rounds, plan.sample_time)
    figures = [figure for number, figure in FIGURES.items() if number in (arguments.figure or FIGURES)]
    start = time.monotonic()
    try:
        with quiet_processor(arguments.cpu) as cpu:
            loop = interleave({"loop": EMPTY_LOOP.runner()}, 1, plan)["loop"].median
            results = _measure(figures, arguments, plan)
            where = machine(figures, cpu)
    except WrongResult as error:
        print(f"wrong result, nothing is reported: {error}", file=sys.stderr)
        return 1
    finally:
        stop_node()
    report.print_table(environment(where, plan, loop))
    print(f"{time.monotonic() - start:.0f} seconds")
    if arguments.json:
        arguments.json.write_text(report.as_json(results, where, plan, loop), encoding="utf-8")
    if any(result.is_without(OURS) for result in results):
        print("fastframe's compiled half was not measured; no page is written without it", file=sys.stderr)
        return 1
    if arguments.write_docs:
        label = f"{where.cpu}, {where.python}, {where.date}"
        _write_docs(report.as_markdown(results, where, plan, loop), results, label)
    return 0


if __name__ == "__main__":
    sys.exit(main())
