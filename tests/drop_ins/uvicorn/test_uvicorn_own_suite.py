"""uvicorn's own tests of its WebSocket protocols, with ours as one of them.

They come from the source distribution of the uvicorn that is installed, which
pip fetches from the package index; they run as they stand. Only the fixture
that lists the protocol classes is told of ours, in the copy.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import version
from pathlib import Path

import pytest
from drop_ins.uvicorn.serving import OURS

SANSIO = "uvicorn.protocols.websockets.websockets_sansio_impl:WebSocketsSansIOProtocol"
HTTP_PROTOCOLS = {"h11", "httptools", "zttp"}

ASKS_FOR_ITS_OWN_CLASS = "asserts that the protocol is an instance of one of uvicorn's classes"
REPLACES_WRITE = "replaces `write` of the client's transport, which uvloop's does not let happen"

EXPECTED_FAILURES = {
    "asyncio": {
        "test_server_keepalive_ping_pong": ASKS_FOR_ITS_OWN_CLASS,
        "test_server_keepalive_disabled": ASKS_FOR_ITS_OWN_CLASS,
    },
    "uvloop": {
        "test_server_keepalive_ping_pong": ASKS_FOR_ITS_OWN_CLASS,
        "test_server_keepalive_disabled": ASKS_FOR_ITS_OWN_CLASS,
        "test_server_keepalive_ping_timeout": REPLACES_WRITE,
    },
}
"""Their subjects are tested in test_uvicorn_closing.py, on both loops."""

LEAST = 60
"""Tests with our class on each HTTP protocol; a file that has lost them must not pass."""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("uvicorn")
    wanted = f"uvicorn=={version('uvicorn')}"
    # Of uvicorn alone: what pip builds it with would be built from source, too.
    command = "download --quiet --no-deps --no-binary uvicorn"
    subprocess.run([sys.executable, "-m", "pip", *command.split(), "--dest", folder, wanted], check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return next(folder.glob("uvicorn-*/"))


def replaced(text: str, old: str, new: str) -> str:
    """`text` with its only `old` replaced."""
    assert text.count(old) == 1, f"{text.count(old)} times {old!r}"
    return text.replace(old, new)


@pytest.fixture(params=sorted(EXPECTED_FAILURES))
def suite(request: pytest.FixtureRequest, sources: Path, tmp_path: Path) -> tuple[str, Path]:
    """The event loop, and a copy of the tests, away from uvicorn's sources, that knows our class."""
    shutil.copytree(sources / "tests", tmp_path / "tests")
    shutil.copy(sources / "pyproject.toml", tmp_path)
    conftest = tmp_path / "tests" / "conftest.py"
    last = f'"{SANSIO}", id="websockets-sansio"\n        ),\n'
    ours = f'        pytest.param("{OURS}", id="fastframe"),\n'
    text = replaced(conftest.read_text(), last, last + ours)
    if request.param == "uvloop":
        text = replaced(text, 'return "asyncio"\n', 'return "asyncio", {"use_uvloop": True}\n')
    conftest.write_text(text)
    return request.param, tmp_path


def test_uvicorns_own_suite_passes_with_our_class(suite: tuple[str, Path]) -> None:
    loop, folder = suite
    report = folder / "report.xml"
    command = "-m pytest -q -o addopts= -p no:asyncio -p no:cacheprovider -k fastframe"
    finished = subprocess.run(
        [sys.executable, *command.split(), f"--junitxml={report}", "tests/protocols/test_websocket.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert report.exists(), finished.stdout
    outcomes: dict[str, set[str]] = {"passed": set(), "failure": set(), "error": set(), "skipped": set()}
    for case in ElementTree.parse(report).iter("testcase"):
        [outcome] = {"passed"} if not len(case) else {child.tag for child in case if child.tag in outcomes}
        outcomes[outcome].add(case.attrib["name"])
    expected = {f"{name}[fastframe-{http}]" for name in EXPECTED_FAILURES[loop] for http in HTTP_PROTOCOLS}
    assert outcomes["failure"] == expected, finished.stdout
    assert not outcomes["error"] | outcomes["skipped"], finished.stdout
    assert len(outcomes["passed"]) >= LEAST * len(HTTP_PROTOCOLS)
