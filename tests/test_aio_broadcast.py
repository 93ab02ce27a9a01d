"""One message to many: who gets it, in which form, and who is left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aio_support import (
    Recorder,
    eventually,
    every_loop,
    spin,
    uri_of,
)
from raw_peer import (
    raw_client,
)

from fastframe import PerMessageDeflate, Server, WebSocketStream, broadcast, connect, prepare, serve


async def idle(ws: WebSocketStream) -> None:
    await ws.wait_closed()


@asynccontextmanager
async def clients(count: int, handler: Any = idle, **options: Any) -> AsyncIterator[tuple[Server, list[Any]]]:
    """A server and its clients."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(handler, "127.0.0.1", 0, **options))
        compression = options.get("compression", "deflate")
        connecting = [connect(uri_of(server), compression=compression, max_size=None) for _ in range(count)]
        yield server, [await stack.enter_async_context(connection) for connection in connecting]


@pytest.mark.parametrize("message", ["", "Grüße", b"", b"\0\xff" * 1000, "x" * 200_000, bytearray(b"ab")])
@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("compression", [None, "deflate"])
@every_loop
async def test_everybody_gets_the_message(message: Any, prepared: bool, compression: str | None) -> None:
    async with clients(5, compression=compression) as (server, everybody):
        assert broadcast(server.connections, prepare(message) if prepared else message) == []
        for ws in everybody:
            assert await ws.recv() == (message if isinstance(message, str) else bytes(message))


@every_loop
async def test_callback_form_gets_and_sends_broadcasts() -> None:
    async with clients(0, Recorder) as (server, _):
        ws = await connect(uri_of(server), Recorder)
        await eventually(lambda: ws.events and server.connections, "the connection is open")
        assert broadcast(server.connections, "a") == []
        await eventually(lambda: ("message", "a") in ws.events, "the message came")
        ws.close()
        await ws.closed


@every_loop
async def test_prepared_message_may_be_sent_again_and_to_several_servers() -> None:
    message = prepare("x" * 1000)
    async with clients(2) as (one, first), clients(2, compression=None) as (other, second):
        for _ in range(3):
            assert broadcast([*one.connections, *other.connections], message) == []
        for ws in (*first, *second):
            assert [await ws.recv() for _ in range(3)] == ["x" * 1000] * 3


@every_loop
async def test_prepared_message_does_not_change_with_its_source() -> None:
    source = bytearray(b"before")
    message = prepare(source)
    source[:] = b"after!"
    async with clients(1) as (server, [ws]):
        broadcast(server.connections, message)
        assert await ws.recv() == b"before"


@every_loop
async def test_prepared_message_is_compressed_once_for_those_without_context() -> None:
    deflate = PerMessageDeflate(server_no_context_takeover=True)
    async with clients(3, compression=deflate) as (server, everybody):
        message = prepare("x" * 10_000)
        frames = {message.frame_for(ws._connection) for ws in server.connections}  # type: ignore[arg-type]
        [frame] = frames
        assert len(frame) < 200
        [again] = {id(message.frame_for(ws._connection)) for ws in server.connections}  # type: ignore[arg-type]
        assert again == id(message.frame_for(next(iter(server.connections))._connection))  # type: ignore[arg-type]
        broadcast(server.connections, message)
        for ws in everybody:
            assert await ws.recv() == "x" * 10_000


@every_loop
async def test_broadcast_between_compressed_messages_keeps_the_context_in_step() -> None:
    async with clients(3) as (server, everybody):
        for number in range(5):
            text = f"message {number} " * 100
            for ws in list(server.connections):
                await ws.send(text)  # type: ignore[attr-defined]
            broadcast(server.connections, text)
            for ws in everybody:
                assert [await ws.recv() for _ in range(2)] == [text] * 2


@every_loop
async def test_slow_connections_are_skipped_and_returned() -> None:
    block = bytes(500_000)
    async with clients(1, compression=None) as (server, [ws]):
        received = 0

        async def receive() -> None:
            nonlocal received
            async for message in ws:
                received += len(message) == len(block)

        receiving = asyncio.ensure_future(receive())
        async with raw_client(server) as slow:
            skipped = []
            for sent in range(1, 101):
                skipped = broadcast(server.connections, block, limit=1_000_000)
                await eventually(lambda sent=sent: received == sent, "the fast one got it")  # type: ignore[misc]
                if skipped:
                    break
            assert [connection.remote_address for connection in skipped] == [slow.sock.getsockname()]
            assert skipped[0].buffered_amount <= 1_000_000 + len(block) + 20
            slow.reset()
        await ws.close()
        await receiving


@every_loop
async def test_connections_that_are_not_open_are_skipped() -> None:
    async with clients(2) as (server, [first, second]):
        first_of_server = next(ws for ws in server.connections if ws.remote_address == first.local_address)
        async with raw_client(server, b""):
            await eventually(lambda: len(server.connections) == 3, "the third connection is there")
            first_of_server.shut_down(1000, "")
            skipped = broadcast(list(server.connections), "a")
            assert len(skipped) == 2 and first_of_server in skipped
        assert await second.recv() == "a"
        await first.wait_closed()
        assert broadcast([first_of_server], "b") == [first_of_server]


@every_loop
async def test_clients_are_refused() -> None:
    async with clients(1) as (_, [ws]):
        with pytest.raises(ValueError, match="server"):
            broadcast([ws], "a")


@pytest.mark.parametrize("message", [None, 5, ["a"]])
@every_loop
async def test_what_is_no_message_is_refused(message: Any) -> None:
    async with clients(1) as (server, [ws]):
        with pytest.raises(TypeError):
            broadcast(server.connections, message)
        broadcast(server.connections, "fine")
        assert await ws.recv() == "fine"


@every_loop
async def test_broadcasts_in_a_row_leave_in_order() -> None:
    async with clients(2) as (server, everybody):
        for number in range(50):
            broadcast(server.connections, str(number))
        for ws in everybody:
            assert [await ws.recv() for _ in range(50)] == [str(number) for number in range(50)]


@every_loop
async def test_broadcast_keeps_its_place_among_messages() -> None:
    async with clients(1) as (server, [ws]):
        [theirs] = server.connections
        broadcast(server.connections, "first")
        await theirs.send("second")  # type: ignore[attr-defined]
        broadcast(server.connections, "third")
        assert [await ws.recv() for _ in range(3)] == ["first", "second", "third"]


@every_loop
async def test_broadcast_does_not_cut_a_fragmented_message_in_two() -> None:
    """RFC 6455 section 5.4: no other data frame between the fragments of a message."""
    released = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await released.wait()
        yield "b"

    async with clients(1) as (server, [ws]):
        [theirs] = server.connections
        sending = asyncio.ensure_future(theirs.send(slowly()))  # type: ignore[attr-defined]
        await spin(5)
        skipped = broadcast(server.connections, "between")
        released.set()
        await sending
        assert await ws.recv() == "ab"
        if not skipped:
            assert await ws.recv() == "between"


@every_loop
async def test_broadcast_to_a_connection_about_to_be_lost_is_harmless() -> None:
    async with clients(1) as (server, [ws]):
        [theirs] = server.connections
        theirs.transport.abort()
        broadcast(server.connections, "a")
        await ws.wait_closed()
