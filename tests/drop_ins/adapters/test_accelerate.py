"""``accelerate`` and ``install-check`` with libraries: as they were tested, and as they were not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from importlib.util import find_spec
from pathlib import Path

import pytest
from cli_support import LIMIT, command, complaint, environment, line_with, output, running, written

from fastframe import adapters
from fastframe.cli.gains import GAINS

TESTS = Path(__file__).resolve().parents[2]

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


def status_in(folder: Path, *arguments: str, modules: str = "websockets") -> dict[str, list[str | None]]:
    """What has become of the libraries in a program that imports some modules."""
    app = written(folder, STATUS)
    ran = command("accelerate", *arguments, app, *modules.split())
    assert (ran.returncode, ran.stderr) == (0, b"")
    said: dict[str, list[str | None]] = json.loads(ran.stdout)
    # It may be installed or not, and takes no import.
    said.pop("wsaccel", None)
    return said


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


LEFT_ALONE = """
import sys
from drop_ins.other_releases import is_left_alone
sys.exit(0 if is_left_alone("wsproto") else "touched")
"""


def examined(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What `make drop-ins-newest` has for a release that the adapter refuses."""
    env["PYTHONPATH"] += f":{TESTS}"
    return subprocess.run(
        [sys.executable, "-c", LEFT_ALONE],
        env=env,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.mark.parametrize("change", REASONS)
def test_newest_release_that_is_refused_is_found_untouched(tmp_path: Path, change: str) -> None:
    ran = examined(newer(tmp_path, change))
    assert ran.returncode == 0, ran.stderr
    assert REASONS[change] in ran.stdout
    assert " attributes as before, 0 not" in ran.stdout


def test_release_that_is_touched_is_found_out(tmp_path: Path) -> None:
    ran = examined(newer(tmp_path, "same"))
    assert (ran.returncode, ran.stderr.strip()) == (1, "touched")
    assert "CHANGED: wsproto.connection:Connection:send" in ran.stdout


def test_bounds_of_what_is_installed_are_the_adapters() -> None:
    """`make drop-ins` installs up to what the adapters were tested with, neither more nor less."""
    bounds = {}
    for line in requires("fastframe") or ():
        found = re.match(r"([\w-]+)<=([\d.]+),>=([\d.]+);.*extra == ['\"]drop-ins['\"]", line)
        if found:
            bounds[found[1]] = (found[3], found[2])
    for name in adapters.LIBRARIES:
        if name != "wsaccel":
            assert bounds[name] == adapters._library(name).tested, name


# What would be done.


def test_check_tells_how_deep_each_goes() -> None:
    ran = command("install-check")
    told = {name: words for name, *words in map(str.split, ran.stdout.decode().splitlines())}
    for name, status in adapters.status().items():
        assert told[name][:2] == [status.version, adapters.depths_of(name)[-1]]
        assert told[name][2:4] == ([] if name == "wsaccel" else ["(small", "messages:"])
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_check_is_json_if_asked() -> None:
    ran = command("install-check", "--json", "websockets", "wsaccel")
    assert (ran.returncode, ran.stderr) == (0, b"")
    told = json.loads(ran.stdout)
    assert told["websockets"] == {
        "version": version("websockets"),
        "depth": "connection",
        "refused": None,
        "gain": [*GAINS["websockets"]["connection"]],
    }
    assert told["wsaccel"]["gain"] is None
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
