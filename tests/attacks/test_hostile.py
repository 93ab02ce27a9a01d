"""Every attack of a server on our client in a process of its own: ``make attacks ATTACKS="-k hostile"``."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aio_support import tls_contexts
from attacks import hostile
from attacks.process import Process, Variant, require
from raw_peer import RawPeer, RawServer, acceptance, raw_server

from fastframe import InvalidResponse, connect

CLIENTS = [
    Variant(half, loop, form)
    for half in ("compiled", "pure")
    for loop in ("asyncio", "uvloop")
    for form in ("coroutine", "callback")
]

GROWTH = 10
"""MiB that an attack may cost: one read inflates to 4, a message has 1, a read 1/4."""
RETURN = 6
"""MiB that may stay: the allocator keeps some of what was freed."""
TAKEN, STALL = 4.0, 1.0
"""Seconds that a visit may take, 2 of which may be time limits, and for which the loop may be held up."""
SETTLING = 3.0
"""Seconds in which memory and descriptors have to be back."""


class Visitor(Process):
    """The client's process."""

    def __init__(self, variant: Variant) -> None:
        super().__init__("visitor.py", variant)

    def visit(self, uri: str) -> str:
        """How the visit ended; it may have taken long, or left tasks, which fails."""
        self.tell(uri)
        line = self.line(3 * TAKEN)
        assert line, f"no end of a visit, or the end of {self.variant}"
        outcome, taken, stall, tasks = line.split("\t")
        assert float(taken) <= TAKEN, f"{outcome} after {taken} s"
        assert float(stall) <= STALL, f"the event loop was held up for {stall} s"
        assert tasks == "0", f"{tasks} tasks are left"
        return outcome

    def check_return(self, memory: float, descriptors: int) -> None:
        end = time.monotonic() + SETTLING
        while self.memory - memory > RETURN or self.descriptors > descriptors:
            left = f"{self.memory - memory:.1f} MiB, {self.descriptors - descriptors} descriptors"
            assert time.monotonic() < end, f"{left} are left"
            time.sleep(0.02)


@asynccontextmanager
async def playing(server: RawServer, play: hostile.Play) -> AsyncIterator[list[int]]:
    """Play on each connection that comes; it gives the codes of the close frames that came."""
    codes: list[int] = []

    async def converse(peer: RawPeer) -> None:
        with suppress(OSError, AssertionError), peer.sock:
            await play(peer, await peer.head())
            while (frame := await peer.frame()).opcode != 8:
                pass
            codes.append(struct.unpack("!H", frame.payload[:2])[0])
            await peer.send(hostile.frame(8, frame.payload))

    async def accept() -> None:
        while True:
            sock, _ = await asyncio.get_running_loop().sock_accept(server.sock)
            tasks.append(asyncio.ensure_future(converse(RawPeer(sock))))

    tasks = [asyncio.ensure_future(accept())]
    try:
        yield codes
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), repr(result)


async def outcomes(visitor: Visitor, plays: list[hostile.Play]) -> set[str]:
    """How each visit ended; the code that the server was told has to be the one that the client knows of."""
    found = set()
    for play in plays:
        async with raw_server() as server, playing(server, play) as codes:
            outcome = await asyncio.to_thread(visitor.visit, server.uri)
        found.add(outcome)
        assert not codes or outcome.endswith(f" {codes[0]}"), (outcome, codes)
    return found


async def harmless(peer: RawPeer, request: bytes) -> None:
    await peer.send(acceptance(request, hostile.DEFLATE) + hostile.frame(2, bytes(1000)) + hostile.BYE)


@pytest.fixture(scope="module", params=CLIENTS, ids=str)
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    require(request.param)
    client = Visitor(request.param)
    # What it imports, and the buffers that it keeps, are no growth of an attack's.
    assert asyncio.run(outcomes(client, [harmless] * 5)) == {"ConnectionClosedOK 1000"}
    yield client
    client.stop()


@pytest.mark.parametrize("attack", hostile.HOSTILE, ids=lambda attack: attack.name)
def test_hostile_server(visitor: Visitor, attack: hostile.HostileServer) -> None:
    memory, descriptors = visitor.memory, visitor.descriptors
    visitor.forget_peak()
    found = asyncio.run(outcomes(visitor, attack.plays()))
    assert found <= set(attack.answer.split(" or ")), found
    assert visitor.peak - memory <= GROWTH, f"grew by {visitor.peak - memory:.1f} MiB"
    visitor.check_return(memory, descriptors)


def test_redirection_from_tls_to_none() -> None:
    """``wss`` to ``ws`` is refused, whatever else the answer says."""
    server_tls, client_tls = tls_contexts()

    async def redirect(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(hostile.redirection(b"ws://127.0.0.1:9/"))
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(redirect, "127.0.0.1", 0, ssl=server_tls) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(InvalidResponse, match="insecure"):
                await connect(f"wss://127.0.0.1:{port}/", ssl=client_tls)

    asyncio.run(asyncio.wait_for(run(), 10))
