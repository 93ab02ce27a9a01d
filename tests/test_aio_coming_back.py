"""`async for ws in connect(...)`: how the client comes back."""

from __future__ import annotations

import asyncio
import platform
import socket
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from aio_support import clock, collect, echo, eventually, logged, simulated, spin, uri_of
from raw_peer import raw_server
from wire import data_frame

from fastframe import (
    ConnectionClosed,
    Headers,
    InvalidResponse,
    RejectedByServer,
    Request,
    Response,
    Role,
    WebSocket,
    WebSocketStream,
    connect,
    serve,
)


async def opened_by_iteration(uri: str) -> None:
    """Iterate until the first connection, and leave by an exception."""
    async for _ in connect(uri):
        raise ConnectionResetError("the body's own")


@simulated
async def test_iteration_connects_again_after_each_connection() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send("hello")

    async with serve(handler, "127.0.0.1", 0) as server:
        before, count = clock().time(), 0
        async for ws in connect(uri_of(server)):
            assert [message async for message in ws] == ["hello"]
            count += 1
            if count == 4:
                break
        assert clock().time() - before < 1
        del ws
        await spin(20)


async def gaps_between_connections(lasting: float, close_code: int, within: float) -> list[float]:
    """Seconds from each connection's end to the next one, where the server ends all of them alike."""
    begun: list[float] = []

    async def handler(ws: WebSocketStream) -> None:
        begun.append(clock().time())
        await asyncio.sleep(lasting)
        if close_code == 1006:
            ws.transport.abort()
        else:
            await ws.close(close_code)

    async def follow(uri: str) -> None:
        async for ws in connect(uri):
            with suppress(ConnectionClosed):
                await ws.recv()

    async with serve(handler, "127.0.0.1", 0) as server:
        task = asyncio.ensure_future(follow(uri_of(server)))
        await asyncio.sleep(within)
        task.cancel()
        await asyncio.wait([task])
    return [after - before - lasting for before, after in pairwise(begun)]


@pytest.mark.parametrize("close_code", [1001, 1006, 1011, 1012, 1013, 4000])
@simulated
async def test_iteration_waits_longer_and_longer_for_a_server_that_hangs_up(close_code: int) -> None:
    gaps = await gaps_between_connections(0, close_code, 600)
    assert 10 < len(gaps) < 50
    assert all(gap <= 60.5 for gap in gaps) and 0.4 < gaps[0] < 1.1
    assert sum(gaps[-5:]) > 5 * sum(gaps[:3])


@pytest.mark.parametrize("lasting", [1.2, 100.0])
@simulated
async def test_iteration_begins_with_short_waits_after_a_connection_that_lasted(lasting: float) -> None:
    gaps = await gaps_between_connections(lasting, 1012, 10 * lasting + 5)
    assert len(gaps) >= 7 and all(0.4 < gap < 1.1 for gap in gaps)
    assert len({round(gap, 2) for gap in gaps}) > 1, "jitter"


@simulated
async def test_iteration_does_not_wait_after_a_close_frame_without_a_code() -> None:
    async with raw_server() as server:
        count = 0

        async def play() -> None:
            for _ in range(5):
                async with server.accepted() as peer:
                    await peer.send(b"\x88\x00")
                    assert (await peer.frame()).opcode == 8

        playing = asyncio.ensure_future(play())
        before = clock().time()
        async for ws in connect(server.uri):
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            count += 1
            if count == 5:
                break
        assert clock().time() - before < 0.4
        del ws
        await spin(20)
        await playing


@simulated
async def test_iteration_waits_after_a_connection_that_we_have_failed() -> None:
    class Failing(WebSocket):
        def __init__(self, owner: Any) -> None:
            super().__init__(owner)
            self.has_failed = asyncio.Event()
            begun.append(clock().time())

        def on_message(self, message: str | bytes) -> None:
            raise ZeroDivisionError

        def on_error(self, error: Exception) -> None:
            self.has_failed.set()

    async def handler(ws: WebSocketStream) -> None:
        await ws.send("a")
        await ws.wait_closed()

    async def follow(uri: str) -> None:
        async for ws in connect(uri, Failing):
            await ws.has_failed.wait()

    begun: list[float] = []
    async with serve(handler, "127.0.0.1", 0) as server:
        task = asyncio.ensure_future(follow(uri_of(server)))
        await asyncio.sleep(100)
        task.cancel()
        await asyncio.wait([task])
    assert "ZeroDivisionError" in "".join(logged())
    gaps = [after - before for before, after in pairwise(begun)]
    assert 4 < len(gaps) < 10 and 0.4 < gaps[0] < 1.1 and sum(gaps[-2:]) > 3 * sum(gaps[:2])


@simulated
async def test_iteration_waits_longer_and_longer_with_jitter() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        attempts: list[float] = []

        async def reconnect() -> None:
            async for _ in connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/"):
                raise AssertionError("nobody is there")

        loop = clock()
        create_connection = loop.create_connection

        def noting(*arguments: Any, **options: Any) -> Any:
            attempts.append(loop.time())
            return create_connection(*arguments, **options)

        loop.create_connection = noting  # type: ignore[method-assign]
        task = asyncio.ensure_future(reconnect())
        await asyncio.sleep(600)
        task.cancel()
        await asyncio.wait([task])
        loop.create_connection = create_connection  # type: ignore[method-assign]
    gaps = [after - before for before, after in pairwise(attempts)]
    assert 10 < len(gaps) < 50
    assert all(gap <= 60.5 for gap in gaps) and 0.4 < gaps[0] < 1.1
    assert sum(gaps[-5:]) > 5 * sum(gaps[:3])
    assert len({round(gap, 2) for gap in gaps[-6:]}) > 1, "jitter"


@pytest.mark.parametrize("failure", ["500", "502", "503", "504", "refused", "reset", "end", "timeout"])
@simulated
async def test_iteration_survives_what_may_pass(failure: str) -> None:
    failures = 0

    async with raw_server() as server:

        async def play() -> None:
            nonlocal failures
            for _ in range(2):
                async with server.peer() as peer:
                    await peer.head()
                    failures += 1
                    if failure == "timeout":
                        await peer.rest()
                    elif failure == "reset":
                        peer.reset()
                    elif failure != "end":
                        status = 503 if failure == "refused" else int(failure)
                        await peer.send(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            async with server.accepted() as peer:
                await peer.send(data_frame(Role.CLIENT, 1, b"at last"))
                await peer.rest()

        playing = asyncio.ensure_future(play())
        try:
            async for ws in connect(server.uri, open_timeout=5, close_timeout=1):
                assert await ws.recv() == "at last"
                break
            del ws
            await spin(5)
            assert failures == 2
        finally:
            playing.cancel()
            await asyncio.wait([playing])


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 426])
@simulated
async def test_iteration_raises_what_will_not_pass(status: int) -> None:
    def process_request(protocol: Any, request: Request) -> Response:
        return Response(status, Headers())

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(RejectedByServer, match=str(status)):
            await opened_by_iteration(uri_of(server))


@simulated
async def test_iteration_raises_for_a_server_that_does_not_speak_websocket() -> None:
    async with raw_server() as server:

        async def play() -> None:
            async with server.peer() as peer:
                await peer.head()
                await peer.send(b"220 smtp.example.test ESMTP\r\n\r\n")
                await peer.gone()

        playing = asyncio.ensure_future(play())
        with pytest.raises(InvalidResponse):
            await opened_by_iteration(server.uri)
        await playing


@simulated
async def test_exception_in_the_body_leaves_the_iteration() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectionResetError, match="the body's own"):
            await opened_by_iteration(uri_of(server))
        if platform.python_implementation() != "CPython":
            collect()  # nobody refers to the iteration any more, which only CPython sees at once
        await spin(20)
        await eventually(lambda: not server.connections, "the connection was closed")
