"""How connections over TLS end, whose transports forget what they knew: nobody hangs, everybody is told."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import every_loop, port_of, tls_contexts
from log_support import logging_at

from fastframe import ConnectionClosedError, Server, WebSocket, WebSocketStream, broadcast, connect, serve

LIMIT = 10.0


@asynccontextmanager
async def serving(handler: Any, **options: Any) -> AsyncIterator[tuple[Server, str, ssl.SSLContext]]:
    ours, theirs = tls_contexts()
    async with serve(handler, "127.0.0.1", 0, ssl=ours, **options) as server:
        yield server, f"wss://127.0.0.1:{port_of(server)}/", theirs


@every_loop
async def test_whoever_waits_learns_that_the_peer_is_gone() -> None:
    ended = asyncio.get_running_loop().create_future()

    async def handle(ws: WebSocketStream) -> None:
        try:
            async for _ in ws:
                pass
        except ConnectionClosedError as error:
            ended.set_result((error, ws.remote_address, ws.buffered_amount, repr(ws)))

    # The setting of many a service, with which an abnormal end is told.
    with logging_at(logging.INFO) as log:
        async with serving(handle) as (_, uri, context):
            ws = await connect(uri, ssl=context)
            here = ws.local_address
            waiting = [asyncio.ensure_future(wait()) for wait in (ws.recv, ws.wait_closed)]
            await asyncio.sleep(0.05)
            ws.transport.abort()
            _, address, unsent, shown = await asyncio.wait_for(ended, LIMIT)
            assert (address, unsent) == (here, 0)
            assert str(here) in shown
            received, _ = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), LIMIT)
            assert isinstance(received, ConnectionClosedError)
            assert ws.remote_address is not None
    told = [line for name, line in log.records if name == "fastframe.server"]
    assert [line.partition(":")[0] for line in told] == ["127.0.0.1"]
    assert f"127.0.0.1:{here[1]} ended abnormally" in told[0]


@every_loop
async def test_a_broadcast_passes_over_who_is_gone() -> None:
    async def handle(ws: WebSocketStream) -> None:
        everybody.append(ws)
        await ws.wait_closed()

    everybody: list[WebSocketStream] = []
    async with serving(handle) as (_, uri, context):
        for end in ("close", "abort"):
            gone = await connect(uri, ssl=context)
            if end == "close":
                await gone.close()
            else:
                gone.transport.abort()
            await asyncio.wait_for(everybody[-1].wait_closed(), LIMIT)
        async with connect(uri, ssl=context) as ws:
            assert len(everybody) == 3
            broadcast(everybody, "news")
            assert await asyncio.wait_for(ws.recv(), LIMIT) == "news"


@every_loop
async def test_on_close_knows_whose_end_it_was() -> None:
    told = asyncio.get_running_loop().create_future()

    class Telling(WebSocket):
        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            told.set_result((close_code, self.remote_address, self.buffered_amount))

    async with serving(Telling) as (_, uri, context):
        ws = await connect(uri, ssl=context)
        here = ws.local_address
        ws.transport.abort()
        assert await asyncio.wait_for(told, LIMIT) == (1006, here, 0)


@pytest.mark.parametrize(("count", "size"), [(1, 100), (2, 100), (4, 100), (1, 300_000), (3, 300_000)])
@every_loop
async def test_without_a_limit_for_what_waits_all_is_sent(count: int, size: int) -> None:
    messages = [bytes([number]) * size for number in range(count)]

    async def handle(ws: WebSocketStream) -> None:
        await asyncio.gather(*(ws.send(message) for message in messages))
        await ws.wait_closed()

    async with serving(handle, write_limit=0) as (_, uri, context), connect(uri, ssl=context) as ws:
        for message in messages:
            assert await asyncio.wait_for(ws.recv(), LIMIT) == message
