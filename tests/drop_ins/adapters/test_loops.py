"""What adapters do to the event loop's side: whom they let run, and how much is read at once."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from aio_support import eventually

from fastframe import adapters
from fastframe.adapters._transports import read_less_at_once
from fastframe.adapters.tornado import _WRITES_IN_A_ROW

WRITES = 80
SECONDS = 20


async def turns_of_another_task(install: bool) -> int:
    """How often another task runs while a handler awaits its writes, none of which has to wait."""
    web, websocket, server = (import_module(f"tornado.{name}") for name in ("web", "websocket", "httpserver"))
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Handler(websocket.WebSocketHandler):  # type: ignore[name-defined, misc]
        async def on_message(self, message: str) -> None:
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    await asyncio.sleep(0)
                    turns += 1

            task = asyncio.create_task(other())
            for _ in range(WRITES):
                await self.write_message("x")
            task.cancel()
            told.set_result(turns)

    sockets = import_module("tornado.netutil").bind_sockets(0, "127.0.0.1")
    running = server.HTTPServer(web.Application([("/", Handler)]))
    running.add_sockets(sockets)
    client = await websocket.websocket_connect(f"ws://127.0.0.1:{sockets[0].getsockname()[1]}/")
    with adapters.accelerated(*["tornado"] * install, strict=True):
        await client.write_message("begin")
        turns = await told
        for _ in range(WRITES):
            assert await client.read_message() == "x"
    client.close()
    running.stop()
    return turns


@pytest.mark.parametrize("install", [False, True])
def test_who_awaits_each_write_of_tornado_lets_others_run(install: bool) -> None:
    turns = asyncio.run(asyncio.wait_for(turns_of_another_task(install), SECONDS))
    assert turns >= WRITES // _WRITES_IN_A_ROW


class Noting(asyncio.Protocol):
    """Notes the sizes of the reads."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.sizes: list[int] = []
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set_result(None)


async def received(chosen: int | None, total: int) -> tuple[int, list[int]]:
    """What the transport asks for at once after the adapter has seen it, and what came."""
    loop = asyncio.get_running_loop()
    made: list[Noting] = []

    def make() -> Noting:
        made.append(Noting())
        return made[-1]

    async with await loop.create_server(make, "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await eventually(lambda: bool(made) and made[0].transport is not None, "it is connected")
        if chosen is not None:
            made[0].transport.max_size = chosen
        read_less_at_once()(made[0].transport)
        writer.write(bytes(total))
        writer.close()
        await made[0].gone
        return made[0].transport.max_size, made[0].sizes


@pytest.mark.parametrize(("chosen", "expected"), [(None, 120 * 1024), (5000, 5000), (1 << 20, 1 << 20)])
def test_reads_of_asyncios_transport_are_smaller_unless_somebody_has_chosen(
    chosen: int | None, expected: int
) -> None:
    size, sizes = asyncio.run(asyncio.wait_for(received(chosen, 3_000_000), SECONDS))
    assert size == expected
    assert sum(sizes) == 3_000_000
    assert max(sizes) <= expected


def test_other_transports_are_left_alone() -> None:
    class Another:
        max_size = 256 * 1024

    transport = Another()
    read_less_at_once()(transport)
    assert vars(transport) == {}
    read_less_at_once()(None)
