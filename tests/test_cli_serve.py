"""`serve`: an echo server as a process, talked with by another library's client."""

from __future__ import annotations

import signal
import socket
import ssl
import sys
from pathlib import Path

import pytest
import websockets.exceptions
from cli_support import (
    LIMIT,
    certificate,
    command,
    complaint,
    environment,
    line_with,
    output,
    running,
    serving,
)
from websockets.sync.client import connect, unix_connect
from websockets.typing import Origin, Subprotocol

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="signals and Unix sockets are not Windows'")

with_uvloop = pytest.mark.skipif(
    sys.platform == "win32" or sys.implementation.name != "cpython", reason="uvloop is not for this Python"
)


def refused(uri: str, **options: object) -> int:
    """The HTTP status that a handshake is refused with."""
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught, connect(uri, **options):
        pass
    return int(caught.value.response.status_code)


def test_every_message_comes_back() -> None:
    with serving() as uri, connect(uri) as client:
        for message in ("Hello, 世界", "", b"\x00\xff", b"", "x" * 300_000):
            client.send(message)
            assert client.recv(timeout=LIMIT) == message


@pytest.mark.parametrize(
    ("arguments", "agreed"),
    [([], True), (["--compression"], True), (["--no-compression"], False)],
)
def test_compression_is_agreed_on_unless_told_otherwise(arguments: list[str], agreed: bool) -> None:
    with serving(*arguments) as uri, connect(uri) as client:
        assert client.response is not None
        assert ("Sec-WebSocket-Extensions" in client.response.headers) is agreed


def test_a_message_over_max_size_is_refused() -> None:
    with serving("--max-size", "10") as uri, connect(uri) as client:
        client.send("x" * 10)
        assert client.recv(timeout=LIMIT) == "x" * 10
        client.send("x" * 11)
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            client.recv(timeout=LIMIT)
        assert client.close_code == 1009


def test_subprotocols_are_agreed_on_in_the_server_s_order() -> None:
    offered = [Subprotocol("a"), Subprotocol("b"), Subprotocol("c")]
    with (
        serving("--subprotocol", "c", "--subprotocol", "b") as uri,
        connect(uri, subprotocols=offered) as client,
    ):
        assert client.subprotocol == "c"


def test_origins_are_an_allow_list() -> None:
    ours = "https://example.com"
    with serving("--origin", ours) as uri:
        with connect(uri, origin=Origin(ours)):
            pass
        assert refused(uri, origin=Origin("https://example.org")) == 403
        assert refused(uri) == 403
    with serving("--origin", ours, "--origin", "none") as uri:
        with connect(uri):
            pass
        assert refused(uri, origin=Origin("https://example.org")) == 403


def test_origins_are_taken_as_browsers_write_them() -> None:
    with serving("--origin", "https://Example.COM:8443", "--origin", "app://page", "--origin", "null") as uri:
        for origin in ("https://example.com:8443", "app://page", "null"):
            with connect(uri, origin=Origin(origin)):
                pass


@unix_only
def test_an_address_may_stand_in_brackets() -> None:
    with running("serve", "--host", "[::1]", "--port", "0") as process:
        assert line_with(output(process), "echoing").startswith("echoing on ws://[::1]:")


def test_tls_serves_wss(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(cafile=cert)
    with serving("--tls-cert", cert, "--tls-key", key) as uri:
        assert uri.startswith("wss://")
        with connect(uri, ssl=context) as client:
            client.send("secret")
            assert client.recv(timeout=LIMIT) == "secret"


@unix_only
def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with running("serve", "--unix", str(path)) as process:
        assert line_with(output(process), "echoing") == f"echoing ws:// on {path}"
        with unix_connect(str(path)) as client:
            client.send("near")
            assert client.recv(timeout=LIMIT) == "near"
        assert complaint(command("serve", "--unix", str(path)), 1).endswith("address already in use")
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 0
    assert not path.exists()


@unix_only
def test_a_unix_socket_left_over_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with running("serve", "--unix", str(path)) as process:
        line_with(output(process), "echoing")
        with unix_connect(str(path)) as client:
            client.send("near")
            assert client.recv(timeout=LIMIT) == "near"


@unix_only
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
@pytest.mark.parametrize("loop", ["asyncio", pytest.param("uvloop", marks=with_uvloop)])
def test_an_interrupt_ends_it_quietly_with_1001(sent: signal.Signals, loop: str) -> None:
    options = ["--uvloop"] if loop == "uvloop" else []
    with running("serve", "--host", "127.0.0.1", "--port", "0", *options) as process:
        uri = line_with(output(process), "echoing on ").split()[-1]
        with connect(uri) as client:
            client.send("Hello")
            assert client.recv(timeout=LIMIT) == "Hello"
            process.send_signal(sent)
            with pytest.raises(websockets.exceptions.ConnectionClosedOK):
                client.recv(timeout=LIMIT)
            assert client.close_code == 1001
        assert process.wait(LIMIT) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_uvloop_runs_it_if_asked(tmp_path: Path) -> None:
    # A stand-in, which says that it is used.
    stand_in = "import asyncio\ndef run(main):\n    print('uvloop runs', flush=True)\n    asyncio.run(main)\n"
    (tmp_path / "uvloop.py").write_text(stand_in)
    env = environment(folder=tmp_path)
    with running("serve", "--host", "127.0.0.1", "--port", "0", "--uvloop", env=env) as process:
        assert output(process).readline().split() == [b"uvloop", b"runs"]
        line_with(output(process), "echoing on ws://127.0.0.1:")


@with_uvloop
def test_uvloop_itself_echoes() -> None:
    with serving("--uvloop") as uri, connect(uri) as client:
        client.send("fast")
        assert client.recv(timeout=LIMIT) == "fast"


def test_uvloop_missing_is_one_line(tmp_path: Path) -> None:
    finished = command("serve", "--uvloop", env=environment("uvloop", folder=tmp_path))
    assert complaint(finished, 1) == "fastframe: uvloop is not installed: pip install 'fastframe[uvloop]'"


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = command("serve", "--host", "127.0.0.1", "--port", str(port))
    assert (
        complaint(finished, 1) == f"fastframe: cannot listen on 127.0.0.1 port {port}: address already in use"
    )


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path) -> None:
    assert "no such file" in complaint(command("serve", "--tls-cert", str(tmp_path / "none.pem")), 1)
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    line = complaint(command("serve", "--tls-cert", str(nonsense)), 1)
    assert line == f"fastframe: cannot use {nonsense}: no certificate in PEM, or no key that belongs to it"
