"""Proxies to test against: one that notes what it is asked, and real ones in a process of their own."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest


def forget_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine's proxies out of the environment."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Relay:
    """An HTTP proxy that does as it is asked, and keeps the heads of the requests.

    Whatever host it is asked for, it connects to 127.0.0.1.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.port = 0
        self._ends: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            # uvloop raises RuntimeError for writing after the end.
            with suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                port = int(head.split(b" ")[1].rpartition(b":")[2])
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                ends.append(far_writer)
                self._ends += ends
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        finally:
            for end in ends:
                end.close()
            for end in ends:
                with suppress(OSError):
                    await end.wait_closed()
            self._tasks.discard(task)

    async def finish(self) -> None:
        """Wait until every tunnel is closed."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Drop every tunnel."""
        for end in self._ends:
            end.transport.abort()

    @property
    def targets(self) -> list[str]:
        """What was asked for."""
        return [head.split(b" ")[1].decode() for head in self.heads]


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    except OSError:
        pass
    # TLS knows no half.
    writer.close()


@asynccontextmanager
async def relay(tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """An HTTP proxy in the test's own event loop; behind TLS if a context is given."""
    proxy = Relay()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
        await asyncio.wait_for(proxy.finish(), 5)
    finally:
        server.close()


# Real ones.

PPROXY = """
import asyncio, sys, pproxy

async def main():
    for uri in sys.argv[1:]:
        # It would let in an address for a month that has had the right password once.
        server = await pproxy.Server(uri).start_server({"rserver": [], "authtime": -1})
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def pproxy(*uris: str) -> Iterator[list[int]]:
    """The ports of pproxy servers; of each URI such as ``socks5://127.0.0.1:0#user:password``."""
    command = [sys.executable, "-c", PPROXY, *uris]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in uris]
            assert all(lines), "pproxy did not start"
            yield [int(line) for line in lines]
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            finally:
                process.kill()


@contextmanager
def proxy_py(*options: str) -> Iterator[int]:
    """The port of a proxy.py server."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", "0"]
        command += ["--num-acceptors", "1", "--num-workers", "1", "--log-level", "error"]
        command += ["--data-dir", folder, "--port-file", str(port_file), *options]
        with subprocess.Popen(command) as process:
            try:
                deadline = time.monotonic() + 20
                while not (port_file.exists() and port_file.read_text().strip()):
                    assert process.poll() is None and time.monotonic() < deadline, "proxy.py did not start"
                    time.sleep(0.02)
                yield int(port_file.read_text())
            finally:
                process.terminate()
                try:
                    process.wait(10)
                finally:
                    process.kill()
