"""How signals, and whatever blocks, end the commands: in good order, at once the second time, and quietly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from cli_support import FASTFRAME, LIMIT, Peer, environment, line_with, output, peer, running, serving
from raw_peer import REQUEST
from websockets.sync.client import connect

if sys.platform == "win32":
    pytest.skip("Windows has other signals", allow_module_level=True)

SOON = 5.0
"""Seconds in which an end is not waited for: half of what closing, or a name, may take."""

# A name that is being looked up for long, as with a name server that does not answer.
SLOW_NAMES = """
import socket, time
def getaddrinfo(*_, **__):
    time.sleep(2 * LIMIT)
socket.getaddrinfo = getaddrinfo
"""


def errors_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stderr is not None
    return process.stderr


@contextmanager
def mute_client(uri: str) -> Iterator[socket.socket]:
    """A client that answers no close frame."""
    port = int(uri.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(LIMIT)
        sock.sendall(REQUEST)
        assert sock.recv(4096).startswith(b"HTTP/1.1 101 ")
        yield sock


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> int:
    begun = time.monotonic()
    status = process.wait(LIMIT)
    assert time.monotonic() - begun < seconds
    return status


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_second_signal_ends_a_server_at_once_and_quietly(second: signal.Signals) -> None:
    with running("serve", "--host", "127.0.0.1", "--port", "0") as process:
        uri = line_with(output(process), "echoing on ").removeprefix("echoing on ")
        with mute_client(uri) as client:
            process.send_signal(signal.SIGINT)
            assert client.recv(4) == b"\x88\x02\x03\xe9"  # 1001: it is ending
            process.send_signal(second)
            assert ends_within(process, SOON) == 0
        assert errors_of(process).read() == b""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_client_with_1001(number: signal.Signals, status: int) -> None:
    with peer(Peer.listen) as said, running("connect", said.uri) as process:
        line_with(errors_of(process), "connected to")
        process.send_signal(number)
        assert said.hears() == (1001, "")
        assert process.wait(LIMIT) == status
        assert errors_of(process).read() == b""


def test_signals_that_are_ignored_from_the_start_stay_so() -> None:
    with subprocess.Popen(
        [
            "sh",
            "-c",
            'trap "" INT HUP; exec "$@"',
            "sh",
            *FASTFRAME,
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
        ],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        try:
            uri = line_with(process.stdout, "echoing on ").removeprefix("echoing on ")
            for number in (signal.SIGINT, signal.SIGHUP):
                process.send_signal(number)
                with connect(uri, proxy=None) as client:
                    client.send("still here")
                    assert client.recv(timeout=LIMIT) == "still here"
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()


def test_a_file_that_blocks_holds_up_no_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with peer(Peer.listen) as said, running("connect", said.uri, "--commands") as process:
        assert process.stdin is not None
        process.stdin.write(f"ready\n/file {pipe}\n".encode())
        assert said.hears() == "ready"
        process.send_signal(signal.SIGINT)
        assert said.hears() == (1001, "")
        assert ends_within(process, SOON) == 130
        assert b"Traceback" not in errors_of(process).read()


@pytest.mark.parametrize("end", ["timeout", "signal"])
def test_a_name_that_is_looked_up_for_long_holds_up_no_end(end: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_NAMES.replace("LIMIT", str(LIMIT)))
    env = environment(folder=tmp_path)
    arguments = ["connect", "ws://slow.test/", "--timeout", "0.5" if end == "timeout" else "60"]
    with running(*arguments, env=env) as process:
        if end == "signal":
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
        assert ends_within(process, SOON) == (1 if end == "timeout" else 130)
        said = errors_of(process).read().decode()
        assert said == (
            "fastframe: cannot connect to ws://slow.test/: no answer within 0.5 s\n"
            if end == "timeout"
            else ""
        )


def test_a_server_that_is_ending_leaves_its_successor_s_socket(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with running("serve", "--unix", str(path)) as first, socket.socket(socket.AF_UNIX) as client:
        line_with(output(first), "echoing")
        client.settimeout(LIMIT)
        client.connect(str(path))
        client.sendall(REQUEST)
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        first.send_signal(signal.SIGTERM)
        assert client.recv(4) == b"\x88\x02\x03\xe9"
        with running("serve", "--unix", str(path)) as second:
            line_with(output(second), "echoing")
            client.close()
            assert first.wait(LIMIT) == 0
            with socket.socket(socket.AF_UNIX) as other:
                other.connect(str(path))
            second.send_signal(signal.SIGTERM)
            assert second.wait(LIMIT) == 0


def test_a_unix_socket_that_is_busy_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "echo.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with running("serve", "--unix", str(path)) as process:
            assert ends_within(process, SOON + 10) == 1
            assert errors_of(process).read().decode().endswith(f"{path}: address already in use\n")
        assert path.exists()


def test_pipes_that_do_not_wait_lose_nothing() -> None:
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    theirs.setblocking(False)
    os.set_blocking(writing, False)
    lines = [f"{number} {'x' * 1000}" for number in range(500)]
    with (
        serving() as uri,
        ours,
        theirs,
        open(reading, "rb") as printed,
        subprocess.Popen(
            [*FASTFRAME, "connect", uri],
            stdin=theirs.fileno(),
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        try:
            os.close(writing)
            theirs.close()
            ours.sendall(f"{lines[0]}\n".encode())
            assert printed.readline().decode() == f"{lines[0]}\n"
            # Somebody who types: the next line is not there yet.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            rest = "".join(f"{line}\n" for line in lines[1:]).encode()
            sending = threading.Thread(target=ours.sendall, args=(rest,), daemon=True)
            sending.start()
            # Somebody who reads late: the pipe is full by then.
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.5)
            written = printed.read(len(rest))
            sending.join(LIMIT)
            ours.shutdown(socket.SHUT_WR)
            written += printed.read()
            assert written.decode().splitlines() == lines[1:]
            assert process.wait(LIMIT) == 0
        finally:
            process.kill()
