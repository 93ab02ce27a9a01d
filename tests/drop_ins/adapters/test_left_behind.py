"""What connections leave behind, and the order of what comes, with the adapter as without it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from fastframe import adapters

Installed = Callable[[], AbstractContextManager[Any]]

DEPTHS: dict[str, Installed] = {
    "none": contextlib.nullcontext,
    "frame": lambda: adapters.install("websockets", depth="frame", strict=True),
    "connection": lambda: adapters.install("websockets", strict=True),
}
ENDS = ["closed", "too big", "lost"]


async def end(ws: Any, how: str, compression: str | None) -> None:
    """A client's way to end a conversation, or to have it ended."""
    await ws.send("hello")
    assert await ws.recv() == "hello"
    if how == "too big":
        # Compressed, it is inflated to that.
        await ws.send("x" * 5000 if compression is None else bytes(range(256)) * 20)
    elif how == "lost":
        ws.transport.abort()
    await ws.wait_closed() if how != "closed" else await ws.close()


def is_left(installed: Installed, how: str, compression: str | None) -> bool:
    """Whether the server's end of a conversation waits for the garbage collector."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve
    from websockets.exceptions import ConnectionClosed

    seen: list[weakref.ref[Any]] = []

    async def handler(ws: Any) -> None:
        seen.append(weakref.ref(ws))
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send(await ws.recv())

    async def talk() -> bool:
        async with serve(handler, "127.0.0.1", 0, max_size=1000, compression=compression) as server:
            port = server.sockets[0].getsockname()[1]
            ws = await connect(f"ws://127.0.0.1:{port}/", compression=compression, proxy=None)
            await end(ws, how, compression)
        for _ in range(100):
            if seen[0]() is None:
                return False
            await asyncio.sleep(0.01)
        return True

    with installed():
        gc.collect()
        gc.disable()
        try:
            return asyncio.run(talk())
        finally:
            gc.enable()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython counts references")
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("depth", ["frame", "connection"])
def test_nobody_has_to_collect_a_connection_of_websockets(
    depth: str, how: str, compression: str | None
) -> None:
    # Older releases leave them behind by themselves.
    assert is_left(DEPTHS[depth], how, compression) <= is_left(DEPTHS["none"], how, compression)


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_limit_of_websockets_may_be_a_float(depth: str) -> None:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def handler(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def talk() -> None:
        limits: Any = (1e3, None)
        async with serve(handler, "127.0.0.1", 0, max_size=limits, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as ws:
                await ws.send("hello")
                assert await ws.recv() == "hello"
                await ws.send("x" * 1001)
                await ws.wait_closed()
                assert ws.close_code == 1009

    with DEPTHS[depth]():
        asyncio.run(talk())


def sent_as_text(depth: str) -> list[object]:
    """What comes of bytes that are sent as text by an argument without its name."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    async def handler(ws: Any) -> None:
        await ws.wait_closed()
        received.extend([message async for message in ws])

    async def talk() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as ws:
                try:
                    await ws.send(b"hi", True)
                except TypeError as error:
                    received.append(str(error))
                await ws.send(b"still there", text=True)

    received: list[object] = []
    with DEPTHS[depth]():
        asyncio.run(talk())
    return received


@pytest.mark.parametrize("depth", ["frame", "connection"])
def test_arguments_of_websockets_are_taken_as_it_takes_them(depth: str) -> None:
    # From 17.0 on they need their names.
    taken = sent_as_text(depth)
    assert len(taken) == 2 and taken[1] == "still there"
    assert taken == sent_as_text("none")


@pytest.mark.parametrize("install", [False, True])
def test_events_of_wsproto_keep_their_order_whoever_asks_for_them(install: bool) -> None:
    from wsproto.connection import Connection, ConnectionType

    with adapters.install("wsproto", strict=True) if install else contextlib.nullcontext():
        connection = Connection(ConnectionType.CLIENT)
        connection.receive_data(b"\x89\x00" + b"\x81\x01A")  # a ping, then a message
        first = connection.events()
        events: list[Any] = [next(first)]
        connection.receive_data(b"\x81\x01B\x81\x01C" + b"\x01\x01D\x80\x00")
        events.append(next(connection.events()))
        events += [*first, *connection.events()]
    assert [getattr(event, "data", None) for event in events if getattr(event, "data", None)] == [*"ABCD"]
