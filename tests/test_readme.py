"""Every example in the README and in the documentation runs, and prints what it says it prints."""

from __future__ import annotations

import doctest
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import pages

ROOT = Path(__file__).parents[1]
EXAMPLE = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(page: Path) -> list[str]:
    return EXAMPLE.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in pages() if examples(page)], ids=lambda page: page.name)
def test_examples_of_a_page(page: Path) -> None:
    # One page is one session: a later example may use the names of an earlier one.
    text = "\n".join(examples(page))
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner()
    results = runner.run(test, out=report.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(report)


def test_the_readme_has_an_example() -> None:
    assert examples(ROOT / "README.md")


def test_server_and_client_of_the_readme_talk() -> None:
    (program,) = re.findall(
        r"^```python\n(import asyncio\n.*?)^```$",
        (ROOT / "README.md").read_text("utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    finished = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program.replace("8765", str(port))],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("Hello, 世界\n", "")
