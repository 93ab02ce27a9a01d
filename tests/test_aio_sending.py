"""Sending in the coroutine form: fragments, flow control, cancelling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aio_support import (
    counted_writes,
    eventually,
    every_loop,
    pair,
    spin,
    uri_of,
)
from raw_peer import (
    raw_client,
    raw_pair,
)
from wire import data_frame

from fastframe import (
    ConnectionClosedError,
    Role,
    State,
    WebSocket,
    WebSocketStream,
    connect,
    serve,
)

MEBIBYTE = 1024 * 1024
COMPRESSIONS = pytest.mark.parametrize("compression", [None, "deflate"])


def retained(ws: WebSocketStream) -> int:
    """Bytes of the message that is under way."""
    assert ws.connection is not None
    return ws.connection.retained


# Fragments.


@pytest.mark.parametrize("fragments", [["a", "", "bc"], [b"a", bytearray(b"bc")], ("a",), [""]])
@COMPRESSIONS
@every_loop
async def test_iterable_is_sent_as_the_fragments_of_one_message(
    fragments: Any, compression: str | None
) -> None:
    options = {"compression": compression}
    async with pair(server=options, client=options) as (server, client):
        await client.send(fragments)
        assert await server.recv() == type(fragments[0])().join(fragments)
        await client.send("next")
        assert await server.recv() == "next"


@every_loop
async def test_generators_are_sent_as_fragments() -> None:
    def lazily() -> Iterator[str]:
        yield from "abc"

    async def slowly() -> AsyncIterator[bytes]:
        for byte in b"def":
            await spin(3)
            yield bytes([byte])

    async with pair() as (server, client):
        await client.send(lazily())
        assert await server.recv() == "abc"
        await client.send(slowly())
        assert await server.recv() == b"def"


@every_loop
async def test_fragments_are_frames_of_their_own() -> None:
    async with raw_pair() as (peer, ws):
        await ws.send([b"a", b"b"])
        frames = [await peer.frame() for _ in range(3)]
        assert [(frame.opcode, frame.payload, frame.fin) for frame in frames] == [
            (2, b"a", False),
            (0, b"b", False),
            (0, b"", True),
        ]


@pytest.mark.parametrize("message", [None, 5, 1.5, object(), {"a": 1}, [], (), iter(())])
@every_loop
async def test_what_is_no_message_is_refused_and_the_connection_goes_on(message: Any) -> None:
    async with pair() as (server, client):
        with pytest.raises(TypeError):
            await client.send(message)
        await client.send("fine")
        assert await server.recv() == "fine"


@pytest.mark.parametrize("fragments", [[1], [None, "a"]])
@every_loop
async def test_wrong_first_fragment_is_refused_and_the_connection_goes_on(fragments: Any) -> None:
    async with pair() as (server, client):
        with pytest.raises(TypeError):
            await client.send(fragments)
        await client.send("fine")
        assert await server.recv() == "fine"


@pytest.mark.parametrize("fragments", [["a", b"b"], [b"a", "b"], ["a", 5], [b"a", None]])
@every_loop
async def test_fragments_of_two_kinds_end_the_connection(fragments: Any) -> None:
    async with pair() as (server, client):
        with pytest.raises(TypeError):
            await client.send(fragments)
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await server.recv()


@every_loop
async def test_iterable_that_fails_half_way_ends_the_connection() -> None:
    def failing() -> Iterator[str]:
        yield "a"
        raise ZeroDivisionError

    async with pair() as (server, client):
        with pytest.raises(ZeroDivisionError):
            await client.send(failing())
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await server.recv()


@every_loop
async def test_message_sent_meanwhile_waits_for_the_end_of_the_fragments() -> None:
    released = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await released.wait()
        yield "b"

    async with pair() as (server, client):
        first = asyncio.ensure_future(client.send(slowly()))
        await spin(3)
        others = [asyncio.ensure_future(client.send(message)) for message in ("c", ["d", "e"], "f")]
        pinging = await client.ping()
        assert await pinging >= 0, "control frames go between fragments"
        assert not any(other.done() for other in others)
        released.set()
        await asyncio.gather(first, *others)
        assert [await server.recv() for _ in range(4)] == ["ab", "c", "de", "f"]


@every_loop
async def test_cancelled_fragments_end_the_connection() -> None:
    async def endless() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    async with pair() as (server, client):
        sending = asyncio.ensure_future(client.send(endless()))
        await spin(3)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        with pytest.raises(
            ConnectionClosedError, match="received 1011 a fragmented message was not finished"
        ):
            await server.recv()


# Flow control.


@COMPRESSIONS
@every_loop
async def test_reading_pauses_while_nobody_receives(compression: str | None) -> None:
    options = {"compression": compression}
    block = random.Random(4).randbytes(100_000)
    async with pair(server=options | {"max_queue": 300_000}, client=options) as (server, client):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(200):
                await client.send(block[number:])
                sent += 1

        flooding = asyncio.ensure_future(flood())
        await eventually(lambda: not server.transport.is_reading(), "reading paused")
        queued = sum(map(len, server._messages))
        assert queued <= 300_000 + 200_000
        await eventually(lambda: client.buffered_amount >= 65536, "the sender has to wait")
        assert not flooding.done() and sent < 150
        for number in range(200):
            assert await server.recv() == block[number:]
        await flooding


@every_loop
async def test_max_queue_counts_all_bytes_of_a_message() -> None:
    """Also if they came in many reads: what counts is the memory that waits."""
    block = bytes(900_000)
    accepted = []

    async def handler(ws: WebSocketStream) -> None:
        accepted.append(ws)
        await ws.wait_closed()

    options: dict[str, Any] = {"compression": None, "max_queue": 1_000_000}
    async with serve(handler, "127.0.0.1", 0, **options) as server, raw_client(server) as peer:
        [ws] = accepted
        for _ in range(10):
            await peer.send(data_frame(Role.SERVER, 2, block, fin=False) + data_frame(Role.SERVER, 9, b""))
            await eventually(
                lambda: not ws.transport.is_reading() or retained(ws) >= len(block),
                "the first fragment was read, or reading has paused",
            )
            if not ws.transport.is_reading():
                break
            await peer.send(data_frame(Role.SERVER, 0, b"x"))
            count = len(ws._messages)
            await eventually(lambda count=count: len(ws._messages) > count, "the message is there")  # type: ignore[misc]
        assert sum(map(len, ws._messages)) <= 2_000_000
        ws.transport.abort()


@every_loop
async def test_send_waits_for_a_peer_that_does_not_read() -> None:
    block = random.Random(5).randbytes(500_000)
    async with raw_pair(write_limit=100_000) as (peer, ws):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while sent < 60:
                await ws.send(block)
                sent += 1

        flooding = asyncio.ensure_future(flood())
        await eventually(lambda: ws.buffered_amount > 100_000, "the buffers are full")
        before = sent
        await spin(50)
        assert sent == before < 60 and not flooding.done()
        assert ws.buffered_amount <= 100_000 + len(block) + 20
        for _ in range(60):
            assert (await peer.frame()).payload == block
        await flooding
        await eventually(lambda: ws.buffered_amount == 0, "all has left")


@every_loop
async def test_several_senders_wait_and_all_go_on() -> None:
    block = bytes(400_000)
    async with raw_pair() as (peer, ws):
        sending = [asyncio.ensure_future(ws.send(block)) for _ in range(50)]
        await eventually(lambda: ws.buffered_amount > 1_000_000, "the buffers are full")
        assert not all(send.done() for send in sending)
        for _ in range(50):
            assert len((await peer.frame()).payload) == len(block)
        await asyncio.gather(*sending)


@every_loop
async def test_messages_sent_while_more_are_queued_leave_together() -> None:
    async with pair() as (server, client):
        for _ in range(50):
            await client.send("x")
        await eventually(lambda: len(server._messages) == 50, "all messages came")
        with counted_writes() as sizes_of:
            for _ in range(50):
                await server.send(await server.recv())
            assert [await client.recv() for _ in range(50)] == ["x"] * 50
            written = sizes_of(server)
        assert len(written) <= 2 and sum(written) == 50 * 3


@every_loop
@pytest.mark.parametrize("form", ["stream", "callback"])
async def test_large_bytes_keep_their_place_among_others(form: str) -> None:
    sizes = [5, 131_071, 131_072, 7, 3_000_000, 131_073, 1, 400_000]
    messages = [random.Random(size).randbytes(size) for size in sizes]

    class Sender(WebSocket):
        def on_message(self, message: str | bytes) -> None:
            for each in messages:
                self.send(each)

    async def send_all(stream: WebSocketStream) -> None:
        async for _ in stream:
            for each in messages:
                await stream.send(each)

    handler: Any = Sender if form == "callback" else send_all
    async with (
        serve(handler, "127.0.0.1", 0, compression=None) as server,
        connect(uri_of(server), max_size=None) as ws,
    ):
        for _ in range(3):
            await ws.send("now")
            assert [await ws.recv() for _ in messages] == messages


# Cancelling.


@COMPRESSIONS
@every_loop
async def test_cancelled_send_keeps_the_stream_in_order(compression: str | None) -> None:
    options = {"compression": compression}
    blocks: list[bytes] = []
    async with pair(server=options, client=options) as (server, client):
        cancelled = 0
        # How many it takes until the network is full and a send has to wait is the system's affair.
        while cancelled < 5 and len(blocks) < 200:
            blocks.append(random.Random(len(blocks)).randbytes(300_000))
            sending = asyncio.ensure_future(client.send(blocks[-1]))
            iterations = len(blocks) % 6
            await spin(iterations)
            sending.cancel()
            try:
                await sending
            except asyncio.CancelledError:
                cancelled += iterations > 0
        assert cancelled == 5
        last = asyncio.ensure_future(client.send("last"))
        received = [await server.recv()]
        while received[-1] != "last":
            received.append(await server.recv())
        await last
        # Those cancelled before they began were never sent.
        kept = iter(blocks)
        assert all(any(message == block for block in kept) for message in received[:-1])
        assert len(received) > len(blocks) * 2 // 3


@pytest.mark.parametrize("iterations", range(12))
@every_loop
async def test_cancelled_close_can_be_repeated(iterations: int) -> None:
    async with pair() as (server, client):
        closing = asyncio.ensure_future(client.close(1000, "first"))
        await spin(iterations)
        closing.cancel()
        await asyncio.wait([closing])
        await client.close(1000, "second")
        await server.wait_closed()
        expected = "second" if iterations == 0 else "first"
        assert (server.close_code, server.close_reason) == (1000, expected)
        assert client.ready_state is State.CLOSED
