"""Peers that are silent or take nothing; time is simulated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    eventually,
    simulated,
    spin,
)
from callback_form import SIDES as CALLBACK_SIDES
from raw_peer import (
    raw_pair,
    served,
)
from wire import data_frame

from fastframe import (
    ConnectionClosedError,
    ConnectionClosedOK,
    Role,
    State,
)

SIDES: dict[Role, Any] = {Role.SERVER: served, Role.CLIENT: raw_pair}
FORMS = pytest.mark.parametrize("form", ["coroutine", "callback"])
BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


# The peer is silent.


@BOTH
@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (5, 20), (20, 5)])
@simulated
async def test_half_open_peer_is_given_up(role: Role, interval: float, timeout: float) -> None:
    async with SIDES[role](ping_interval=interval, ping_timeout=timeout) as (peer, ws):
        before = clock().time()
        receiving = asyncio.ensure_future(ws.recv())
        done, _ = await asyncio.wait([receiving], timeout=10 * (interval + timeout))
        ws.transport.abort()
        assert done, "the peer was never given up"
        with pytest.raises(ConnectionClosedError, match="silent.*sent 1011|sent 1011.*silent"):
            await receiving
        assert interval + timeout <= clock().time() - before <= interval + 2 * timeout + 0.1
        frames = [await peer.frame() for _ in range(2)]
        assert frames[0].opcode == 9
        assert frames[-1].payload.startswith((1011).to_bytes(2, "big")) or frames[-1].opcode == 9


@BOTH
@simulated
async def test_peer_that_takes_nothing_is_given_up_and_the_buffer_named(role: Role) -> None:
    async with SIDES[role]() as (_, ws):
        sending = asyncio.ensure_future(ws.send(bytes(60_000_000)))
        done, _ = await asyncio.wait([sending], timeout=600)
        ws.transport.abort()
        assert done, "the peer was never given up"
        with pytest.raises(ConnectionClosedError, match="bytes unsent"):
            await sending


@BOTH
@simulated
async def test_blocked_loop_is_not_the_peers_fault(role: Role) -> None:
    async with SIDES[role](ping_interval=20, ping_timeout=10) as (peer, ws):
        blocked = 0

        async def answer_late() -> None:
            nonlocal blocked
            while True:
                frame = await peer.frame()
                assert frame.opcode == 9, frame
                blocked += 1
                clock().block(500)
                await peer.send(data_frame(role, 10, frame.payload))

        answering = asyncio.ensure_future(answer_late())
        await asyncio.wait([answering], timeout=3000)
        assert not answering.done() and blocked >= 5
        answering.cancel()
        await asyncio.wait([answering])
        assert ws.ready_state is State.OPEN


@BOTH
@simulated
async def test_any_byte_is_a_sign_of_life(role: Role) -> None:
    async with SIDES[role](ping_interval=20, ping_timeout=20, max_size=None) as (peer, ws):
        wire = data_frame(role, 2, b"x" * 100)
        for byte in wire:
            await peer.send(bytes([byte]))
            await asyncio.sleep(9)
        assert await ws.recv() == b"x" * 100
        assert ws.ready_state is State.OPEN


@BOTH
@simulated
async def test_latency_is_measured_by_keepalive(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        assert ws.latency == 0
        frame = await peer.frame()
        await asyncio.sleep(0.25)
        await peer.send(data_frame(role, 10, frame.payload))
        await asyncio.sleep(0.25)
        assert ws.latency == pytest.approx(0.25, abs=0.02)


@BOTH
@simulated
async def test_without_ping_interval_no_ping_is_sent(role: Role) -> None:
    async with SIDES[role](ping_interval=None) as (peer, ws):
        await asyncio.sleep(10_000)
        await ws.send("first")
        assert (await peer.frame()).payload == b"first"


@BOTH
@simulated
async def test_close_ends_though_the_peer_takes_nothing(role: Role) -> None:
    async with SIDES[role](close_timeout=6, ping_interval=None) as (_, ws):
        sending = asyncio.ensure_future(ws.send(bytes(60_000_000)))
        await eventually(lambda: ws.buffered_amount > 1_000_000, "the buffers are full")
        before = clock().time()
        await ws.close()
        assert clock().time() - before == pytest.approx(6, abs=0.2)
        with pytest.raises(ConnectionClosedError, match="6 s"):
            await sending


@BOTH
@simulated
async def test_half_closed_peer_that_takes_nothing_is_given_up(role: Role) -> None:
    """After its FIN there is nothing to wait for but our own buffer."""
    async with SIDES[role](close_timeout=6, ping_interval=None) as (peer, ws):
        sending = asyncio.ensure_future(ws.send(bytes(60_000_000)))
        await eventually(lambda: ws.buffered_amount > 1_000_000, "the buffers are full")
        peer.half_close()
        done, _ = await asyncio.wait([sending], timeout=600)
        ws.transport.abort()
        assert done, "send waits for ever"
        with pytest.raises(ConnectionClosedError):
            await sending


@BOTH
@simulated
async def test_peer_that_nobody_listens_to_is_not_blamed_for_silence(role: Role) -> None:
    """Its pongs wait behind the messages that the application does not take."""
    block = bytes(100_000)
    async with SIDES[role](max_queue=50_000) as (peer, ws):
        await peer.send(data_frame(role, 2, block))
        await eventually(lambda: not ws.transport.is_reading(), "reading paused")
        await asyncio.sleep(1000)
        assert ws.ready_state is State.OPEN
        assert await ws.recv() == block
        await peer.send(data_frame(role, 1, b"still here"))
        assert await ws.recv() == "still here"


@BOTH
@simulated
async def test_peer_that_nobody_listens_to_is_given_up_if_it_takes_nothing(role: Role) -> None:
    async with SIDES[role](max_queue=50_000) as (peer, ws):
        await peer.send(data_frame(role, 2, bytes(100_000)))
        await eventually(lambda: not ws.transport.is_reading(), "reading paused")
        sending = asyncio.ensure_future(ws.send(bytes(60_000_000)))
        done, _ = await asyncio.wait([sending], timeout=600)
        ws.transport.abort()
        assert done, "the peer was never given up"
        with pytest.raises(ConnectionClosedError, match="bytes unsent"):
            await sending


# The peer takes what waits for it.


async def take(peer: Any, size: int) -> None:
    """Read so many bytes, and keep none."""
    while size > 0:
        data = await peer.loop.sock_recv(peer.sock, min(size, 1 << 18))
        assert data, "the connection was ended"
        size -= len(data)


@contextlib.asynccontextmanager
async def opened(role: Role, form: str, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
    callback = CALLBACK_SIDES[role]
    async with callback(Recorder, **options) if form == "callback" else SIDES[role](**options) as pair:
        yield pair


@FORMS
@BOTH
@pytest.mark.parametrize("is_heard", [False, True], ids=["reading", "reading-paused"])
@simulated
async def test_peer_that_takes_a_long_message_is_kept(role: Role, form: str, is_heard: bool) -> None:
    """The ping is far behind in what it takes; or it is at the ping, and nobody listens to its pongs."""
    size, piece = 60_000_000, 5_000_000
    async with opened(role, form, ping_interval=5, ping_timeout=10, max_queue=50_000) as (peer, ws):
        if is_heard:
            ws.pause_reading()
            await peer.send(data_frame(role, 10, b"still here"))
        sending: Any = ws.send(bytes(size))
        if form == "coroutine":
            sending = asyncio.ensure_future(sending)
        for _ in range(size // piece):
            await asyncio.sleep(9)
            await take(peer, piece)
        assert ws.ready_state is State.OPEN
        if form == "coroutine":
            await sending


@BOTH
@simulated
async def test_peer_is_kept_though_as_much_comes_as_it_takes(role: Role) -> None:
    waiting = 2_000_000
    options = {"ping_interval": 5, "ping_timeout": 10, "write_limit": 4 * waiting}
    async with opened(role, "callback", **options) as (peer, ws):
        while ws.buffered_amount < waiting:
            ws.send(bytes(100_000))
            await asyncio.sleep(0)
        for _ in range(200):
            await take(peer, 3_000_000)
            await spin(5)
            missing = waiting - ws.buffered_amount
            while missing > 0:
                ws.send(bytes(missing))
                await asyncio.sleep(0)
                missing = waiting - ws.buffered_amount
            assert not ws._writing_paused
            await asyncio.sleep(1)
        assert ws.ready_state is State.OPEN


@BOTH
@simulated
async def test_what_is_added_is_no_sign_of_a_peer_that_takes_nothing(role: Role) -> None:
    options = {"ping_interval": 5, "ping_timeout": 10, "write_limit": 8_000_000}
    async with opened(role, "callback", **options) as (_, ws):
        while not ws.buffered_amount:
            ws.send(bytes(100_000))
            await asyncio.sleep(0)
        before = clock().time()
        while ws.ready_state is State.OPEN and clock().time() < before + 100:
            ws.send(bytes(1000))
            await asyncio.sleep(0.5)
        assert 10 <= clock().time() - before < 30
        await ws.closed


@BOTH
@simulated
async def test_what_the_system_takes_is_no_sign_of_a_peer_that_is_gone(role: Role) -> None:
    """It has room for long after the peer's last byte."""
    async with opened(role, "callback", ping_interval=5, ping_timeout=10) as (_, ws):
        before = clock().time()
        while ws.ready_state is State.OPEN and clock().time() < before + 100:
            ws.send(bytes(10))
            await asyncio.sleep(0.5)
        assert 10 <= clock().time() - before < 30
        await ws.closed


# The peer has said goodbye.


@BOTH
@simulated
async def test_peer_that_closes_behind_messages_is_not_pinged_to_death(role: Role) -> None:
    async with SIDES[role](ping_interval=1, ping_timeout=1) as (peer, ws):
        frames = [(2, b"one"), (2, b"two"), (8, (1000).to_bytes(2, "big"))]
        await peer.send(b"".join(data_frame(role, opcode, payload) for opcode, payload in frames))
        for message in (b"one", b"two"):
            assert await ws.recv() == message
            await asyncio.sleep(5)
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        assert ws.close_code == 1000
