"""``python -m fastframe``: echo server, client, other programs made faster, what is installed."""

from __future__ import annotations

import io
import os
import sys

from .arguments import parser
from .failures import Failure, Interrupted, complain, describe

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for those of this process.

    Returns:
        The exit status: 0, 1 if something went wrong, 128 and the number of
        the signal that ended it. A program that is run ends as it would by itself.

    Raises:
        SystemExit: with 2 for a command line that makes no sense.
    """
    try:
        try:
            chosen = parser().parse_args(arguments)
            if chosen.command == "accelerate":
                program = chosen.run(chosen)
            else:
                _prepare_output()
                return int(chosen.run(chosen))
        finally:
            # What cannot be written would be found out when Python exits, in words of its own.
            if sys.stdout is not None:
                sys.stdout.flush()
    except Failure as failure:
        complain(str(failure))
        return failure.status
    except Interrupted as interrupted:
        return interrupted.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough.
        _give_up_output()
        return 1
    except OSError as error:
        complain(describe(error))
        _give_up_output()
        return 1
    # Its exceptions and its interrupts are its own, none of those above.
    program()
    return 0


def _give_up_output() -> None:
    """What is still buffered has nowhere to go, and must not be tried again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _prepare_output() -> None:
    # Where they are closed, Python has none, and the next thing that is opened gets their descriptors.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A message may have characters that the terminal's encoding has not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
