"""Where lines come from and messages go to: a terminal with line editing, or plain input and output."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from .commands import NAMES
from .failures import Failure, describe
from .showing import Style, as_block, as_line, as_they_came

__all__ = ["Console", "PlainConsole", "PromptConsole", "open_console"]

_LINES_AHEAD = 64
"""Lines that are read before they are asked for, at most."""

_READ_SIZE = 65536


class Console(Protocol):
    """What a conversation needs of the terminal, or of the pipes."""

    interactive: bool
    """Whether a person types: mistakes are forgiven then."""
    hint: str
    """What to tell that person first."""

    async def read(self) -> str | None:
        """Wait for the next line, without its end.

        Returns:
            The line, or None at the end.

        Raises:
            ValueError: the line is no text.
            Failure: the input cannot be read.
        """

    async def show(self, messages: list[str | bytes]) -> None:
        """Show messages of the server."""

    async def note(self, text: str, kind: str = "note") -> None:
        """Show words of our own: of the kind "note" or "wrong"; they hold nothing that steers a terminal."""


@contextmanager
def open_console(*, raw: bool) -> Iterator[Console]:
    """Take what suits standard input and output; entered in the event loop.

    Args:
        raw: print messages as they come.

    Yields:
        The console; the terminal is left as it was found.
    """
    at_a_terminal = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if not at_a_terminal or os.environ.get("TERM") == "dumb":
        yield PlainConsole(raw=raw)
        return
    try:
        console = PromptConsole()
    except ImportError:
        yield PlainConsole(hint="; for line editing and history: pip install 'fastframe[cli]'")
        return
    with _silent_terminal():
        yield console


@contextmanager
def _silent_terminal() -> Iterator[None]:
    """No echo and no line editing of the terminal's own: keys between two prompts are for the next one.

    Else what is typed meanwhile, and the terminal's answers, would stand among the messages.
    """
    if sys.platform == "win32":  # a console shows nothing there unless somebody reads a line
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSANOW, before)


class PlainConsole:
    """Lines of standard input; messages to standard output, notes to standard error."""

    def __init__(self, *, raw: bool = False, hint: str = "") -> None:
        self.interactive = sys.stdin is not None and sys.stdin.isatty()
        self.hint = hint
        self._raw = raw
        for stream in (sys.stdin, sys.stdout):
            # Others who have the same file may have changed that: one would seem to end, one lose output.
            if sys.platform != "win32" and stream is not None:
                os.set_blocking(stream.fileno(), True)
        self._lines = None if sys.stdin is None else _LinesOfInput(sys.stdin.fileno())
        # What a terminal sends is in its own encoding; text on the wire is UTF-8 (RFC 6455 section 5.6).
        self._encoding = sys.stdin.encoding if self.interactive else "utf-8"
        self._line_number = 0
        self._style = Style(sys.stdout)
        self._note_style = Style(sys.stderr)

    async def read(self) -> str | None:
        """See `Console`."""
        line = None if self._lines is None else await self._lines.next()
        if line is None:
            return None
        self._line_number += 1
        try:
            return line.removesuffix(b"\r").decode(self._encoding)
        except UnicodeDecodeError:
            raise ValueError(
                f"line {self._line_number} of the input is not {self._encoding.upper()}"
            ) from None

    async def show(self, messages: list[str | bytes]) -> None:
        """See `Console`."""
        if self._raw:
            sys.stdout.buffer.write(as_they_came(messages))
        elif sys.stdout.isatty():
            sys.stdout.write("".join(as_block(message, self._style) + "\n" for message in messages))
        else:
            sys.stdout.write("".join(as_line(message) + "\n" for message in messages))
        sys.stdout.flush()

    async def note(self, text: str, kind: str = "note") -> None:
        """See `Console`."""
        print(self._note_style.paint(kind, text), file=sys.stderr, flush=True)


class PromptConsole:
    """A terminal with line editing and history; what comes is shown above the line that is being typed."""

    interactive = True
    hint = ""

    def __init__(self) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.input import create_input

        keys = create_input()
        # While something is shown above the prompt, the library lets the terminal echo, for the sake
        # of functions that read a line; ours only print, and an echo would be in the way.
        keys.cooked_mode = nullcontext  # type: ignore[method-assign]
        completer = WordCompleter([*NAMES], sentence=True)
        self._session: PromptSession[str] = PromptSession(
            completer=completer, complete_while_typing=False, input=keys
        )
        self._style = Style(sys.stdout)

    async def read(self) -> str | None:
        """See `Console`; Ctrl-D and Ctrl-C are the end."""
        try:
            line = await self._session.prompt_async("> ")
        except (EOFError, KeyboardInterrupt):
            return None
        try:
            line.encode()
        except UnicodeEncodeError:
            raise ValueError("the line is not UTF-8") from None
        return line

    async def show(self, messages: list[str | bytes]) -> None:
        """See `Console`."""
        await self._print("\n".join(as_block(message, self._style) for message in messages))

    async def note(self, text: str, kind: str = "note") -> None:
        """See `Console`."""
        await self._print(self._style.paint(kind, text))

    async def _print(self, text: str) -> None:
        from prompt_toolkit.application import run_in_terminal
        from prompt_toolkit.formatted_text import ANSI

        await run_in_terminal(lambda: self._session.app.print_text(ANSI(text + "\n")))


class _LinesOfInput:
    """Lines of a file, read in a thread: not every system can wait for every kind of file in the loop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | OSError | None] = asyncio.Queue()
        self._room = threading.Semaphore(_LINES_AHEAD)
        self._thread: threading.Thread | None = None

    async def next(self) -> bytes | None:
        """Wait for a line; None at the end."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        line = await self._queue.get()
        self._room.release()
        if isinstance(line, OSError):
            raise Failure(f"cannot read the input: {describe(line)}")
        return line

    def _read(self) -> None:
        try:
            for line in self._split():
                self._room.acquire()
                self._loop.call_soon_threadsafe(self._queue.put_nowait, line)
            self._loop.call_soon_threadsafe(self._queue.put_nowait, None)
        except OSError as error:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, error)
        except RuntimeError:
            pass  # the loop is closed: nobody reads on

    def _split(self) -> Iterator[bytes]:
        # Not sys.stdin: at the end of the process, a thread that still waits
        # in it would hold the lock that Python needs to close it.
        with open(self._descriptor, "rb", buffering=0, closefd=False) as source:
            parts: list[bytes] = []
            while chunk := source.read(_READ_SIZE):
                first, *more = chunk.split(b"\n")
                parts.append(first)
                for line in more:
                    yield b"".join(parts)
                    parts = [line]
            if rest := b"".join(parts):
                yield rest
