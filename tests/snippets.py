"""The fenced blocks of the documentation, and how each is run.

What stands in a comment on the line before a block says more of it:

- ``<!-- serves: NAME -->``: the program is saved as NAME and goes on running below the blocks that follow;
- ``<!-- file: NAME -->``: the text is saved as NAME, for the blocks that follow or for a test of that page;
- ``<!-- shown: TEST -->``: what a command or a peer prints, compared by the test function of that name.

``<!-- snippets: drop-ins -->`` anywhere on a page: its blocks run in `make drop-ins`.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PORT = "8765"
SECONDS = 30.0

_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>serves|file|shown): (?P<name>\S+) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    text: str
    mark: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """All that is written for readers, in the order of their names."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    found += sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts)
    return found + sorted((ROOT / "examples").glob("**/README.md"))


def snippets_of(page: Path) -> list[Snippet]:
    source = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(source):
        indent = len(match["indent"])
        text = "".join(line[indent:] for line in match["text"].splitlines(keepends=True))
        line = source.count("\n", 0, match.start("language")) + 1
        found.append(Snippet(page, line, match["language"], text, match["mark"], match["name"] or ""))
    return found


def environment_of(page: Path) -> str:
    """Where the page's programs run: "suite", or another one that it names."""
    named = re.search(r"^<!-- snippets: (\S+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return named[1] if named else "suite"


def commands_of(snippet: Snippet) -> list[list[str]]:
    """The command lines of a block: those behind a `$` in a console, all of them in a script."""
    lines = snippet.text.replace("\\\n", " ").splitlines()
    if snippet.language == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    # Each part of a pipeline or a list is a command.
    parts = [part for line in lines for part in re.split(r" \| | && ", line)]
    words = [shlex.split(part, comments=True) for part in parts]
    return [[word for word in command if not word.startswith("</")] for command in words if command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Session:
    """The programs of one page: files are kept for later blocks, a server runs until the next one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.ran = 0
        self._server: subprocess.Popen[str] | None = None

    def program(self, text: str, name: str) -> Path:
        path = self.folder / name
        path.write_text(text.replace(PORT, str(self.port)), encoding="utf-8")
        return path

    def run(self, text: str, name: str) -> str:
        """Run a program to its end, and return what it printed."""
        path = self.program(text, name)
        finished = subprocess.run(
            [sys.executable, "-X", "utf8", "-W", "error", str(path)],
            capture_output=True,
            encoding="utf-8",
            cwd=self.folder,
            timeout=SECONDS,
            check=False,
        )
        assert (finished.returncode, finished.stderr) == (0, ""), f"{name}:\n{finished.stderr}"
        self.ran += 1
        return finished.stdout

    def serve(self, text: str, name: str, *command: str) -> None:
        """Start a program, and wait until its port answers."""
        self.end_server()
        path = self.program(text, name)
        arguments = [sys.executable, "-X", "utf8", *(command or ("-W", "error", str(path)))]
        self._server = subprocess.Popen(
            arguments, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        deadline = time.monotonic() + SECONDS
        while not self._answers():
            assert self._server.poll() is None, f"{name} ended:\n{self._server.communicate()[0]}"
            assert time.monotonic() < deadline, f"{name} does not listen on port {self.port}"
            time.sleep(0.05)
        self.ran += 1

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end_server(self) -> str:
        """Stop the server, and return what it printed."""
        if self._server is None:
            return ""
        server, self._server = self._server, None
        server.terminate()
        try:
            printed: str = server.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            server.kill()
            raise
        assert "Traceback" not in printed, printed
        return printed


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    running = Session(folder)
    try:
        yield running
    finally:
        running.end_server()


def run_page(page: Path, running: Session) -> None:
    """Run all programs of a page, and compare what they print with the `text` block behind them."""
    blocks = snippets_of(page)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language != "python":
            continue
        name = block.name or f"line{block.line}.py"
        if block.mark == "serves":
            running.serve(block.text, name)
        elif block.mark == "file":
            running.program(block.text, name)
        else:
            if "serve(" in block.text:
                running.end_server()
            printed = running.run(block.text, name)
            shown = following is not None and following.language == "text" and following.mark is None
            expected = following.text if shown and following is not None else ""
            assert settled(printed) == settled(expected), f"{block} printed:\n{printed}"


def settled(output: str) -> str:
    """What a program printed, without what differs each time: ports, keys and what follows from them."""
    output = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:0", output)
    return re.sub(r"(Sec-WebSocket-(?:Key|Accept): )\S+", r"\1...", output)


def required() -> bool:
    """Whether what could be installed has to be there."""
    return os.environ.get("REQUIRE") == "1"
