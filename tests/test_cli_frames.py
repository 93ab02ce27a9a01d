"""`connect --frames`: a line for each frame that passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_support import FASTFRAME, LIMIT, command, environment, line_with, output, running, serving

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets and such pipes are not Windows'")


def test_frames_are_shown_both_ways() -> None:
    with serving() as uri:
        words = ("--frames", "--no-compression", "--header", "Cookie: open-sesame", "--commands")
        finished = command(
            "connect", uri, *words, given="grün \x1b[2J\n/binary ff\n/close 4000 bye\n".encode()
        )
    assert finished.returncode == 0
    assert b"open-sesame" not in finished.stderr and b"\x1b" not in finished.stderr
    lines = finished.stderr.decode().splitlines()
    assert lines[0] == "> GET / HTTP/1.1"
    assert (
        lines.index("> Cookie: (not shown)")
        < lines.index("< HTTP/1.1 101")
        < lines.index(f"connected to {uri}")
    )
    frames = [line for line in lines if re.match(r"[<>] [A-Z]+ fin, ", line)]
    sent = [line[2:] for line in frames if line[0] == ">"]
    assert sent == [
        r"TEXT fin, 10 bytes: 'grün \x1b[2J'",
        "BINARY fin, 1 byte: ff",
        "CLOSE fin, 5 bytes: 4000 'bye'",
    ]
    received = [line[2:] for line in frames if line[0] == "<"]
    assert received == [*sent[:2], "CLOSE fin, 2 bytes: 4000"]
    assert lines[-1] == "closed: 4000"


def test_frames_are_shown_only_if_asked() -> None:
    with serving() as uri:
        finished = command("connect", uri, "--verbose", given=b"Hello\n")
    assert "TEXT" not in finished.stderr.decode()


@unix_only
def test_frames_are_shown_without_the_path_that_they_took(tmp_path: Path) -> None:
    path = str(tmp_path / "a socket")
    with running("serve", "--unix", path) as server:
        line_with(output(server), "echoing")
        finished = command(
            "connect", "ws://localhost/", "--unix", path, "--frames", "--no-compression", given=b"hi\n"
        )
    lines = finished.stderr.decode().splitlines()
    assert "> TEXT fin, 2 bytes: 'hi'" in lines and "< HTTP/1.1 101" in lines


@unix_only
def test_frames_with_nowhere_to_show_them_end_it() -> None:
    with serving() as uri:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            ended = subprocess.run(
                [*FASTFRAME, "connect", uri, "--frames"],
                input=b"Hello\n",
                stdout=subprocess.DEVNULL,
                stderr=writing,
                timeout=LIMIT,
                check=False,
                env=environment(),
            )
        finally:
            os.close(writing)
    assert ended.returncode != 0
