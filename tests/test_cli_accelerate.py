"""``accelerate`` and ``install-check``: a program as Python runs it, and libraries that have changed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_support import FASTFRAME, LIMIT, command, complaint, environment, line_with, output, running

from fastframe import adapters

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
told["argv[0]"] = os.path.abspath(sys.argv[0])
told["package"] = __package__ or None
told["spec"] = __spec__ and __spec__.name
told["encoding"] = sys.stdout.errors
print(json.dumps(told))
"""

STATUS = """
import importlib, json, sys
import fastframe
for name in sys.argv[1:]:
    importlib.import_module(name)
status = {name: [s.depth, s.refused] for name, s in fastframe.status().items()}
print(json.dumps({name: told for name, told in status.items() if told != [None, None]}))
"""

ECHO = """
import asyncio
from websockets.asyncio.server import serve

import fastframe

async def echo(connection):
    async for message in connection:
        await connection.send(message + f" ({fastframe.status()['websockets'].depth})")

async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        print("port", server.sockets[0].getsockname()[1], flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def written(folder: Path, source: str, name: str = "app.py") -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return str(path)


def told(folder: Path, *words: str, accelerated: bool) -> dict[str, object]:
    """What a program says, and nothing else may be said."""
    start = [*FASTFRAME, "accelerate"] if accelerated else [sys.executable]
    ran = subprocess.run(
        [*start, *words], capture_output=True, timeout=LIMIT, check=True, cwd=folder, env=environment()
    )
    assert ran.stderr == b""
    said: dict[str, object] = json.loads(ran.stdout)
    return said


def status_in(folder: Path, *arguments: str, modules: str = "websockets") -> dict[str, list[str | None]]:
    """What has become of the libraries in a program that imports some modules."""
    app = written(folder, STATUS)
    ran = command("accelerate", *arguments, app, *modules.split())
    assert (ran.returncode, ran.stderr) == (0, b"")
    said: dict[str, list[str | None]] = json.loads(ran.stdout)
    # It may be installed or not, and takes no import.
    said.pop("wsaccel", None)
    return said


ARGUMENTS = ["--library", "x", "-m", "--", "-h", "a b", ""]


@pytest.mark.parametrize(
    "kind", ["file", "link", "module", "package", "module in a package", "folder", "archive"]
)
def test_program_runs_as_python_runs_it(tmp_path: Path, kind: str) -> None:
    app = written(tmp_path / "inside", TELLS)
    written(tmp_path / "folder", TELLS, "__main__.py")
    written(tmp_path / "package", TELLS, "__main__.py")
    written(tmp_path / "package", TELLS, "module.py")
    written(tmp_path, TELLS, "tells.py")
    (tmp_path / "link").symlink_to(app)
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("__main__.py", TELLS)
    words = {
        "file": ["inside/app.py"],
        "module": ["-m", "tells"],
        "package": ["-m", "package"],
        "module in a package": ["-m", "package.module"],
    }.get(kind, [kind])
    by_python = told(tmp_path, *words, *ARGUMENTS, accelerated=False)
    assert by_python["arguments"] == ARGUMENTS
    assert told(tmp_path, *words, *ARGUMENTS, accelerated=True) == by_python


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


# Adapters.


def test_libraries_are_accelerated_when_they_are_imported(tmp_path: Path) -> None:
    assert status_in(tmp_path, modules="") == {}
    assert status_in(tmp_path) == {"websockets": ["connection", None]}
    # From inside a library first.
    assert status_in(tmp_path, modules="wsproto.frame_protocol websockets.sync.client") == {
        "websockets": ["connection", None],
        "wsproto": ["connection", None],
    }


def test_libraries_and_depths_are_chosen(tmp_path: Path) -> None:
    both = "websockets wsproto"
    assert status_in(tmp_path, "--library", "wsproto", modules=both) == {"wsproto": ["connection", None]}
    chosen = ["--library", "wsproto=mask", "--library", "websockets=frame"]
    depths = {"websockets": ["frame", None], "wsproto": ["mask", None]}
    assert status_in(tmp_path, *chosen, modules=both) == depths
    # Nothing waits for an import then.
    assert status_in(tmp_path, "--strict", *chosen, modules="") == depths


def test_wsaccel_is_ours_if_it_is_named_or_there(tmp_path: Path) -> None:
    app = written(tmp_path, "from wsaccel import xormask; print(xormask.__name__)")
    assert (
        command("accelerate", "--library", "wsaccel", app).stdout.strip()
        == b"fastframe.adapters.wsaccel.xormask"
    )
    if adapters.status()["wsaccel"].version is not None:
        assert command("accelerate", app).stdout.strip() == b"fastframe.adapters.wsaccel.xormask"
    ran = command("accelerate", "--library", "websockets", app)
    assert b"fastframe" not in ran.stdout


def test_verbose_tells_what_has_been_done(tmp_path: Path) -> None:
    app = written(tmp_path, "import wsproto, websockets, wsproto.events")
    chosen = ["--library", "wsproto", "--library", "websockets=frame"]
    ran = command("accelerate", "--verbose", *chosen, app)
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert ran.stderr.decode().splitlines() == [
        f"fastframe: wsproto {version('wsproto')} has an adapter, depth connection",
        f"fastframe: websockets {version('websockets')} has an adapter, depth frame",
    ]


def test_import_leaves_no_trace(tmp_path: Path) -> None:
    source = "import sys, {0}; print(type({0}.__spec__.loader), type({0}.__loader__), {0}.__spec__.origin)"
    app = written(tmp_path, source.format("websockets"))
    alone = subprocess.run([sys.executable, app], capture_output=True, timeout=LIMIT, check=True)
    assert command("accelerate", app).stdout == alone.stdout


def test_program_may_install_by_itself(tmp_path: Path) -> None:
    app = written(
        tmp_path,
        "import fastframe\n"
        "with fastframe.install('websockets', depth='frame', strict=True) as handle:\n"
        "    print(handle.depth)\n"
        "print(fastframe.status()['websockets'].depth)",
    )
    ran = command("accelerate", app)
    assert (ran.returncode, ran.stderr, ran.stdout.split()) == (0, b"", [b"frame", b"None"])


def test_accelerated_server_echoes(tmp_path: Path) -> None:
    with running("accelerate", written(tmp_path, ECHO)) as server:
        port = line_with(output(server), "port").split()[1]
        said = command("connect", f"ws://127.0.0.1:{port}/", "--raw", given="hello\nwörld\n".encode())
        assert said.stdout.decode().splitlines() == ["hello (connection)", "wörld (connection)"]


# Libraries that are not as they were tested.


def newer(folder: Path, change: str) -> dict[str, str]:
    """An environment with another wsproto: a newer release, or one with another function in it."""
    found = find_spec("wsproto")
    assert found is not None and found.submodule_search_locations
    package = Path(found.submodule_search_locations[0])
    copy = folder / "site" / "wsproto"
    shutil.copytree(package, copy)
    release = "99.1" if change == "release" else version("wsproto")
    written(
        folder / "site" / "wsproto.dist-info",
        f"Metadata-Version: 2.1\nName: wsproto\nVersion: {release}\n",
        "METADATA",
    )
    module = copy / "frame_protocol.py"
    text = module.read_text()
    if change == "name":
        changed = text.replace("def process_buffer(", "def process_what_came(").replace(
            ".process_buffer(", ".process_what_came("
        )
    elif change == "body":
        changed = text.replace("def process_buffer(", "def process_buffer(  # as it always was\n        ")
    elif change == "broken module":
        (copy / "connection.py").write_text("raise RuntimeError('not on this machine')")
        (copy / "__init__.py").write_text("")
        changed = text
    else:
        changed = text
    assert (changed != text) is (change in ("name", "body"))
    module.write_text(changed)
    return environment(PYTHONPATH=str(folder / "site"))


REASONS = {
    "release": "release 99.1 is not one of those tested, 1.3.2 to 1.3.2",
    "name": "wsproto.frame_protocol:FrameDecoder.process_buffer is not there any more",
    "body": "wsproto.frame_protocol:FrameDecoder.process_buffer is not the function that was tested",
    "broken module": "wsproto.connection cannot be imported: not on this machine",
}

USES = """
import wsproto.frame_protocol as library
protocol = library.FrameProtocol(client=False, extensions=[])
protocol.receive_bytes(bytes.fromhex("818537fa213d7f9f4d5158"))
print([frame.payload for frame in protocol.received_frames()], library.XorMaskerSimple.__module__)
"""


@pytest.mark.parametrize("change", REASONS)
def test_program_runs_with_a_library_that_is_not_as_tested(tmp_path: Path, change: str) -> None:
    env, app = newer(tmp_path, change), written(tmp_path, USES)
    ran = command("accelerate", app, env=env)
    assert (ran.returncode, ran.stdout) == (0, b"['Hello'] wsproto.frame_protocol\n")
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith(f"fastframe: wsproto was left untouched: {REASONS[change]}")


@pytest.mark.parametrize("change", REASONS)
def test_strictly_it_is_not_run(tmp_path: Path, change: str) -> None:
    env, app = newer(tmp_path, change), written(tmp_path, USES)
    line = complaint(command("accelerate", "--strict", "--library", "wsproto", app, env=env), 1)
    assert line.startswith(f"fastframe: wsproto was left untouched: {REASONS[change]}")


# What would be done.


def test_check_tells_of_every_library() -> None:
    ran = command("install-check")
    told = {name: words for name, *words in map(str.split, ran.stdout.decode().splitlines())}
    assert set(told) == {*adapters.LIBRARIES, "uvicorn"}
    assert told["websockets"] == [version("websockets"), "connection"]
    assert told["wsproto"] == [version("wsproto"), "connection"]
    for name, status in adapters.status().items():
        assert told[name][0] == (status.version or "-")
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_check_is_json_if_asked() -> None:
    ran = command("install-check", "--json", "websockets", "wsaccel")
    assert (ran.returncode, ran.stderr) == (0, b"")
    told = json.loads(ran.stdout)
    assert told["websockets"] == {"version": version("websockets"), "depth": "connection", "refused": None}
    assert (told["wsaccel"]["depth"], len(told)) == ("mask", 2)
    assert set(json.loads(command("install-check", "--json").stdout)) == {*adapters.LIBRARIES, "uvicorn"}


def test_check_names_what_is_in_the_way(tmp_path: Path) -> None:
    ran = command("install-check", "wsproto", env=newer(tmp_path, "release"))
    assert (ran.returncode, ran.stderr) == (1, b"")
    assert ran.stdout.decode().split(maxsplit=2)[2].strip() == f"left untouched: {REASONS['release']}"


def test_check_names_the_depth_that_is_left(tmp_path: Path) -> None:
    env = environment(PYTHONPATH=str(tmp_path / "site"))
    newer(tmp_path, "same")
    events = tmp_path / "site" / "wsproto" / "connection.py"
    events.write_text(events.read_text().replace("def receive_data(", "def receive_data(  # new\n        "))
    ran = command("install-check", "wsproto", env=env)
    assert ran.returncode == 1
    assert ran.stdout.decode().rstrip().endswith("; depth 'mask' would go in")
    assert "wsproto.connection:Connection.receive_data is not the function" in ran.stdout.decode()


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
    assert ran.returncode == 0
    assert [b"wsproto", b"-", b"not", b"installed"] in map(bytes.split, ran.stdout.splitlines())
