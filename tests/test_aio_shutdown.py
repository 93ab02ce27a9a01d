"""Closing a server: what becomes of connections, handlers and handshakes under way."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    echo,
    eventually,
    every_loop,
    simulated,
    spin,
    tls_contexts,
    uri_of,
)
from raw_peer import REQUEST, raw_client

from fastframe import (
    Close,
    ConnectionClosedOK,
    Request,
    WebSocketStream,
    connect,
    serve,
)


@simulated
async def test_handler_may_close_its_server() -> None:
    closed: list[float] = []
    ended: list[bool] = []

    async def handler(ws: WebSocketStream) -> None:
        try:
            async for message in ws:
                if message == "close":
                    await server.close(1012)
                    closed.append(clock().time())
                    assert server.connections == set()
                    assert ended == [True] * 2, "it waits for all but itself"
        finally:
            await spin(5)
            ended.append(True)

    server = await serve(handler, "127.0.0.1", 0, close_timeout=5)
    async with connect(uri_of(server)) as first, connect(uri_of(server)), connect(uri_of(server)):
        before = clock().time()
        await first.send("close")
        await first.wait_closed()
        assert first.close_code == 1012
        await server.close()
        assert closed[0] - before < 1 and ended == [True] * 3


@simulated
async def test_handlers_that_close_the_server_do_not_wait_for_each_other() -> None:
    ended: list[float] = []

    async def handler(ws: WebSocketStream) -> None:
        await ws.recv()
        await server.close()
        ended.append(clock().time())

    server = await serve(handler, "127.0.0.1", 0, close_timeout=5)
    async with connect(uri_of(server)) as first, connect(uri_of(server)) as second:
        before = clock().time()
        await first.send("close")
        await second.send("close")
        await server.close()
        assert len(ended) == 2 and max(ended) - before < 1


@simulated
async def test_handler_that_closes_the_server_cancels_those_that_do_not_end() -> None:
    outcomes: list[float] = []

    async def handler(ws: WebSocketStream) -> None:
        if await ws.recv() == "close":
            before = clock().time()
            await server.close()
            outcomes.append(clock().time() - before)
        else:
            try:
                await asyncio.sleep(50_000)
            except asyncio.CancelledError:
                outcomes.append(-1)
                raise

    server = await serve(handler, "127.0.0.1", 0, close_timeout=5)
    async with connect(uri_of(server)) as first, connect(uri_of(server)) as second:
        await second.send("sleep")
        await first.send("close")
        await eventually(lambda: len(outcomes) == 2, "both have ended")
        await server.close()
    assert outcomes == [-1, pytest.approx(5, abs=0.2)]


@every_loop
async def test_server_close_says_1001_and_waits() -> None:
    done = []

    async def handler(ws: WebSocketStream) -> None:
        async for _ in ws:
            pass
        await spin(5)
        done.append(True)

    server = await serve(handler, "127.0.0.1", 0)
    clients = [await connect(uri_of(server)) for _ in range(3)]
    await server.close()
    assert done == [True] * 3 and not server.connections
    for ws in clients:
        with pytest.raises(ConnectionClosedOK) as caught:
            await ws.recv()
        assert caught.value.received == Close(1001)
    with pytest.raises(ConnectionRefusedError):
        await connect(f"ws://127.0.0.1:{clients[0].remote_address[1]}/")


@every_loop
async def test_server_close_takes_a_code_and_a_reason() -> None:
    server = await serve(Recorder, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    await server.close(1012, "back soon")
    await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (1012, "back soon")


@every_loop
async def test_server_close_truncates_nothing() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send(bytes(3_000_000))
        await ws.wait_closed()

    server = await serve(handler, "127.0.0.1", 0, compression=None)
    ws = await connect(uri_of(server), max_size=None)
    closing = asyncio.ensure_future(server.close())
    assert await ws.recv() == bytes(3_000_000)
    await closing


@every_loop
async def test_server_close_may_be_called_again() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    await asyncio.wait_for(asyncio.gather(server.close(), server.close()), 3)
    await server.close()
    await ws.wait_closed()


@simulated
async def test_server_close_gives_up_those_who_do_not_answer() -> None:
    server = await serve(echo, "127.0.0.1", 0, close_timeout=5, ping_interval=None)
    async with raw_client(server) as peer:
        before = clock().time()
        await server.close()
        assert clock().time() - before == pytest.approx(5, abs=0.1)
        assert (await peer.frame()).payload == (1001).to_bytes(2, "big")


@simulated
async def test_server_close_cancels_handlers_that_do_not_end() -> None:
    cancelled = []

    async def handler(ws: WebSocketStream) -> None:
        try:
            await asyncio.sleep(50_000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server = await serve(handler, "127.0.0.1", 0, close_timeout=5)
    ws = await connect(uri_of(server))
    before = clock().time()
    await server.close()
    assert cancelled == [True], "close waits for the handlers"
    assert clock().time() - before <= 11
    await ws.wait_closed()


@every_loop
async def test_server_close_drops_handshakes_under_way() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    async with raw_client(server, b"") as peer:
        await peer.send(REQUEST[:30])
        await eventually(lambda: server.connections, "the connection is there")
        await server.close()
        assert await peer.gone()


@every_loop
async def test_server_close_cancels_process_request() -> None:
    started = asyncio.Event()

    async def process_request(protocol: Any, request: Request) -> None:
        started.set()
        await asyncio.Event().wait()

    server = await serve(echo, "127.0.0.1", 0, process_request=process_request)
    async with raw_client(server, b"") as peer:
        await peer.send(REQUEST)
        await started.wait()
        await asyncio.wait_for(server.close(), 3)


@every_loop
async def test_server_close_drops_tls_handshakes_under_way() -> None:
    handled = []

    async def handler(ws: WebSocketStream) -> None:
        handled.append(ws)
        await ws.wait_closed()

    server_tls, client_tls = tls_contexts()
    server = await serve(handler, "127.0.0.1", 0, ssl=server_tls)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with raw_client(server, b"") as peer:
        await spin(10)
        await server.close()
        # Whatever the server makes of it: it must not end in an open connection.
        with suppress(ConnectionError):
            for do in (tls.do_handshake, lambda: tls.write(REQUEST), lambda: tls.read(100)):
                while True:
                    try:
                        answer = do()
                        await peer.send(outgoing.read())
                        break
                    except ssl.SSLWantReadError:
                        await peer.send(outgoing.read())
                        data = await peer.loop.sock_recv(peer.sock, 65536)
                        if not data:
                            raise ConnectionResetError from None
                        incoming.write(data)
            assert not answer, "a server that is closed took a connection"
        assert not handled and not server.connections
