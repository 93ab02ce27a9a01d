"""`connect` at a terminal: a pseudo-terminal, whose screen is emulated, with and without line editing."""

from __future__ import annotations

import os
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest
from cli_support import LIMIT, Peer, environment, peer, serving

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import fcntl
import pty
import termios

UP, HOME, CTRL_C, CTRL_D = "\x1b[A", "\x01", "\x03", "\x04"

# The process gets the terminal as its own, so that Ctrl-C reaches it as a signal.
LAUNCH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "fastframe", "connect", *sys.argv[1:]])
"""


class Screen(pyte.Screen):
    """Answers what it is asked, such as where the cursor is."""

    def __init__(self, answer: Callable[[bytes], object]) -> None:
        super().__init__(80, 24)
        self._answer = answer

    def write_process_input(self, data: str) -> None:
        self._answer(data.encode())


class Terminal:
    """A person's view of `connect`: what stands on the screen, and a keyboard.

    It draws and answers in a thread of its own, whatever the test does, as a terminal would.
    """

    def __init__(self, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._before = termios.tcgetattr(slave)
        self._slave = slave
        self.output = b""
        self._screen = Screen(lambda data: os.write(self._master, data))
        self._stream = pyte.ByteStream(self._screen)
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._is_ending = False
        self._thread = threading.Thread(target=self._draw)
        self._thread.start()

    def _draw(self) -> None:
        while True:
            ready, _, _ = select.select([self._master], [], [], 0.05)
            if ready:
                data = os.read(self._master, 65536)
                with self._lock:
                    self.output += data
                    self._stream.feed(data)
            elif self._is_ending:
                return

    def _drawn(self) -> None:
        """Let it draw what has come, and no more."""
        self._is_ending = True
        self._thread.join()

    def type(self, text: str | bytes) -> None:
        os.write(self._master, text.encode() if isinstance(text, str) else text)

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, down to the cursor."""
        with self._lock:
            shown = [line.rstrip() for line in self._screen.display]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def until(self, condition: Callable[[list[str]], object], what: str) -> list[str]:
        """Wait until the screen is as it should be; the lines on it."""
        end = time.monotonic() + LIMIT
        while not condition(self.lines):
            assert time.monotonic() < end, f"never on the screen: {what}, but {self.lines}"
            time.sleep(0.01)
        return self.lines

    def until_line(self, line: str, count: int = 1) -> list[str]:
        return self.until(lambda lines: lines.count(line) >= count, repr(line))

    def until_prompt(self, typed: str = "") -> list[str]:
        wanted = f"> {typed}".rstrip()
        return self.until(lambda lines: lines and lines[-1] == wanted, f"{wanted!r} at the end")

    def exit_status(self) -> int:
        """Wait for the end, and look at what came until then."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            assert time.monotonic() < end, f"does not end: {self.lines}"
            time.sleep(0.01)
        self._drawn()
        return self.process.returncode

    def echoes(self) -> bool:
        """Whether the terminal shows by itself what is typed, wherever the cursor is."""
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def is_as_before(self) -> bool:
        """Whether its modes, such as echoing what is typed, are those that it had."""
        return termios.tcgetattr(self._slave) == self._before

    def close(self) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self._drawn()
        os.close(self._master)
        os.close(self._slave)


@contextmanager
def terminal(*arguments: str, env: dict[str, str] | None = None) -> Iterator[Terminal]:
    opened = Terminal(arguments, env or environment())
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def talking(
    handler: Callable[[Peer, Any], None] = Peer.push, env: dict[str, str] | None = None
) -> Iterator[tuple[Terminal, Peer]]:
    """A terminal that waits for the first line, and the server that it talks with."""
    with peer(handler) as said, terminal(said.uri, env=env) as opened:
        opened.until_prompt()
        yield opened, said


# With line editing.


@pytest.mark.parametrize("library", ["fastframe", "websockets"])
def test_what_is_typed_is_sent_and_the_answer_shown(library: str) -> None:
    with serving() if library == "fastframe" else peer() as server:
        uri = server if isinstance(server, str) else server.uri
        with terminal(uri) as opened:
            first, second, _ = opened.until_prompt()
            assert first.startswith(f"connected to {uri}")
            assert second == "/help lists the commands, Ctrl-D closes"
            opened.type("Hello, 世界\r")
            opened.until_line("< Hello, 世界")
            assert opened.until_prompt()[-3:] == ["> Hello, 世界", "< Hello, 世界", ">"]
            opened.type(CTRL_D)
            assert opened.exit_status() == 0
            assert opened.lines[-1] == "closed: 1000 normal closure"
            assert opened.is_as_before()


def test_frames_are_shown_above_the_line_that_is_typed() -> None:
    with serving("--no-compression") as uri, terminal(uri, "--frames") as opened:
        opened.until_prompt()
        opened.type("Hello\r")
        opened.until_line("< TEXT fin, 5 bytes: 'Hello'")
        opened.type("half a")
        lines = opened.until_prompt("half a")
        # The answer is a message and a frame, in whichever order.
        assert lines[-5:-3] == ["> Hello", "> TEXT fin, 5 bytes: 'Hello'"]
        assert sorted(lines[-3:-1]) == ["< Hello", "< TEXT fin, 5 bytes: 'Hello'"]


def test_a_line_can_be_called_back_and_edited() -> None:
    with talking(Peer.listen) as (opened, said):
        opened.type("first\r")
        assert said.hears() == "first"
        opened.until(lambda lines: lines[-2:] == ["> first", ">"], "the next prompt")
        opened.type("second\r")
        assert said.hears() == "second"
        opened.until(lambda lines: lines[-2:] == ["> second", ">"], "the next prompt")
        opened.type(UP + UP)
        opened.until_prompt("first")
        opened.type(HOME + "the very ")
        opened.until_prompt("the very first")
        opened.type("\r")
        assert said.hears() == "the very first"


def test_messages_that_come_leave_the_line_that_is_typed_alone() -> None:
    with talking() as (opened, said):
        opened.type("half a ")
        opened.until_prompt("half a")
        for number in range(8):
            said.to_say.put(f"interruption {number}")
            opened.until_line(f"< interruption {number}")
            opened.until_prompt("half a")
        opened.type("sentence\r")
        assert said.hears() == "half a sentence"
        opened.until_prompt()
        shown = [f"< interruption {number}" for number in range(8)]
        assert opened.lines[2:] == [*shown, "> half a sentence", ">"]


def test_typing_and_messages_do_not_mix() -> None:
    sentence = "the quick brown fox jumps over the lazy dog"
    with talking() as (opened, said):
        for number, character in enumerate(sentence):
            said.to_say.put(f"before {number}")
            said.to_say.put(f"and {number}")
            opened.type(character)
        opened.until_line(f"< and {len(sentence) - 1}")
        *shown, _ = opened.until_prompt(sentence)
        assert [line for line in shown if not re.fullmatch(r"< (before|and) \d+", line)] == []
        opened.type("\r")
        assert said.hears() == sentence


def test_many_messages_at_once_are_all_shown_in_order() -> None:
    with talking() as (opened, said):
        opened.type("typing")
        for number in range(500):
            said.to_say.put(f"number {number}")
        opened.until_line("< number 499")
        opened.until_prompt("typing")
        numbers = [int(line.rpartition(" ")[2]) for line in opened.lines[:-1]]
        assert numbers == list(range(500 - len(numbers), 500))


def test_the_terminal_echoes_nothing_while_messages_are_shown() -> None:
    with talking() as (opened, said):
        for number in range(300):
            said.to_say.put(f"number {number}")
        while "< number 299" not in opened.lines:
            # The screen is drawn in a thread: it shall not wait for every look.
            assert not any(opened.echoes() for _ in range(200))


def test_what_is_typed_between_two_prompts_is_kept_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = Path("pipe")
    os.mkfifo(pipe)
    with talking(Peer.echo) as (opened, said):
        opened.type("/file pipe\r")
        # Once it can be opened, it is being read at the other end.
        with pipe.open("wb") as writing:
            opened.type("half a")
            writing.write(b"Hello")
        assert said.hears() == b"Hello"
        opened.until_line("< 5 bytes")
        *before, _ = opened.until_prompt("half a")
        assert before[2] == "> /file pipe"
        assert [line for line in before if "half" in line] == []
        opened.type(" sentence\r")
        assert said.hears() == "half a sentence"


def test_the_last_messages_before_the_end_are_shown() -> None:
    def say_and_go(said: Peer, connection: Any) -> None:
        said.to_say.get(timeout=LIMIT)
        for number in range(3):
            connection.send(f"number {number}")

    with talking(say_and_go) as (opened, said):
        opened.type("never sent")
        opened.until_prompt("never sent")
        said.to_say.put("now")
        assert opened.exit_status() == 0
        assert opened.lines[2:] == [
            *(f"< number {number}" for number in range(3)),
            "> never sent",
            "closed by the server: 1000 normal closure",
        ]


def test_a_message_cannot_steer_the_terminal() -> None:
    hostile = "\x1b[2J\x1b[H\x1b]0;title\x07\r\x9b2Jevil\n> forged\nclosed: 1000"
    with talking() as (opened, said):
        said.to_say.put(hostile)
        said.to_say.put(b"\x1b[2J\x00")
        opened.until_line("< 5 bytes")
        lines = opened.until_prompt()
        assert lines[0].startswith("connected to")
        assert lines[2:] == [
            r"< \x1b[2J\x1b[H\x1b]0;title\x07\r\x9b2Jevil",
            "  > forged",
            "  closed: 1000",
            "< 5 bytes",
            f"  0000  {'1b 5b 32 4a 00':48} .[2J.",
            ">",
        ]
        for sequence in (b"\x1b]0;", b"\x07", b"\xc2\x9b"):
            assert sequence not in opened.output


def test_commands_do_what_the_help_says(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\x00\xff")
    with talking(Peer.listen) as (opened, said):
        for line, heard in {
            "/text /ping": "/ping",
            "/binary 48 65": b"He",
            "/binary base64 SGVsbG8=": b"Hello",
            f"/file {file}": b"\x00\xff",
        }.items():
            opened.type(f"{line}\r")
            assert said.hears() == heard
        opened.type("/help\r")
        opened.until(lambda lines: any(line.startswith("/close [CODE") for line in lines), "the help")
        opened.type("/ping\r")
        opened.until(
            lambda lines: any(re.fullmatch(r"pong after \d+\.\d\d ms", line) for line in lines), "pong"
        )
        opened.until_prompt()
        opened.type("/close 4001 had enough\r")
        assert said.hears() == (4001, "had enough")
        assert opened.exit_status() == 0
        assert opened.lines[-1].startswith("closed: 4001")


def test_a_mistake_is_explained_and_forgiven() -> None:
    with talking(Peer.listen) as (opened, said):
        opened.type("/fly\r")
        opened.until_line("there is no command /fly: see /help, or send the line with /text /fly")
        opened.type("/file /no/such/file\r")
        opened.until_line("cannot read /no/such/file: no such file or directory")
        opened.type(b"a\xffb\r")
        opened.until_line("the line is not UTF-8")
        opened.type("\r")  # sends nothing
        opened.type("Hello\r")
        assert said.hears() == "Hello"
        opened.until_prompt()
        opened.type(CTRL_D)
        assert opened.exit_status() == 0
        assert opened.lines[-1] == "closed: 1000 normal closure"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["ctrl-c", "ctrl-d"])
def test_a_key_closes_quietly(key: str) -> None:
    with talking(Peer.listen) as (opened, said):
        opened.type(key)
        assert said.hears() == (1000, "")
        assert opened.exit_status() == 0
        assert opened.lines[-1] == "closed: 1000 normal closure"
        assert len(opened.lines) == 4  # connected, /help, the prompt, closed
        assert opened.is_as_before()


def test_a_signal_closes_quietly() -> None:
    with talking(Peer.listen) as (opened, said):
        opened.process.send_signal(signal.SIGINT)
        assert said.hears() == (1000, "")
        assert opened.exit_status() == 0
        assert len(opened.lines) == 4
        assert opened.is_as_before()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_to_end_leaves_the_terminal_as_it_was(number: signal.Signals, status: int) -> None:
    with talking(Peer.listen) as (opened, said):
        opened.type("never sent")
        opened.until_prompt("never sent")
        opened.process.send_signal(number)
        assert said.hears() == (1001, "")
        assert opened.exit_status() == status
        assert opened.is_as_before()


def test_the_server_s_close_ends_the_line_that_is_typed() -> None:
    def close_when_told(said: Peer, connection: Any) -> None:
        said.to_say.get(timeout=LIMIT)
        connection.close(1011, "out of \x1b[31mink")

    with talking(close_when_told) as (opened, said):
        opened.type("never sent")
        opened.until_prompt("never sent")
        said.to_say.put("now")
        assert opened.exit_status() == 1
        assert opened.lines[-2:] == [
            "> never sent",
            r"closed by the server: 1011 internal error, out of \x1b[31mink",
        ]
        assert opened.is_as_before()


COLOUR = re.compile(rb"\x1b\[(?:0;)?3\dm")


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_where_it_is_welcome(no_color: str, coloured: bool, extra: bool, tmp_path: Path) -> None:
    without = [] if extra else ["prompt_toolkit"]
    env = environment(*without, folder=tmp_path, NO_COLOR=no_color)
    with peer() as said, terminal(said.uri, env=env) as opened:
        opened.until(lambda lines: len(lines) >= 2, "the introduction")
        opened.type("Hello\r")
        opened.until_line("< Hello")
        assert bool(COLOUR.search(opened.output)) is coloured


def test_a_dumb_terminal_gets_nothing_but_text() -> None:
    with peer() as said, terminal(said.uri, env=environment() | {"TERM": "dumb"}) as opened:
        opened.until(lambda lines: len(lines) >= 2, "the introduction")
        opened.type("Hello\n")
        opened.until_line("< Hello")
        assert b"\x1b" not in opened.output


def test_raw_output_is_refused_at_a_terminal() -> None:
    with terminal("ws://localhost:1/", "--raw") as opened:
        assert opened.exit_status() == 2
        assert "--raw is for pipes and files" in "".join(opened.lines)


# Without it.


@contextmanager
def talking_plainly(folder: Path, handler: Callable[[Peer, Any], None]) -> Iterator[tuple[Terminal, Peer]]:
    env = environment("prompt_toolkit", folder=folder)
    with peer(handler) as said, terminal(said.uri, env=env) as opened:
        hint = "/help lists the commands, Ctrl-D closes; for line editing and history: pip install"
        opened.until(lambda lines: hint[:80] in lines, "the hint")
        yield opened, said


def test_without_the_extra_lines_are_sent_and_messages_shown(tmp_path: Path) -> None:
    with talking_plainly(tmp_path, Peer.echo) as (opened, said):
        opened.type("Hello, 世界\n")
        assert said.hears() == "Hello, 世界"
        opened.until_line("< Hello, 世界")
        opened.type("/fly\n")
        opened.until_line("there is no command /fly: see /help, or send the line with /text /fly")
        opened.type("/binary 1b 5b\n")
        assert said.hears() == b"\x1b["
        opened.until_line("< 2 bytes")
        opened.type(CTRL_D)
        assert said.hears() == (1000, "")
        assert opened.exit_status() == 0
        assert opened.lines[-1] == "closed: 1000 normal closure"


def test_without_the_extra_ctrl_c_is_quiet_too(tmp_path: Path) -> None:
    with talking_plainly(tmp_path, Peer.listen) as (opened, said):
        before = len(opened.lines)
        opened.type(CTRL_C)
        assert said.hears() == (1001, "")
        assert opened.exit_status() == 130
        assert opened.lines[before:] in ([], ["^C"])
