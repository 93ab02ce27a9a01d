"""Typed lines: which are messages, which are commands, and what is wrong with the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fastframe.cli.commands import (
    HELP,
    NAMES,
    Command,
    End,
    Send,
    SendFile,
    SendPing,
    ShowHelp,
    parse_line,
)

LINES: dict[str, Command] = {
    "hello": Send("hello"),
    "": Send(""),
    " /ping": Send(" /ping"),
    "a/b": Send("a/b"),
    "/text": Send(""),
    "/text /ping": Send("/ping"),
    "/text  two spaces ": Send(" two spaces "),
    "/binary 48 65 6c6c 6F": Send(b"Hello"),
    "/binary hex 4865": Send(b"He"),
    "/binary": Send(b""),
    "/binary base64 SGVs bG8=": Send(b"Hello"),
    "/file a b.txt": SendFile(Path("a b.txt"), False),
    "/file text notes": SendFile(Path("notes"), True),
    "/file text": SendFile(Path("text"), False),
    "/file textnotes": SendFile(Path("textnotes"), False),
    "/file ~/notes": SendFile(Path.home() / "notes", False),
    "/ping": SendPing(None),
    "/ping still there?": SendPing(b"still there?"),
    "/ping " + "x" * 125: SendPing(b"x" * 125),
    "/close": End(1000, ""),
    "/close 4001": End(4001, ""),
    "/close 4001 had enough": End(4001, "had enough"),
    "/help": ShowHelp(),
    "/help me": ShowHelp(),
}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:30] or "empty")
def test_a_line_means_what_the_help_says(line: str) -> None:
    assert parse_line(line) == LINES[line]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/fly", "there is no command /fly: see /help, or send the line with /text /fly"),
        ("/", "there is no command /"),
        ("/PING", "there is no command /PING"),
        ("/binary 4", "pairs of hexadecimal digits"),
        ("/binary xyz", "pairs of hexadecimal digits"),
        ("/binary base64 SGVsbG8", "Base64"),
        ("/binary base64 ~~~~", "Base64"),
        ("/file", "/file needs the path"),
        ("/file  ", "/file needs the path"),
        ("/ping " + "x" * 126, "125 bytes at most"),
        ("/close now", "needs a number"),
        ("/close -1", "needs a number"),
        ("/close 1005", "1005"),
        ("/close 99999", "99999"),
        ("/close 1000 " + "x" * 124, "at most 123 fit"),
    ],
)
def test_a_wrong_command_is_explained(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_line(line)


def test_help_names_every_command() -> None:
    assert {line.split()[0] for line in HELP.splitlines() if line.startswith("/")} == set(NAMES)
