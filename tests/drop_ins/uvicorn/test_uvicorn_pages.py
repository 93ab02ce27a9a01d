"""The pages of the documentation whose programs need uvicorn and FastAPI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from snippets import ROOT, commands_of, environment_of, pages, run_page, session, snippets_of
from uvicorn.main import main

PAGES = [page for page in pages() if environment_of(page) == "drop-ins"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_of_a_page(page: Path, tmp_path: Path) -> None:
    with session(tmp_path) as running:
        run_page(page, running)
        assert running.ran > 1
        printed = running.end_server()
    assert "left with 1000" in printed


def test_uvicorn_takes_every_command_line() -> None:
    commands = [
        command[1:]
        for page in pages()
        for snippet in snippets_of(page)
        if snippet.language in ("console", "sh")
        for command in commands_of(snippet)
        if command[0] == "uvicorn"
    ]
    assert commands
    for arguments in commands:
        main.make_context("uvicorn", list(arguments))


def test_options_named_on_the_page_are_uvicorn_s() -> None:
    names = {option for parameter in main.params for option in parameter.opts}
    names |= {option for parameter in main.params for option in parameter.secondary_opts}
    text = (ROOT / "docs" / "uvicorn.md").read_text("utf-8")
    mentioned = set(re.findall(r"`(--[a-z-]+)", text))
    assert len(mentioned) > 8
    assert mentioned <= names, mentioned - names
