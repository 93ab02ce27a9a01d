"""A client that asks something of TLS itself: it is answered, or ended; nothing hangs or grows."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from attacks.catalogue import frame
from attacks.process import Variant, require
from attacks.target import MIB, Target, request
from attacks.tls_floods import Flood, KeyUpdates, Renegotiations
from certificates import self_signed
from raw_peer import split_frame

# TLS is the event loop's: of the halves and forms, each once.
VARIANTS = [Variant("compiled", "asyncio", "coroutine"), Variant("pure", "uvloop", "callback")]
FLOODED = [
    Variant(half, loop, form)
    for half in ("compiled", "pure")
    for loop in ("asyncio", "uvloop")
    for form in ("coroutine", "callback")
]
FLOODED += [Variant("compiled", "asyncio", "uvicorn"), Variant("pure", "uvloop", "uvicorn")]
ENDING, TIMES, GROWTH = 5.0, 15, 6
"""Seconds in which a connection has to be gone; how often it is asked for; MiB that this may cost."""
ENOUGH, TAKEN = 10 * MIB, 2 * MIB
"""Bytes after which a flood ends by itself; those within which it has to be ended."""


class Client:
    """A program of OpenSSL: what it is told goes to the server, but for a line that is a command."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-quiet", "-no_ign_eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._data = b""
        self.said = b""
        """On stderr, where it writes of its handshakes."""
        self.send(request("/echo", ""))
        head, _, self._data = self._more(lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def _more(self, is_enough: Callable[[bytes], bool]) -> bytes:
        assert self._process.stdout is not None
        return read(self._process.stdout, is_enough, self._data)

    def renegotiate(self) -> None:
        """Ask for it, and wait until that is on its way."""
        assert self._process.stderr is not None
        self.send(b"R\n")
        self.said = read(self._process.stderr, lambda data: b"RENEGOTIATING" in data)

    def is_echoed(self) -> bool:
        self.send(frame(2, b"echo"))
        while True:
            split = split_frame(self._more(lambda data: split_frame(data) is not None))
            assert split is not None, "the connection has ended"
            first, self._data = split
            if first.opcode == 2:
                return first.payload == b"echo"

    def complaint(self) -> str:
        """What it says when it ends by itself."""
        assert self._process.stderr is not None
        self.said += read(self._process.stderr, lambda data: False)
        assert self._process.wait(ENDING) != 0
        return self.said.decode()

    def stop(self) -> None:
        """Make it say nothing more, and leave the connection open."""
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


def read(pipe: IO[bytes], is_enough: Callable[[bytes], bool], data: bytes = b"") -> bytes:
    """`data`, and behind it what comes until it is enough, or until the end."""
    end = time.monotonic() + ENDING
    while not is_enough(data):
        left = end - time.monotonic()
        assert left > 0 and select.select([pipe], [], [], left)[0], f"nothing more after {data!r}"
        more = os.read(pipe.fileno(), 65_536)
        if not more:
            break
        data += more
    return data


@contextmanager
def client_of(target: Target) -> Iterator[Client]:
    client = Client(target.port)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return list(map(str, self_signed(Path(tmp_path_factory.mktemp("tls")))))


@contextmanager
def victim(variant: Variant, *tls: str) -> Iterator[Target]:
    """A server that is back to where it was at the end."""
    require(variant)
    target = Target(variant, *tls)
    try:
        descriptors = target.descriptors
        # The end of a first one imports modules, which are open files meanwhile.
        for _ in range(2):
            with client_of(target) as client:
                assert client.is_echoed()
            gone(target, descriptors)
        memory = target.memory
        target.forget_peak()
        yield target
        gone(target, descriptors)
        assert target.peak - memory <= GROWTH, f"grew by {target.peak - memory:.1f} MiB"
    finally:
        target.stop()


def gone(target: Target, descriptors: int) -> None:
    end = time.monotonic() + ENDING
    while target.descriptors > descriptors:
        assert time.monotonic() < end, f"{target.descriptors - descriptors} connections are left"
        time.sleep(0.02)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_renegotiation_is_refused(variant: Variant, files: list[str]) -> None:
    """OpenSSL answers with an alert, which clients take for the end; others are served on."""
    with victim(variant, *files) as target, client_of(target) as bystander:
        for _ in range(TIMES):
            with client_of(target) as client:
                assert client.is_echoed()
                client.renegotiate()
                assert "no renegotiation" in client.complaint()
            assert bystander.is_echoed()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_renegotiation_that_is_allowed(variant: Variant, files: list[str]) -> None:
    """The connection goes on as if nothing had been."""
    with victim(variant, *files, "renegotiable") as target, client_of(target) as client:
        for _ in range(TIMES):
            client.renegotiate()
            assert client.is_echoed()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_renegotiation_that_is_not_ended(variant: Variant, files: list[str]) -> None:
    """A client that begins one and is then silent is one whose pings are not answered."""
    with victim(variant, *files, "renegotiable") as target:
        before = target.descriptors
        with client_of(target) as client:
            os.kill(target.pid, signal.SIGSTOP)
            client.renegotiate()
            time.sleep(0.1)
            client.stop()
            os.kill(target.pid, signal.SIGCONT)
            assert target.descriptors == before + 1
            gone(target, before)


@pytest.mark.parametrize("flood", [Renegotiations, KeyUpdates], ids=lambda flood: flood.__name__)
@pytest.mark.parametrize("variant", FLOODED, ids=str)
def test_answers_of_which_none_is_taken(variant: Variant, flood: type[Flood], files: list[str]) -> None:
    """They are kept until there are 64 KiB more than what holds writing back, and that is the end."""
    # The callback form reads on while its answers are not taken only where it drops them.
    path = "/push" if variant.form == "callback" else "/echo"
    with victim(variant, *files, "flooded") as target:
        flooding = flood(target.port, path)
        try:
            assert flooding.run(ENOUGH) <= TAKEN
        finally:
            flooding.close()
