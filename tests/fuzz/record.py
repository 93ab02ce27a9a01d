"""``python -m fuzz.record``, in tests/: what the Autobahn testsuite sends, into the seed corpus.

A client of ours runs the cases through a relay that writes down what the fuzzing server sends behind its
answer to the handshake. Kept are whole frames, as many as fit into `LARGEST` bytes, and no stream twice.
Needs Python 2.7, as `make autobahn` does.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz.autobahn import RECORDED
from raw_peer import split_frame

import fastframe

TESTS = Path(__file__).resolve().parent.parent
# All but the large ones, 9.*, and of those with compression the shortest of each kind.
CASES = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*,12.*.1,13.*.1"
LARGEST = 600
CASE_SECONDS = 30


class Relay:
    """Stands before a server, and keeps what it sends."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self.sent = b""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sent = b""
        from_server, to_server = await asyncio.open_connection(*self._address)
        back = asyncio.ensure_future(self._forward(from_server, writer, keep=True))
        await self._forward(reader, to_server, keep=False)
        await back

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if keep:
                    self.sent += data
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def relay_to(uri: str) -> AsyncIterator[tuple[Relay, int]]:
    parts = urlsplit(uri)
    assert parts.hostname is not None and parts.port is not None
    relay = Relay(parts.hostname, parts.port)
    async with await asyncio.start_server(relay.accept, "127.0.0.1", 0) as server:
        yield relay, server.sockets[0].getsockname()[1]


async def _answer(uri: str) -> object:
    async with fastframe.connect(uri) as ws:
        return json.loads(await ws.recv())


async def _run_case(uri: str, port: int) -> None:
    with suppress(fastframe.ConnectionClosed):
        # Through the relay, and yet with the server's own name and port in Host.
        async with fastframe.connect(uri, port=port, max_size=None, max_fragments=None) as ws:
            async for message in ws:
                await ws.send(message)


def whole_frames(stream: bytes) -> bytes:
    """As many from the beginning as are not too large together."""
    size, rest = 0, stream
    while (split := split_frame(rest)) is not None and len(stream) - len(split[1]) <= LARGEST:
        rest = split[1]
        size = len(stream) - len(rest)
    return stream[:size]


async def record(uri: str, agent: str) -> dict[str, str]:
    """The streams of all cases that the server has, by the case's name, in hexadecimal digits."""
    found: dict[bytes, str] = {}
    async with relay_to(uri) as (relay, port):
        for number in range(1, int(str(await _answer(f"{uri}/getCaseCount"))) + 1):
            case = await _answer(f"{uri}/getCaseInfo?case={number}")
            assert isinstance(case, dict)
            running = _run_case(f"{uri}/runCase?case={number}&agent={agent}", port)
            await asyncio.wait_for(running, CASE_SECONDS)
            stream = whole_frames(relay.sent.partition(b"\r\n\r\n")[2])
            if stream:
                found.setdefault(stream, str(case["id"]))
    async with fastframe.connect(f"{uri}/updateReports?agent={agent}") as ws:
        await ws.wait_closed()
    return {case: stream.hex() for stream, case in found.items()}


def main() -> int:
    if len(sys.argv) == 3:
        streams = asyncio.run(record(*sys.argv[1:]))
        RECORDED.write_text(json.dumps(streams, indent=0) + "\n")
        return 0
    client = f"{sys.executable} {Path(__file__).resolve()} {{uri}} {{agent}}"
    command = [sys.executable, str(TESTS / "autobahn" / "run.py"), "--role", "client", "--jobs", "1"]
    command += ["--cases", CASES, "--client-command", client, "--accelerated", "--require"]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
