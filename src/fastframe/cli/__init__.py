"""``python -m fastframe``: echo server, client, other programs made faster, what is installed."""

from __future__ import annotations

import io
import os
import sys

from .arguments import parser
from .failures import Failure, Interrupted, complain

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for those of this process.

    Returns:
        The exit status: 0, 1 if something went wrong, 130 if it was
        interrupted. A program that is run ends as it would by itself.

    Raises:
        SystemExit: with 2 for a command line that makes no sense.
    """
    chosen = parser().parse_args(arguments)
    try:
        if chosen.command == "accelerate":
            program = chosen.run(chosen)
        else:
            _write_any_character()
            return int(chosen.run(chosen))
    except Failure as failure:
        complain(str(failure))
        return failure.status
    except (Interrupted, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough. What is still buffered has
        # nowhere to go, and must not be tried again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    # Its exceptions and its interrupts are its own, none of those above.
    program()
    return 0


def _write_any_character() -> None:
    """A message may have characters that the terminal's encoding has not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
