"""``python -m fastframe``: what is installed, and a demonstration of it."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from . import build_info

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m fastframe", description="The WebSocket engine of Python.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    demo = commands.add_parser(
        "demo",
        help="a self-checking tour of the codec, with speeds",
        description="Masks, frames, cuts, decodes and validates, checks every result and prints it, with the"
        " speeds beside a plain copy of the same bytes. Exits with 1 if a check fails.",
    )
    demo.add_argument(
        "--seed", type=int, metavar="N", help="repeat the random part of a run (default: a new seed, printed)"
    )
    commands.add_parser(
        "info",
        help="which half of the codec runs, on what: paste it into a bug report",
        description="Prints the half of the codec in use, its kernels and versions. FASTFRAME_EXTENSION=0"
        " chooses the pure half, FASTFRAME_EXTENSION=1 insists on the compiled one.",
    )
    return parser


def _print_info() -> int:
    for name, value in build_info().items():
        print(f"{name:8} {', '.join(value) if isinstance(value, tuple) else value}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for those of this process.

    Returns:
        The exit status: 0, or 1 if the demonstration found something wrong.

    Raises:
        SystemExit: with 2 for a command line that makes no sense.
    """
    chosen = _parser().parse_args(arguments)
    if chosen.command == "info":
        return _print_info()
    from .tour import run

    return run(chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
