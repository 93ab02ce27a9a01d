"""Every block of code in the documentation runs, and no block is of a kind that nothing looks at."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import partial
from importlib.metadata import metadata
from pathlib import Path

import pytest
from cli_support import serving
from snippets import (
    ROOT,
    Snippet,
    commands_of,
    environment_of,
    pages,
    run_page,
    session,
    snippets_of,
)

from fastframe import adapters
from fastframe.cli.arguments import parser

SNIPPETS = [snippet for page in pages() for snippet in snippets_of(page)]
PROGRAMS = [
    page
    for page in pages()
    if environment_of(page) == "suite" and any(block.language == "python" for block in snippets_of(page))
]
# What Sphinx itself reads; `make docs` fails if it cannot.
DIRECTIVES = re.compile(r"\{(eval-rst|toctree|include|literalinclude|figure|note|warning)\}")
# Programs that are not ours, of which nothing but the name is checked.
OTHERS = {"cd", "cython", "echo", "export", "gdb", "jq", "sudo"}


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: str(page.relative_to(ROOT)))
def test_programs_of_a_page(page: Path, tmp_path: Path) -> None:
    with session(tmp_path) as running:
        run_page(page, running)
        assert running.ran > 0


@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
def test_a_block_is_of_a_kind_that_is_run(snippet: Snippet) -> None:
    if DIRECTIVES.fullmatch(snippet.language) or snippet.language == "pycon":
        return
    if snippet.mark == "shown":
        assert any(f"def {snippet.name}(" in path.read_text("utf-8") for path in ROOT.glob("tests/test_*.py"))
        return
    if snippet.language == "text":
        before = [block for block in snippets_of(snippet.page) if block.line < snippet.line]
        assert before and before[-1].language == "python", f"{snippet}: nothing prints it"
        return
    if snippet.mark == "file" or snippet.language in ("nginx", "ini", "yaml"):
        assert snippet.name and is_used(snippet)
        return
    assert snippet.language in ("python", "console", "sh"), f"{snippet}: {snippet.language!r} is not run"


def is_used(saved: Snippet) -> bool:
    """Whether a file is named by a later block of its page, or by a test of that page."""
    stem = saved.name.partition(".")[0]
    later = [
        block for block in snippets_of(saved.page) if block.line > saved.line and block.language == "python"
    ]
    if any(re.search(rf"\b{stem}\b", block.text) for block in later):
        return True
    sources = [path.read_text("utf-8") for path in ROOT.glob("tests/test_*_page.py")]
    return any(f'"{saved.name}"' in source and f'"{saved.page.name}"' in source for source in sources)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_code_hides_in_an_indented_block(page: Path) -> None:
    text = re.sub(r"^[ ]*```.*?^[ ]*```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    # Two lines at least: the first line behind a list's item may be indented so.
    assert not re.findall(r"^\n {4}[^ \-*\d].*$", text, re.MULTILINE), "give it a fence and a language"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_fence_is_seen(page: Path) -> None:
    fences = re.findall(r"^[ ]*```", page.read_text("utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(snippets_of(page))


def of_commands() -> list[Snippet]:
    return [snippet for snippet in SNIPPETS if snippet.language in ("console", "sh")]


@pytest.mark.parametrize("snippet", of_commands(), ids=str)
def test_commands_exist(snippet: Snippet) -> None:
    commands = commands_of(snippet)
    assert commands
    for command in commands:
        check_command(snippet, command)


def check_command(snippet: Snippet, command: list[str]) -> None:
    # Variables may stand in front, and a program may be that of another environment.
    while re.fullmatch(r"[A-Z_]+=.*", command[0]):
        command = command[1:]
    program, *arguments = [Path(command[0]).name, *command[1:]]
    if program in ("python", "python3") and arguments[:2] == ["-m", "fastframe"]:
        parser().parse_args(arguments[2:])
    elif program in ("python", "python3") and arguments[:2] == ["-m", "pip"]:
        check_pip(arguments[2:])
    elif program in ("python", "python3") and arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None, arguments
    elif program in ("python", "python3"):
        check_script(snippet, arguments[0])
    elif program == "make":
        check_make(arguments)
    elif program == "pip":
        check_pip(arguments)
    elif program == "uvicorn":
        check_uvicorn(arguments)
    else:
        assert program in OTHERS, f"{snippet}: who checks {program}?"


def check_script(snippet: Snippet, name: str) -> None:
    saved = {block.name for block in snippets_of(snippet.page)}
    folders = [ROOT / command[1] for command in commands_of(snippet) if command[0] == "cd"]
    found = [folder for folder in (*folders, snippet.page.parent, ROOT) if (folder / name).exists()]
    assert name in saved or name == "app.py" or found, f"{snippet}: there is no {name}"


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for argument in arguments:
        if argument.startswith("."):
            continue  # a stamp, which the makefile names by its variables
        name, is_variable, _ = argument.partition("=")
        wanted = rf"\$\({name}\)" if is_variable else rf"^{name}:"
        assert re.search(wanted, makefile, re.MULTILINE), argument


def check_pip(arguments: list[str]) -> None:
    assert arguments[0] == "install"
    extras = set(metadata("fastframe").get_all("Provides-Extra") or ())
    for argument in arguments[1:]:
        ours = re.fullmatch(r"(?:fastframe|\.)\[(.*)\]", argument)
        assert ours is None or set(ours[1].split(",")) <= extras, argument


def check_uvicorn(arguments: list[str]) -> None:
    # uvicorn itself parses them in `make drop-ins`.
    if "--ws" in arguments:
        assert arguments[arguments.index("--ws") + 1] == "fastframe.uvicorn:WebSocketProtocol"


def shown(name: str) -> Snippet:
    (snippet,) = (snippet for snippet in SNIPPETS if snippet.name == name)
    return snippet


def test_examples_that_are_named_exist() -> None:
    named = {
        path
        for page in pages()
        if page.name != "CHANGELOG.md"
        for path in re.findall(r"\bexamples/[\w/.]*\w", page.read_text("utf-8"))
    }
    assert "examples/cimport" in named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_the_conversation_with_a_server() -> None:
    from test_cli_terminal import terminal

    lines = shown("test_the_conversation_with_a_server").text.splitlines()
    assert commands_of(shown("test_the_conversation_with_a_server"))
    with serving("--subprotocol", "chat") as uri, terminal(uri, "--subprotocol", "chat") as opened:
        opened.until_prompt()
        for line in lines:
            if line.startswith("> "):
                opened.until_prompt()
                opened.type(line[2:] + "\r")
                answer = alike(lines[lines.index(line) + 1], uri)
                opened.until(partial(has_come, answer, uri), answer)
        assert opened.exit_status() == 0
        assert [alike(line, uri) for line in opened.lines] == [alike(line, uri) for line in lines[1:]]


def has_come(answer: str, uri: str, seen: list[str]) -> bool:
    return answer in [alike(line, uri) for line in seen]


def alike(line: str, uri: str) -> str:
    """A line without what differs from one run to the next."""
    return re.sub(r"\d+\.\d+ ms", "0 ms", line.replace(uri, "ws://localhost:8765/")).rstrip()


def test_the_list_of_adapters() -> None:
    rows = [line.split(None, 2) for line in shown("test_the_list_of_adapters").text.splitlines()[1:]]
    assert [row[0] for row in rows] == [*sorted(adapters.LIBRARIES), "uvicorn"]
    deepest = {name: adapters.check(name).depth for name in adapters.LIBRARIES}
    compared = 0
    for name, _, verdict in rows:
        if name in deepest and deepest[name] is not None and not verdict.startswith(("not", "left")):
            # What it saves stands behind it.
            assert verdict.partition(" (")[0] == deepest[name], name
            compared += 1
    assert compared >= 2, "websockets and wsproto are installed where the suite runs"


@pytest.mark.parametrize(
    "page", [page for page in pages() if page.parent == ROOT], ids=lambda page: page.name
)
def test_links_lead_to_files(page: Path) -> None:
    # Those of docs/ are checked by Sphinx.
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
