"""The way out: what the socket takes at once, what the transport gets, and that all of it stays in order."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import eventually, every_loop, spin

from fastframe.aio.transport import Outlet

LIMIT = 10_000


class Flow(asyncio.Protocol):
    """Notes whether writing is paused, and goes on as `SocketProtocol` does."""

    outlet: Outlet
    paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.outlet.resume()


@asynccontextmanager
async def outlet() -> AsyncIterator[tuple[Outlet, Flow, Any, socket.socket]]:
    """An outlet, its protocol and transport, and the socket at the other end."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    transport, flow = await loop.create_connection(Flow, sock=ours)
    transport.set_write_buffer_limits(high=LIMIT)
    flow.outlet = Outlet(transport, loop, LIMIT)
    try:
        yield flow.outlet, flow, transport, theirs
    finally:
        transport.abort()
        theirs.close()
        await spin(3)


async def read(theirs: socket.socket, size: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < size:
        data += await loop.sock_recv(theirs, 65536)
    return data


@every_loop
async def test_what_the_socket_takes_never_reaches_the_transport() -> None:
    async with outlet() as (out, flow, transport, theirs):
        for number in range(20):
            out.write(b"%d " % number)
            assert transport.get_write_buffer_size() == 0
        expected = b"".join(b"%d " % number for number in range(20))
        assert theirs.recv(1000) == expected  # at once, without a turn of the loop
        assert out.waiting == 0 and not flow.paused


@every_loop
async def test_all_comes_in_order_however_it_was_written() -> None:
    source = random.Random(5)
    pieces = [source.randbytes(source.choice([1, 1000, 70_000, 300_000, 2_000_000])) for _ in range(40)]
    async with outlet() as (out, flow, _, theirs):
        reading = asyncio.ensure_future(read(theirs, sum(map(len, pieces))))
        for number, piece in enumerate(pieces):
            await eventually(lambda: not flow.paused, "the network has taken enough")
            if number % 7 == 0:
                out.write_two(piece[:10], piece[10:])
            else:
                out.write(piece)
            await spin(source.randrange(3))
        assert await reading == b"".join(pieces)
        await eventually(lambda: out.waiting == 0, "nothing waits")


@every_loop
async def test_what_was_written_to_the_transport_before_comes_first() -> None:
    async with outlet() as (out, _, transport, theirs):
        transport.write(b"a" * 3_000_000)
        out.write(b"b")
        assert out.waiting > 1
        assert await read(theirs, 3_000_001) == b"a" * 3_000_000 + b"b"


@every_loop
async def test_what_waits_is_counted_and_pauses_writing() -> None:
    data = bytes(5_000_000)
    async with outlet() as (out, flow, _, theirs):
        out.write(data)
        assert flow.paused
        taken = len(data) - out.waiting
        assert 0 < taken < len(data)
        assert len(await read(theirs, len(data))) == len(data)
        await eventually(lambda: not flow.paused and out.waiting == 0, "all has left")


@every_loop
async def test_finish_leaves_nothing_behind_a_transport_that_is_closed() -> None:
    data = random.Random(1).randbytes(4_000_000)
    async with outlet() as (out, _, transport, theirs):
        out.write(data)
        out.finish(b"the end")
        transport.write_eof()
        assert await read(theirs, len(data) + 7) == data + b"the end"
        assert await asyncio.get_running_loop().sock_recv(theirs, 1) == b""


@every_loop
async def test_nothing_follows_a_write_that_was_cut_short_by_an_abort() -> None:
    async with outlet() as (out, _, transport, theirs):
        out.write(b"a" * 3_000_000)
        waiting = out.waiting
        assert waiting > 0
        taken = b""
        while len(taken) < 3_000_000 - waiting:  # so that there is room again
            taken += theirs.recv(1_000_000)
        transport.abort()
        out.write(b"b" * 1000)
        await spin(3)
        while piece := theirs.recv(1_000_000):
            taken += piece
        assert set(taken) == set(b"a")


@every_loop
async def test_a_peer_that_is_gone_is_the_transports_to_notice() -> None:
    async with outlet() as (out, _, transport, theirs):
        theirs.close()
        out.write(b"a")
        out.write(b"b")
        await eventually(transport.is_closing, "the transport has noticed")


@every_loop
async def test_tls_goes_through_the_transport() -> None:
    class Encrypted:
        """A transport that tells of TLS; what it is given would be in plain text on the socket."""

        def __init__(self, transport: Any) -> None:
            self.written: list[bytes] = []
            self._transport = transport

        def get_extra_info(self, name: str) -> Any:
            return (
                ssl.create_default_context() if name == "sslcontext" else self._transport.get_extra_info(name)
            )

        def get_write_buffer_size(self) -> int:
            return 0

        def write(self, data: bytes) -> None:
            self.written.append(bytes(data))

    async with outlet() as (_, _, transport, theirs):
        encrypted = Encrypted(transport)
        out = Outlet(encrypted, asyncio.get_running_loop(), LIMIT)
        out.write(b"secret")
        assert encrypted.written == [b"secret"]
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
