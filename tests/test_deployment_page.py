"""The files of docs/deployment.md, used: nginx, TLS, several processes, systemd, Kubernetes."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aio_support import status_of
from cli_support import certificate
from snippets import ROOT, SECONDS, free_port, required, snippets_of

from fastframe import ConnectionClosed, RejectedByServer, connect
from fastframe.aio.settings import Settings

if sys.platform != "linux":
    pytest.skip("nginx, systemd and reuse_port as Linux has them", allow_module_level=True)

PAGE = ROOT / "docs" / "deployment.md"
CLOSE_TIMEOUT = Settings().close_timeout
# What stands on the page for something that is another one in each run.
STANDS_FOR = {"port": "8765", "tls_port": "443", "certificates": "/etc/ssl/chat"}
UPGRADES = ("Upgrade $http_upgrade", "Connection $connection_upgrade")
FILES = {snippet.name: snippet.text for snippet in snippets_of(PAGE) if snippet.mark == "file"}


def test_every_file_of_the_page_is_used_here() -> None:
    assert set(FILES) == {
        "server.py",
        "chat.conf",
        "tls_server.py",
        "chat.service",
        "chat.yaml",
    }


def tool(name: str) -> str:
    """A program of the system; without it the test is not run, or fails where it could be installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        assert not required(), f"{name} is not installed"
        pytest.skip(f"not run: {name} is not installed")
    return found


def written(folder: Path, name: str, **changes: str) -> Path:
    """A file of the page, with what has to be another one here."""
    text = FILES[name]
    for what, new in changes.items():
        old = STANDS_FOR.get(what, what)
        assert old in text, old
        text = text.replace(old, new)
    path = folder / name
    path.write_text(text)
    return path


@contextmanager
def started(*command: str, port: int, folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        asyncio.run(until_open(port, process))
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


async def until_open(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def python(path: Path) -> list[str]:
    return [sys.executable, "-W", "error", str(path)]


async def status(port: int, path: str) -> int:
    return await status_of(port, path, "localhost")


def test_the_server_drains_and_says_goodbye(tmp_path: Path) -> None:
    port = free_port()
    path = written(tmp_path, "server.py", port=str(port))
    with started(*python(path), port=port, folder=tmp_path, DRAIN="1") as process:
        asyncio.run(asyncio.wait_for(see_it_drain(port, process), SECONDS))
        assert process.wait(SECONDS) == 0


async def see_it_drain(port: int, process: subprocess.Popen[str]) -> None:
    uri = f"ws://127.0.0.1:{port}/"
    assert [await status(port, path) for path in ("/live", "/ready", "/")] == [200, 200, 426]
    async with connect(uri) as ws:
        process.send_signal(signal.SIGTERM)
        while await status(port, "/ready") != 503:
            pass
        async with connect(uri) as late:  # the balancer has not learned of it yet
            await late.send("still served")
            assert await late.recv() == "still served"
        with pytest.raises(ConnectionClosed) as end:
            await ws.recv()
        assert end.value.received is not None
        assert (end.value.received.close_code, end.value.received.close_reason) == (1012, "restart")


@contextmanager
def nginx(folder: Path, port: int, tls_port: int, **changes: str) -> Iterator[None]:
    certificate(folder)
    program = tool("nginx")
    site = written(
        folder, "chat.conf", port=str(port), tls_port=str(tls_port), certificates=str(folder), **changes
    )
    main = folder / "nginx.conf"
    places = "".join(
        f"{kind}_temp_path {folder};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}include {site};\n}}\n"
    )
    command = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", str(main)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert checked.returncode == 0, checked.stderr
    with started(*command, port=tls_port, folder=folder) as process:
        yield
        process.terminate()
        process.wait(SECONDS)


def test_without_its_lines_for_upgrades_nginx_lets_no_websocket_through(tmp_path: Path) -> None:
    port, tls_port = free_port(), free_port()
    lines = [f"        proxy_set_header {name};\n" for name in UPGRADES]
    changes = dict.fromkeys(lines, "")
    with (
        started(*python(written(tmp_path, "server.py", port=str(port))), port=port, folder=tmp_path),
        nginx(tmp_path, port, tls_port, **changes),
        pytest.raises(RejectedByServer) as rejection,
    ):
        asyncio.run(asyncio.wait_for(talk_through(tls_port, trusting(tmp_path)), SECONDS))
    assert rejection.value.response.status == 426


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "certificate.pem"))


def test_through_nginx_to_several_processes(tmp_path: Path) -> None:
    port, tls_port = free_port(), free_port()
    command = python(written(tmp_path, "server.py", port=str(port)))
    with (
        started(*command, port=port, folder=tmp_path) as first,
        started(*command, port=port, folder=tmp_path) as second,
        nginx(tmp_path, port, tls_port),
    ):
        reached = asyncio.run(asyncio.wait_for(talk_through(tls_port, trusting(tmp_path)), SECONDS))
        assert reached == {str(first.pid), str(second.pid)}


async def talk_through(port: int, context: ssl.SSLContext) -> set[str]:
    """Talk with the servers behind nginx; the processes that answered."""
    uri = f"wss://localhost:{port}/"
    big = "x" * 300_000
    async with connect(uri, ssl=context, origin="https://chat.example") as ws:
        assert ws.response is not None and ws.response.headers["Server"].startswith("nginx")
        for message in ("Hello", big, b"\x00\x01"):
            await ws.send(message)
            assert await ws.recv() == message
        await ws.close(1000, "bye")
        assert ws.close_code == 1000
    with pytest.raises(RejectedByServer) as rejection:
        await connect(uri, ssl=context, origin="https://evil.example")
    assert rejection.value.response.status == 403
    reached = set()
    for _ in range(60):
        async with connect(uri, ssl=context) as ws:
            assert ws.response is not None
            reached.add(ws.response.headers["X-Process"])
    return reached


def test_tls_without_a_proxy(tmp_path: Path) -> None:
    port = free_port()
    certificate(tmp_path)
    path = written(tmp_path, "tls_server.py", port=str(port))
    with started(*python(path), port=port, folder=tmp_path):
        asyncio.run(asyncio.wait_for(echo_over_tls(port, trusting(tmp_path)), SECONDS))


async def echo_over_tls(port: int, context: ssl.SSLContext) -> None:
    async with connect(f"wss://localhost:{port}/", ssl=context) as ws:
        await ws.send("through TLS")
        assert await ws.recv() == "through TLS"


def verify(path: Path) -> str:
    """What systemd says of a unit; nothing, if it is right."""
    command = [tool("systemd-analyze"), "verify", "--man=no", str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    lines = [line for line in finished.stderr.splitlines() if path.name in line]
    return "\n".join(lines) or ("" if finished.returncode == 0 else finished.stderr)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    changes: dict[str, str] = {"/srv/chat/venv/bin/python": sys.executable}
    assert verify(written(tmp_path, "chat.service", **changes)) == ""
    wrong = tmp_path / "wrong.service"
    wrong.write_text(FILES["chat.service"].replace("TimeoutStopSec=30", "TimeoutStopSec=soon"))
    assert "wrong.service" in verify(wrong), "systemd-analyze finds nothing wrong with anything"


def test_the_unit_lets_connections_close() -> None:
    lines = dict(line.split("=", 1) for line in FILES["chat.service"].splitlines() if "=" in line)
    drain = float(lines["Environment"].removeprefix("DRAIN="))
    assert float(lines["TimeoutStopSec"]) > drain + 2 * CLOSE_TIMEOUT


@pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None, reason="what checks it comes with the extra docs (make test)"
)
def test_kubernetes_takes_the_objects() -> None:
    import kubernetes_validate
    import yaml

    objects: list[Any] = list(yaml.safe_load_all(FILES["chat.yaml"]))
    version = kubernetes_validate.latest_version()
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)
    deployment, service = objects
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = [container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe")]
    assert [probe["path"] for probe in probes] == ["/live", "/ready"]
    assert {probe["port"] for probe in probes} == {port["name"] for port in container["ports"]}
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    drain = float(container["env"][0]["value"])
    readiness = container["readinessProbe"]
    assert drain > readiness["periodSeconds"] * readiness["failureThreshold"]
    assert pod["terminationGracePeriodSeconds"] > drain + 2 * CLOSE_TIMEOUT
    container["readinessProbe"]["httpGet"]["patch"] = "/ready"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, version, strict=True)
