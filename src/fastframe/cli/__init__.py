"""``python -m fastframe``: an echo server, a client to talk with, what is installed, a demonstration."""

from __future__ import annotations

import io
import os
import sys

from .arguments import parser
from .failures import Failure, complain
from .running import Interrupted

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for those of this process.

    Returns:
        The exit status: 0, 1 if something went wrong, 130 if it was interrupted.

    Raises:
        SystemExit: with 2 for a command line that makes no sense.
    """
    chosen = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        # A message may have characters that the terminal's encoding has not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = chosen.run(chosen)
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
    return status
