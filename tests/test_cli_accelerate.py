"""``accelerate`` and ``install-check``: a program as Python runs it; drop_ins/adapters has the libraries."""

from __future__ import annotations

import json
import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cli_support import FASTFRAME, LIMIT, command, complaint, environment, line_with, output, running, written

from fastframe import adapters, cli
from fastframe.cli.gains import GAINS

# What a program can tell of how it was started. Nothing but what it says is imported before it.
TELLS = """
import sys
told = {
    "name": __name__,
    "is main": sys.modules["__main__"].__dict__ is globals(),
    "arguments": sys.argv[1:],
    "path": sys.path,
    "modules": [m for m in ("asyncio", "ssl", "websockets", "wsproto", "tornado") if m in sys.modules],
}
import json, os
told["file"] = os.path.abspath(__file__)
told["argv[0]"] = sys.argv[0]
told["cached"] = __cached__ and os.path.basename(__cached__)
told["loader"] = type(__loader__).__name__
told["doc"] = __doc__
told["package"] = __package__ or None
told["spec"] = __spec__ and __spec__.name
told["encoding"] = sys.stdout.errors
print(json.dumps(told))
"""


def told(folder: Path, *words: str, accelerated: bool) -> dict[str, object]:
    """What a program says, and nothing else may be said."""
    start = [*FASTFRAME, "accelerate"] if accelerated else [sys.executable]
    ran = subprocess.run(
        [*start, *words], capture_output=True, timeout=LIMIT, check=True, cwd=folder, env=environment()
    )
    assert ran.stderr == b""
    said: dict[str, object] = json.loads(ran.stdout)
    return said


ARGUMENTS = ["--library", "x", "-m", "--", "-h", "a b", ""]


@pytest.mark.parametrize(
    "kind", ["file", "link", "bytecode", "module", "package", "module in a package", "folder", "archive"]
)
def test_program_runs_as_python_runs_it(tmp_path: Path, kind: str) -> None:
    app = written(tmp_path / "inside", TELLS)
    written(tmp_path / "folder", TELLS, "__main__.py")
    written(tmp_path / "package", TELLS, "__main__.py")
    written(tmp_path / "package", TELLS, "module.py")
    written(tmp_path, TELLS, "tells.py")
    (tmp_path / "link").symlink_to(app)
    py_compile.compile(app, str(tmp_path / "bytecode.pyc"))
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("__main__.py", TELLS)
    words = {
        "file": ["inside/app.py"],
        "bytecode": ["bytecode.pyc"],
        "module": ["-m", "tells"],
        "package": ["-m", "package"],
        "module in a package": ["-m", "package.module"],
    }.get(kind, [kind])
    by_python = told(tmp_path, *words, *ARGUMENTS, accelerated=False)
    assert by_python["arguments"] == ARGUMENTS
    assert told(tmp_path, *words, *ARGUMENTS, accelerated=True) == by_python


# What goes on when the file has been run to its end.
GOES_ON = """
import atexit, json, pickle, sys, threading

class Message:
    pass

def tell(who, wait=lambda: None):
    wait()
    is_main = sys.modules["__main__"].__dict__ is globals()
    print(who, json.dumps(sys.argv), is_main, len(pickle.dumps(Message())) > 0)

atexit.register(tell, "at the end")
threading.Thread(target=tell, args=("in a thread", threading.main_thread().join)).start()
"""


@pytest.mark.parametrize("kind", ["file", "module", "folder"])
def test_main_is_still_there_when_its_code_has_run(tmp_path: Path, kind: str) -> None:
    written(tmp_path, GOES_ON, "goes_on.py")
    written(tmp_path / "folder", GOES_ON, "__main__.py")
    words = {"file": ["goes_on.py"], "module": ["-m", "goes_on"]}.get(kind, [kind])
    by_python, ours = (
        subprocess.run(
            [*start, *words], capture_output=True, timeout=LIMIT, check=True, cwd=tmp_path, env=environment()
        )
        for start in ([sys.executable], [*FASTFRAME, "accelerate"])
    )
    assert by_python.stdout.count(b"True True") == 2
    assert (ours.stdout, ours.stderr) == (by_python.stdout, by_python.stderr)


@pytest.mark.skipif(not hasattr(sys.flags, "safe_path"), reason="Python 3.10 has no option -P")
def test_folder_of_the_program_is_not_searched_where_python_was_told_so(tmp_path: Path) -> None:
    app = written(tmp_path, TELLS)
    by_python, ours = (
        subprocess.run(
            [sys.executable, "-P", *words, app], capture_output=True, timeout=LIMIT, check=True
        ).stdout
        for words in ([], ["-m", "fastframe", "accelerate"])
    )
    assert json.loads(ours)["path"] == json.loads(by_python)["path"]
    assert str(tmp_path) not in json.loads(ours)["path"]


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('that was it')", 1, "that was it"),
        ("raise SystemExit", 0, ""),
        ("1/0", 1, "ZeroDivisionError"),
        ("raise BrokenPipeError('of its own')", 1, "BrokenPipeError: of its own"),
        ("this is no Python", 1, "SyntaxError"),
    ],
)
def test_program_ends_as_it_would_by_itself(tmp_path: Path, source: str, status: int, words: str) -> None:
    app = written(tmp_path, source)
    ran = command("accelerate", app)
    alone = subprocess.run([sys.executable, app], capture_output=True, timeout=LIMIT, check=False)
    assert ran.returncode == alone.returncode == status
    assert words in ran.stderr.decode()
    assert ran.stderr.splitlines()[-1:] == alone.stderr.splitlines()[-1:]


@pytest.mark.parametrize("error", ["FileNotFoundError('of its own')", "BrokenPipeError('of its own')"])
def test_package_that_fails_ends_as_it_would_by_itself(tmp_path: Path, error: str) -> None:
    written(tmp_path / "package", f"raise {error}", "__init__.py")
    written(tmp_path / "package", "", "__main__.py")
    for start in ([sys.executable], [*FASTFRAME, "accelerate"]):
        ran = subprocess.run(
            [*start, "-m", "package"], capture_output=True, timeout=LIMIT, check=False, cwd=tmp_path
        )
        assert ran.returncode == 1
        assert f"raise {error}".encode() in ran.stderr
        assert ran.stderr.splitlines()[-1] == error.replace("('", ": ").replace("')", "").encode()


@pytest.mark.skipif(sys.platform == "win32", reason="not run: no signals there")
def test_interrupt_is_the_program_s_own(tmp_path: Path) -> None:
    app = written(tmp_path, "print('runs', flush=True)\nimport time\ntime.sleep(30)")
    with running("accelerate", app) as process:
        line_with(output(process), "runs")
        process.send_signal(signal.SIGINT)
        # As Python ends, which shells tell from a program that exits by itself.
        assert process.wait(LIMIT) == -signal.SIGINT
        assert process.stderr is not None
        assert process.stderr.read().rstrip().endswith(b"KeyboardInterrupt")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.py"], "cannot run nowhere.py: no such file or directory"),
        (["empty"], "cannot run empty: there is no __main__.py in it"),
        (["-m", "nowhere"], "cannot run nowhere: there is no module of this name"),
        (["-m", "nowhere.inside"], "cannot run nowhere.inside: No module named 'nowhere'"),
        (["-m", "nothing_to_run"], "cannot run nothing_to_run: it is a package without a module __main__"),
        (["-m", "."], "cannot run .: "),
        (["-m", "sys"], "cannot run sys: it has no Python code"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_run_is_told_in_one_line(tmp_path: Path, words: list[str], reason: str) -> None:
    (tmp_path / "empty").mkdir()
    written(tmp_path / "nothing_to_run", "", "__init__.py")
    ran = subprocess.run(
        [*FASTFRAME, "accelerate", *words], capture_output=True, timeout=LIMIT, check=False, cwd=tmp_path
    )
    assert reason in complaint(ran, 1)


# What would be done.


def test_check_tells_of_every_library() -> None:
    ran = command("install-check")
    told = {name: words for name, *words in map(str.split, ran.stdout.decode().splitlines())}
    assert set(told) == {*adapters.LIBRARIES, "uvicorn"}
    for name, status in adapters.status().items():
        assert told[name][0] == (status.version or "-")
        assert (told[name][1:] == ["not", "installed"]) is (status.version is None and name != "wsaccel")
    # Releases that are newer than the tested ones may be installed here.
    assert ran.returncode == int(b"left untouched" in ran.stdout)
    assert ran.stderr == b""


def test_check_tells_the_gain_of_what_goes_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {
        "websockets": adapters.Check("17.4", "connection", None),
        "wsproto": adapters.Check("2.0", "mask", "it is another one"),
        "tornado": adapters.Check(None, None, "it is not installed"),
    }
    monkeypatch.setattr(adapters, "check", found.__getitem__)
    cli.main(["install-check", *found])
    first, *others = capsys.readouterr().out.splitlines()
    one, many = GAINS["websockets"]["connection"]
    assert first.split(maxsplit=2)[2] == (
        f"connection (small messages: {one:.1f} times cheaper, {many:.1f} in bursts)"
    )
    assert not any("cheaper" in line for line in others)
    cli.main(["install-check", "--json", *found])
    told = json.loads(capsys.readouterr().out)
    assert told["websockets"]["gain"] == [one, many]
    assert told["tornado"]["gain"] is None


def test_gains_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "drop-ins.md").read_text("utf-8")
    table = page.partition("processor time a message")[2].partition("Messages a second")[0]
    rows = re.findall(
        r"^\| (.*?) \| `?([a-z0-9 ]+)`? \| .*?\((.*?) x\) \| .*?\((.*?) x\)", table, re.MULTILINE
    )
    names = {"uvicorn": "uvicorn's plug-in", "websocket-client": "websocket-client, a client"}
    measured = {(name, depth): (float(one), float(many)) for name, depth, one, many in rows}
    for library, gains in GAINS.items():
        name = names.get(library, library)
        assert gains == {depth: gain for (other, depth), gain in measured.items() if other == name}
    assert GAINS.keys() == {*adapters.LIBRARIES, "uvicorn"} - {"wsaccel"}
    for library in GAINS.keys() - {"uvicorn"}:
        assert [*GAINS[library]] == [*adapters.depths_of(library)]


HIDDEN = """
import importlib.metadata as metadata

find = metadata.version

def version(name):
    if name == "wsproto":
        raise metadata.PackageNotFoundError(name)
    return find(name)

metadata.version = version
"""


def test_check_wants_what_is_named(tmp_path: Path) -> None:
    written(tmp_path, HIDDEN, "sitecustomize.py")
    env = environment(PYTHONPATH=str(tmp_path))
    ran = command("install-check", "wsproto", env=env)
    assert (ran.returncode, ran.stdout.split()) == (1, [b"wsproto", b"-", b"not", b"installed"])
    ran = command("install-check", env=env)
    assert [b"wsproto", b"-", b"not", b"installed"] in map(bytes.split, ran.stdout.splitlines())
