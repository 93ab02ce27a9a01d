"""The command line as a whole: what it makes of its words, `info`, and how it fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import IO

import pytest
from cli_support import FASTFRAME, LIMIT, command, complaint, environment

import fastframe
from fastframe import cli
from fastframe.cli import info
from fastframe.cli.arguments import parser
from fastframe.cli.info import EXTRAS
from fastframe.deflate import DEFLATE_BACKEND

COMMANDS = ("serve", "connect", "accelerate", "install-check", "info", "demo", "bench", "tour")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["info", "--all"],
        ["info", "--js"],
        ["serve", "--port", "65536"],
        ["serve", "--port", "x"],
        ["serve", "--max-size", "-1"],
        ["serve", "--tls-key", "key.pem"],
        ["serve", "--subprotocol", "two words"],
        ["connect"],
        ["connect", "localhost:8765"],
        ["connect", "http://localhost:8765/"],
        ["connect", "ws://localhost/#fragment"],
        ["connect", "ws://localhost/", "--header", "no colon"],
        ["connect", "ws://localhost/", "--header", "two words: x"],
        ["connect", "ws://localhost/", "--header", "X: a\nb"],
        ["connect", "ws://localhost/", "--wait", "soon"],
        ["connect", "ws://localhost/", "--wait", "nan"],
        ["connect", "ws://localhost/", "--timeout", "0"],
        ["connect", "ws://localhost/", "--insecure"],
        ["connect", "ws://localhost/", "--proxy", "http://localhost", "--no-proxy"],
        ["accelerate"],
        ["accelerate", "--"],
        ["accelerate", "-m"],
        ["accelerate", "--strictly", "app.py"],
        ["accelerate", "--library", "requests", "app.py"],
        ["accelerate", "--library", "websockets=", "app.py"],
        ["accelerate", "--library", "websockets=mask", "app.py"],
        ["accelerate", "--library", "websockets=deepest", "app.py"],
        ["demo", "--seconds", "0"],
        ["demo", "--host", "0.0.0.0"],
        ["demo", "--origin", "example.com"],
        ["demo", "--origin", "none"],
        ["demo", "--origin", "app://example.com"],
        ["serve", "--origin", "https://example.com/"],
        ["serve", "--origin", "https://example.com:443"],
        ["serve", "--origin", "https://user@example.com"],
        ["serve", "--origin", "foo"],
        ["serve", "--unix", ""],
        ["serve", "--tls-cert", ""],
        ["connect", "ws://localhost:1/", "--unix", ""],
        ["connect", "ws://localhost:1/", "--proxy", ""],
        ["install-check", "requests"],
        ["install-check", "websockets=frame"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_gets_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("python -m fastframe")
    assert "--help" in line


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["connect", "ws://localhost:1/", "--header", "Upgrade: x"],
        ["connect", "ws://localhost:1/", "--subprotocol", "two words"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_the_process_with_2(arguments: list[str]) -> None:
    assert "--help" in complaint(command(*arguments), 2)


WRITING = [["info"], ["info", "--json"], ["install-check"], ["--help"], ["connect", "--help"], ["--version"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not run: no device here is always full")
@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_a_full_disk_is_told_in_one_line(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        ran = writing_to(full, arguments)
    assert (ran.returncode, ran.stderr.decode().splitlines()) == (1, ["fastframe: no space left on device"])


@pytest.mark.skipif(sys.platform == "win32", reason="not run: there it is no BrokenPipeError")
@pytest.mark.parametrize("arguments", WRITING, ids=" ".join)
def test_output_that_nobody_reads_is_given_up(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as pipe:
        ran = writing_to(pipe, arguments)
    assert (ran.returncode, ran.stderr) == (1, b"")


def writing_to(output: IO[bytes], arguments: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*FASTFRAME, *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=LIMIT,
        check=False,
        env=environment(),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="not run: there is no shell that closes descriptors")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("arguments", [["info"], ["connect", "ws://localhost:1/"]], ids=" ".join)
def test_closed_streams_are_no_mistake(arguments: list[str], closed: str) -> None:
    line = f"{shlex.join([*FASTFRAME, *arguments])} {closed}"
    ran = subprocess.run(line, shell=True, capture_output=True, timeout=LIMIT, check=False, env=environment())
    failed = arguments[0] == "connect"
    assert ran.returncode == int(failed)
    assert len(ran.stderr.splitlines()) == (failed and "2>" not in closed)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_explains_by_examples(name: str) -> None:
    finished = command(*([name] if name else []), "--help")
    assert (finished.returncode, finished.stderr) == (0, b"")
    text = finished.stdout.decode()
    assert "\x1b" not in text
    _, _, examples = text.partition("examples:\n")
    assert examples.count(f"python -m fastframe {name}".rstrip()) >= 2
    if not name:
        assert all(re.search(rf"^ +{each}(  |$)", text, re.MULTILINE) for each in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_the_help_are_understood(name: str) -> None:
    text = command(name, "--help").stdout.decode().partition("examples:\n")[2]
    for line in re.findall(r"^ *python -m fastframe (\S.*)$", text, re.MULTILINE):
        ours, *_ = re.split(r" [|<]", line)  # the shell's business begins there
        assert parser().parse_args(shlex.split(ours)).command in COMMANDS


def test_version_is_the_package_s() -> None:
    finished = command("--version")
    assert (finished.returncode, finished.stdout.decode().strip()) == (
        0,
        f"fastframe {fastframe.__version__}",
    )


def test_info_prints_what_build_info_says() -> None:
    finished = command("info")
    assert (finished.returncode, finished.stderr) == (0, b"")
    printed = dict(line.split(maxsplit=1) for line in finished.stdout.decode().splitlines())
    for name, value in fastframe.build_info().items():
        assert printed[name] == (", ".join(value) if isinstance(value, tuple) else value)
    assert printed["deflate"] == DEFLATE_BACKEND
    assert "asyncio" in printed["loops"]


def test_info_is_json_if_asked() -> None:
    told = json.loads(command("info", "--json").stdout)
    assert told["backend"] == fastframe.BACKEND
    assert told["deflate"] == DEFLATE_BACKEND
    assert set(told["extras"]) == set(EXTRAS)
    for name in fastframe.build_info():
        assert name in told


def test_info_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing_found(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(info, "version", nothing_found)
    assert cli.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "loops    asyncio" in lines
    assert "extra    deflate: isal not installed, zlib-ng not installed" in lines
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["extras"]["uvloop"] == {"uvloop": None}


def test_info_names_the_extras_that_the_package_has() -> None:
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
    optional = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    for extra, distributions in EXTRAS.items():
        found = re.search(rf"^{extra} = \[(.*?)\]$", optional, re.MULTILINE | re.DOTALL)
        assert found, extra
        assert set(re.findall(r'"([A-Za-z-]+)[\[>=]', found[1])) == set(distributions)
