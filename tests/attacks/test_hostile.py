"""Every attack of a server on our client, whose process must not grow."""

from __future__ import annotations

import asyncio
import resource
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aio_support import tls_contexts
from attacks import hostile
from attacks.target import MIB
from raw_peer import RawPeer, raw_server

from fastframe import ConnectionClosed, InvalidResponse, connect

GROWTH = 64
"""MiB: the attacks send hundreds, and the attacker is in this process, too."""


def resident() -> float:
    if Path("/proc/self/status").exists():
        return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


async def outcome_of(attack: hostile.HostileServer) -> str:
    async with raw_server() as server:
        told: list[bytes] = []

        async def converse(peer: RawPeer) -> None:
            with suppress(OSError, AssertionError):
                await attack.play(peer, await peer.head())
                while (frame := await peer.frame()).opcode != 8:
                    pass
                told.append(frame.payload)

        async def play() -> None:
            while True:
                sock, _ = await asyncio.get_running_loop().sock_accept(server.sock)
                conversing.append(asyncio.ensure_future(converse(RawPeer(sock))))

        conversing: list[asyncio.Future[None]] = []
        playing = asyncio.ensure_future(play())
        try:
            async with connect(server.uri, open_timeout=1.5, close_timeout=0.3) as ws:
                await ws.recv()
        except (ConnectionClosed, OSError, Exception) as error:  # noqa: BLE001
            outcome = type(error).__name__
            if isinstance(error, ConnectionClosed) and error.sent is not None:
                outcome += f" {error.sent.close_code}"
            return outcome
        finally:
            for task in (playing, *conversing):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            assert not told or struct.unpack("!H", told[0][:2])[0] in (1002, 1009)
        return "nothing happened"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("attack", hostile.HOSTILE, ids=lambda attack: attack.name)
def test_hostile_server(attack: hostile.HostileServer) -> None:
    before = resident()
    assert asyncio.run(asyncio.wait_for(outcome_of(attack), 20)) == attack.answer
    assert resident() - before <= GROWTH


def test_redirection_from_tls_to_none() -> None:
    """``wss`` to ``ws`` is refused, whatever else the answer says."""
    server_tls, client_tls = tls_contexts()

    async def redirect(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=server_tls) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(InvalidResponse, match="insecure"):
                await connect(f"wss://127.0.0.1:{port}/", ssl=client_tls)
            # A certificate that nobody vouches for.
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(f"wss://127.0.0.1:{port}/")

    asyncio.run(asyncio.wait_for(run(), 10))
