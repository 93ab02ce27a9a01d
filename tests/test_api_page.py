"""The API reference is complete: each public name, and what can be called or read of each public class."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
import types
import zlib
from pathlib import Path

import pytest
from snippets import ROOT

import fastframe
from fastframe.handshake import ClientHandshake, ServerHandshake

DOCS = ROOT / "docs"
# Methods by which one file of aio/ calls another; they have docstrings, and are no interface.
AMONG_OURSELVES = {
    "anything",
    "attach",
    "begin",
    "check_answers",
    "close_transport",
    "drained",
    "flush_now",
    "flush_soon",
    "forget",
    "pause_reading",
    "pause_writing",
    "resume_reading",
    "shut_down",
}
CLASSES = [
    *(found for name in fastframe.__all__ if isinstance(found := getattr(fastframe, name), type)),
    ClientHandshake,
    ServerHandshake,
]


def test_the_table_is_up_to_date() -> None:
    # A process of its own: the table comes from the pure half's docstrings.
    code = "from tools.api_page import PAGE, rendered; t = PAGE.read_text('utf-8'); assert rendered(t) == t"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, f"run: python -m tools.api_page\n{finished.stderr}"
    page = (DOCS / "api.md").read_text("utf-8")
    named = set(re.findall(r"^\| (?:\{py:obj\})?`fastframe\.(\w+)` \|", page, re.MULTILINE))
    assert named == set(fastframe.__all__)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """All that the built documentation describes, from its inventory."""
    if importlib.util.find_spec("sphinx") is None:
        pytest.skip("the documentation is built where the extra docs is installed (make test)")
    built = tmp_path_factory.mktemp("docs")
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-b",
            "html",
            "-d",
            str(built / "trees"),
            str(DOCS),
            str(built),
        ],
        env=os.environ | {"FASTFRAME_EXTENSION": "0"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return inventory(built / "objects.inv")


def inventory(path: Path) -> set[str]:
    """The names in an inventory of Sphinx: four lines of a head, then zlib data."""
    packed = path.read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


def test_each_public_name_is_described(documented: set[str]) -> None:
    assert {f"fastframe.{name}" for name in fastframe.__all__} - documented == {"fastframe.__version__"}


def members_of(kind: type) -> list[str]:
    """What is meant for callers: whatever has a docstring that is not another interface's."""
    found = []
    for name in dir(kind):
        if name.startswith("_") or not is_ours(kind, name):
            continue
        words = inspect.getdoc(inspect.getattr_static(kind, name))
        if words and not words.startswith(("See `", "Alias for")):
            found.append(name)
    return found


def is_ours(kind: type, name: str) -> bool:
    """Whether a class of ours has it, and not one of Python's."""
    (owner,) = [base for base in kind.__mro__ if name in vars(base)][:1]
    found = inspect.getattr_static(kind, name)
    is_property = isinstance(found, (property, types.GetSetDescriptorType))
    return owner.__module__.startswith("fastframe") and (is_property or callable(getattr(kind, name)))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_member_is_described(kind: type, documented: set[str]) -> None:
    short = {name.rpartition(".")[2] for name in documented if name.startswith("fastframe.")}
    assert {name for name in members_of(kind) if name not in short} <= AMONG_OURSELVES


def test_there_are_members_to_look_for() -> None:
    assert {"recv", "send", "remote_address", "ready_state"} <= set(members_of(fastframe.WebSocketStream))
    assert {"on_message", "close"} <= set(members_of(fastframe.WebSocket))


def test_links_to_names_lead_somewhere(documented: set[str]) -> None:
    links = {
        link
        for page in DOCS.rglob("*.md")
        for link in re.findall(r"\{py:\w+\}`~?([\w.]+)`", page.read_text("utf-8"))
    }
    assert len(links) > 50
    assert links - documented == set()
