"""A peer that leaves behind more than is read of it: who waits for the end learns of that all the same."""

from __future__ import annotations

import asyncio
import select
import time
from typing import Any

import pytest
from aio_support import eventually, every_loop
from raw_peer import RawPeer, served
from wire import data_frame

from fastframe import ConnectionClosedError, Role, WebSocketStream
from fastframe.aio.hangup import has_hung_up

MESSAGE = b"x" * 1000
TIMEOUT = 0.2

linux = pytest.mark.skipif(
    not hasattr(select, "POLLRDHUP"), reason="not run: only Linux tells of a FIN unread"
)


async def fill(peer: RawPeer, ws: WebSocketStream, most: int = 100_000) -> int:
    """Send until neither the queue nor the system takes more, or `most` messages."""
    sent = 0
    while sent < most:
        try:
            await asyncio.wait_for(peer.send(data_frame(Role.SERVER, 2, MESSAGE) * 100), 0.2)
        except asyncio.TimeoutError:
            break
        sent += 100
    await eventually(lambda: ws._reading_paused, "the queue is full")
    return sent


async def take_all(ws: WebSocketStream, taken: list[Any], pauses: int = 0) -> None:
    while True:
        taken.append(await ws.recv())
        if len(taken) < pauses:
            await asyncio.sleep(TIMEOUT / 2)


# What a half-closing peer has sent has to fit into the receive buffer: a FIN held back by a full window
# comes never, nor is there a reset in its place.
@linux
@pytest.mark.parametrize(
    ("how", "most"), [("close", 100_000), ("reset", 100_000), ("close", 400), ("half_close", 300)]
)
@every_loop
async def test_waiting_for_the_end_alone_notices_it(how: str, most: int) -> None:
    async with served(ping_interval=None, close_timeout=TIMEOUT) as (peer, ws):
        await fill(peer, ws, most)
        assert not has_hung_up(ws.transport)
        getattr(peer, how)()
        await asyncio.wait_for(ws.wait_closed(), 20 * TIMEOUT)
        # What had been read is still there to be taken.
        taken: list[Any] = []
        with pytest.raises(ConnectionClosedError, match="hung up"):
            await take_all(ws, taken)
        assert taken[0] == MESSAGE


@linux
@every_loop
async def test_a_peer_that_stays_is_not_given_up() -> None:
    async with served(ping_interval=None, close_timeout=TIMEOUT) as (peer, ws):
        await fill(peer, ws)
        # Somebody waits for the end: the handler.
        await eventually(lambda: ws._look_timer is not None, "it is looked at")
        await asyncio.sleep(5 * TIMEOUT)
        assert ws._look_timer is not None
        assert await ws.recv() == MESSAGE


@linux
@every_loop
async def test_nothing_is_lost_of_a_peer_that_has_left_while_somebody_takes_messages() -> None:
    async with served(ping_interval=None, close_timeout=TIMEOUT) as (peer, ws):
        sent = await fill(peer, ws, 600)
        peer.half_close()
        taken: list[Any] = []
        with pytest.raises(ConnectionClosedError):
            await take_all(ws, taken, pauses=15)
        assert len(taken) == sent


@pytest.mark.parametrize("is_full", [False, True])
@every_loop
async def test_without_a_close_timeout_the_looks_have_their_time(is_full: bool) -> None:
    async with served(ping_interval=None, close_timeout=0) as (peer, ws):
        await fill(peer, ws)
        if is_full:
            while not ws._writing_paused:
                ws.offer(bytes(1 << 20))
                await asyncio.sleep(0)
        waiting = asyncio.ensure_future(ws.wait_closed())
        unsent, used = ws.buffered_amount, time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - used < 0.25
        # A pong at each look, but none where others bytes wait.
        assert ws.buffered_amount == unsent
        if not is_full:
            assert 1 < len(await peer.loop.sock_recv(peer.sock, 65536)) < 40
        ws.transport.abort()
        await waiting
