"""What TLS answers by itself is told from what was written, and bounded; tests/attacks brings it about."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import clock, eventually, every_loop, simulated, tls_contexts, uri_of

from fastframe import ConnectionClosedError, WebSocketStream, connect, serve
from fastframe.aio import tls_answers
from fastframe.aio.tls_answers import MAX_ANSWERS


class Transport:
    """Of which a test says how much waits."""

    def __init__(self, context: object = "a context of TLS") -> None:
        self.context = context
        self.waiting = 0

    def get_extra_info(self, name: str) -> object:
        return {"sslcontext": self.context}[name]

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Connection:
    def __init__(self, context: object = "a context of TLS") -> None:
        self.transport = Transport(context)
        self.looks = 0
        self.is_dropped = False

    def watch(self) -> None:
        tls_answers.watch(self, self.transport, asyncio.get_running_loop())

    def discard(self) -> None:
        tls_answers.discard(self, asyncio.get_running_loop())

    def check_answers(self) -> None:
        self.looks += 1
        if tls_answers.are_too_many(self, self.transport, asyncio.get_running_loop()):
            self.is_dropped = True
            self.discard()


@simulated
async def test_what_was_written_is_not_counted_and_what_comes_behind_is() -> None:
    connection = Connection()
    connection.transport.waiting = 65_536
    connection.watch()
    connection.transport.waiting = 10_000_000  # the write that was under way
    found = []
    for more in (0, MAX_ANSWERS, 1):
        connection.transport.waiting += more
        connection.check_answers()
        found.append(connection.is_dropped)
    assert found == [False, False, True]
    connection.discard()


@simulated
async def test_it_is_found_without_a_read() -> None:
    connections = [Connection() for _ in range(3)]
    for connection in connections:
        connection.watch()
    await asyncio.sleep(0.3)
    assert not any(connection.is_dropped for connection in connections)
    connections[1].transport.waiting = MAX_ANSWERS + 1
    await asyncio.sleep(0.15)
    assert [connection.is_dropped for connection in connections] == [False, True, False]
    for connection in connections:
        connection.discard()


@simulated
async def test_writing_on_begins_anew() -> None:
    connection = Connection()
    connection.watch()
    connection.check_answers()
    connection.discard()
    connection.transport.waiting = 1_000_000
    connection.check_answers()
    connection.watch()
    await asyncio.sleep(0.15)
    connection.watch()
    connection.transport.waiting = 2_000_000
    await asyncio.sleep(0.15)
    assert not connection.is_dropped
    connection.discard()


@simulated
async def test_without_tls_nothing_is_watched() -> None:
    connection = Connection(None)
    connection.watch()
    connection.transport.waiting = 10_000_000
    await asyncio.sleep(1)
    connection.check_answers()
    assert (connection.looks, connection.is_dropped) == (1, False)


@simulated
async def test_nothing_stays_when_nobody_is_watched() -> None:
    connection = Connection()
    connection.watch()
    connection.discard()
    await asyncio.sleep(0.15)
    looks = connection.looks
    await asyncio.sleep(10)
    assert connection.looks == looks
    gc.collect()
    assert tls_answers._of(clock()) is None


@asynccontextmanager
async def tls_pair() -> AsyncIterator[tuple[WebSocketStream, WebSocketStream]]:
    """Both ends of a connection with TLS, the server's first."""
    accepted: asyncio.Future[WebSocketStream] = asyncio.get_running_loop().create_future()

    async def handler(ws: WebSocketStream) -> None:
        accepted.set_result(ws)
        await ws.wait_closed()

    server_tls, client_tls = tls_contexts()
    options: dict[str, Any] = {"compression": None, "max_size": None}
    async with (
        serve(handler, "127.0.0.1", 0, ssl=server_tls, **options) as server,
        connect(uri_of(server, scheme="wss"), ssl=client_tls, **options) as ws,
    ):
        yield await accepted, ws


@every_loop
async def test_a_peer_that_is_slow_to_take_what_an_application_sends_is_not_dropped() -> None:
    """However much that is, and though its own messages are read meanwhile."""
    data = random.Random(1).randbytes(24_000_000)

    async def send_twice(ws: WebSocketStream) -> None:
        await ws.send(data)
        await ws.send(data)

    async with tls_pair() as (ours, theirs):
        theirs.pause_reading()
        sending = asyncio.ensure_future(send_twice(ours))
        await eventually(lambda: ours._writing_paused, "more is sent than is taken")
        for number in range(10):
            await theirs.send(str(number))
            assert await ours.recv() == str(number)
            await asyncio.sleep(0.04)
        assert ours._writing_paused and not sending.done()
        theirs.resume_reading()
        assert await theirs.recv() == data
        assert await theirs.recv() == data
        await sending


class More:
    """A transport with more waiting than was written."""

    def __init__(self, transport: Any, size: int) -> None:
        self._transport = transport
        self._size = size
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True
        self._transport.abort()

    def get_write_buffer_size(self) -> int:
        return int(self._transport.get_write_buffer_size()) + self._size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@every_loop
async def test_a_read_finds_it_at_once() -> None:
    async with tls_pair() as (ours, theirs):
        transport = ours._transport
        ours.pause_writing()
        ours.get_buffer(-1)
        ours._transport = More(transport, MAX_ANSWERS)
        ours.get_buffer(-1)
        assert not transport.is_closing()
        ours._transport = More(transport, MAX_ANSWERS + 1)
        ours.get_buffer(-1)
        assert transport.is_closing()
        with pytest.raises(ConnectionClosedError, match="took none of what TLS answered"):
            await ours.recv()
        with pytest.raises(ConnectionClosedError):
            await theirs.recv()


@every_loop
async def test_it_is_found_while_the_transport_closes() -> None:
    async with tls_pair() as (ours, theirs):
        theirs.pause_reading()  # or it would be closed at once
        transport = ours._transport
        ours.close_transport()
        await asyncio.sleep(0.15)
        ours._transport = more = More(transport, MAX_ANSWERS + 1)
        await eventually(lambda: more.is_aborted, "it was found")
        theirs.resume_reading()
        with pytest.raises(ConnectionClosedError):
            await theirs.recv()
