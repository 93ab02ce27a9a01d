"""One message to many: who gets it, in which form, and who is left out."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aio_support import LOOPS, Recorder, counted_writes, eventually, every_loop, logged, spin, uri_of
from raw_peer import raw_client

from fastframe import PerMessageDeflate, Server, WebSocketStream, broadcast, connect, prepare, serve
from fastframe.aio.broadcast import _cork_of, _corks
from fastframe.aio.frame_watch import WatchedConnection
from fastframe.codec import BACKEND
from fastframe.deflate import DeflateCodec


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
        frames = {message.frame_for(ws.connection) for ws in server.connections}  # type: ignore[arg-type]
        [frame] = frames
        assert len(frame) < 200
        [again] = {id(message.frame_for(ws.connection)) for ws in server.connections}  # type: ignore[arg-type]
        assert again == id(message.frame_for(next(iter(server.connections)).connection))  # type: ignore[arg-type]
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


# Compressed once for all.


def deflates(server: Server) -> list[Any]:
    return [ws.connection.deflate for ws in server.connections]  # type: ignore[union-attr]


def compressions(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Notes what is compressed."""
    noted = []
    compress = DeflateCodec.compress

    def noting(self: DeflateCodec, payload: Any) -> bytes:
        noted.append(bytes(payload))
        return compress(self, payload)

    monkeypatch.setattr(DeflateCodec, "compress", noting)
    return noted


@pytest.mark.parametrize("kept", [True, False])
@every_loop
async def test_message_is_compressed_once_for_all_whether_context_is_kept(kept: bool) -> None:
    deflate = PerMessageDeflate(server_no_context_takeover=not kept)
    async with clients(5, compression=deflate) as (server, everybody):
        with pytest.MonkeyPatch.context() as patch:
            compressed = compressions(patch)
            message = prepare("x" * 10_000)
            for _ in range(3):
                assert broadcast(server.connections, message) == []
            assert compressed == [b"x" * 10_000]
        for ws in everybody:
            assert [await ws.recv() for _ in range(3)] == ["x" * 10_000] * 3


@every_loop
async def test_servers_and_clients_of_all_kinds_share_one_message() -> None:
    wishes: list[PerMessageDeflate | None] = [
        None,
        PerMessageDeflate(),
        PerMessageDeflate(server_no_context_takeover=True),
        PerMessageDeflate(server_max_window_bits=9),
        PerMessageDeflate(server_max_window_bits=15),
        PerMessageDeflate(level=1, memory_level=9, threshold=2000),
    ]
    rng = random.Random(1)
    texts = ["{" + '"key": 1, ' * rng.randrange(1, 600) + "}" for _ in range(6)]
    prepared = [prepare(text) for text in texts]
    async with AsyncExitStack() as stack:
        servers, everybody = [], []
        for ours in wishes:
            server = await stack.enter_async_context(serve(idle, "127.0.0.1", 0, compression=ours))
            servers.append(server)
            opening = [connect(uri_of(server), compression=theirs) for theirs in wishes]
            everybody += [await stack.enter_async_context(connection) for connection in opening]
        connections: list[Any] = [ws for server in servers for ws in server.connections]
        for _ in range(3):
            for text, message in zip(texts, prepared, strict=True):
                assert broadcast(connections, message if rng.random() < 0.5 else text) == []
                for ws in rng.sample(connections, 9):
                    await ws.send(f"between {ws.remote_address} {text}")
        for ws in everybody:
            theirs = [await ws.recv() for _ in range(len(texts) * 3)]
            while len(own := [message for message in theirs if message not in texts]) + 18 > len(theirs):
                theirs.append(await ws.recv())
            assert [message for message in theirs if message in texts] == texts * 3
            assert all(message.startswith(f"between {ws.local_address} ") for message in own)


@every_loop
async def test_broadcast_resets_a_context_only_where_there_is_one() -> None:
    async with clients(3) as (server, everybody):
        text = "".join(f"number {number}, " for number in range(200))
        first, *others = list(server.connections)
        await first.send(text)  # type: ignore[attr-defined]
        assert [deflate.has_context for deflate in deflates(server)].count(True) == 1
        broadcast(server.connections, text)
        assert not any(deflate.has_context for deflate in deflates(server))
        for ws in everybody:
            times = 2 if ws.local_address == first.remote_address else 1
            assert [await ws.recv() for _ in range(times)] == [text] * times
        # What is too small for it leaves a context alone, and goes uncompressed.
        await first.send(text)  # type: ignore[attr-defined]
        broadcast(server.connections, text[:150])
        assert [deflate.has_context for deflate in deflates(server)].count(True) == 1
        for ws in everybody:
            if ws.local_address == first.remote_address:
                assert await ws.recv() == text
            assert await ws.recv() == text[:150]
        assert others


# One write for what one tick brings.


@pytest.mark.parametrize("compression", [None, "deflate"])
@every_loop
async def test_ten_broadcasts_in_one_tick_leave_in_one_write(compression: str | None) -> None:
    with counted_writes() as sizes_of:
        async with clients(4, compression=compression) as (server, everybody):
            await _broadcast_ten_and_one(server, everybody, sizes_of)


async def _broadcast_ten_and_one(server: Server, everybody: list[Any], sizes_of: Any) -> None:
    def writes() -> list[int]:
        return [len(sizes_of(protocol)) for protocol in server.connections]

    texts = [f"{number} " * 100 for number in range(10)]
    for text in texts:
        broadcast(server.connections, text)
    assert writes() == [0] * 4
    for ws in everybody:
        assert [await ws.recv() for _ in texts] == texts
    assert writes() == [1] * 4
    broadcast(server.connections, "the next tick")
    for ws in everybody:
        assert await ws.recv() == "the next tick"
    assert writes() == [2] * 4


@every_loop
async def test_send_takes_along_what_a_broadcast_left() -> None:
    async with clients(1, compression=None) as (server, [ws]):
        [protocol] = server.connections
        with counted_writes() as sizes_of:
            broadcast(server.connections, "first")
            await protocol.send("second")  # type: ignore[attr-defined]
            assert [await ws.recv(), await ws.recv()] == ["first", "second"]
            await spin(3)
            assert sizes_of(protocol) == [2 + 5 + 2 + 6]


@every_loop
async def test_much_in_one_tick_is_written_at_once() -> None:
    async with clients(2, compression=None) as (server, everybody):
        with counted_writes() as sizes_of:
            for _ in range(8):
                broadcast(server.connections, bytes(20_000))
            # 128 KiB are held back at most.
            assert [sizes_of(protocol) for protocol in server.connections] == [[7 * 20_004]] * 2
        for ws in everybody:
            assert [len(await ws.recv()) for _ in range(8)] == [20_000] * 8


@pytest.mark.parametrize("limit", [30_000, 150_000, 200_000, 1024 * 1024])
@every_loop
async def test_limit_holds_within_one_tick(limit: int) -> None:
    """A client that reads nothing, and a server that does not even let the loop turn."""
    async with clients(0, compression=None) as (server, _), raw_client(server) as slow:
        await eventually(lambda: server.connections, "the connection is there")
        [theirs] = server.connections
        results = [broadcast(server.connections, bytes(10_000), limit=limit) for _ in range(2000)]
        assert results[0] == [] and results[-1] == [theirs]
        assert limit < theirs.buffered_amount <= limit + 10_004
        slow.reset()
        await eventually(lambda: not server.connections, "the connection is gone")


@every_loop
async def test_connection_whose_writing_fails_does_not_hinder_others() -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError("not today")

    async with clients(5, compression=None) as (server, everybody):
        broken = next(iter(server.connections))
        connection = broken.connection
        assert connection is not None
        broken.connection = WatchedConnection(connection, lambda data: None, fail)
        broadcast(server.connections, "a")
        for ws in everybody:
            if ws.local_address != broken.remote_address:
                assert await ws.recv() == "a"
        [line] = logged()
        assert "writing a broadcast to <WebSocketStream OPEN" in line and "not today" in line
        broken.connection = connection
        broken.transport.abort()


@pytest.mark.skipif(BACKEND == "pure", reason="the pure half copies what it sends")
@every_loop
async def test_connections_that_do_not_keep_up_share_the_memory_of_a_message() -> None:
    message = prepare(bytes(8_000_000))
    async with clients(5, compression=None) as (server, everybody):
        for ws in everybody:
            ws.pause_reading()
        before = sys.getrefcount(message.plain)
        assert broadcast(server.connections, message) == []
        await eventually(lambda: all(ws.buffered_amount for ws in server.connections), "the network is full")
        assert sys.getrefcount(message.plain) >= before + 5
        for ws in everybody:
            ws.resume_reading()
            assert len(await ws.recv()) == 8_000_000


@every_loop
async def test_connections_before_a_refused_one_get_the_message() -> None:
    async with clients(2) as (server, everybody):
        with pytest.raises(ValueError, match="server"):
            broadcast([*server.connections, everybody[0]], "a")
        for ws in everybody:
            assert await ws.recv() == "a"


@pytest.mark.parametrize("event_loop", sorted(LOOPS))
def test_loop_that_stops_before_writing_leaves_nothing_behind(event_loop: str) -> None:
    gc.collect()
    before = len(_corks)
    loop = LOOPS[event_loop]()
    cork = _cork_of(loop)
    assert _cork_of(loop) is cork and len(_corks) == before + 1
    reference = weakref.ref(cork)
    loop.close()
    del loop, cork
    gc.collect()
    assert len(_corks) == before and reference() is None


# Slow consumers that have a policy.


@pytest.mark.parametrize("policy", ["drop_oldest", "keep_latest"])
@every_loop
async def test_policy_of_a_slow_consumer_counts_for_broadcasts(policy: Any) -> None:
    texts = [f"{number} ".ljust(50_000, "x") for number in range(400)]
    async with clients(1) as (server, [ws]):
        [theirs] = server.connections
        theirs.slow_consumer = policy
        for text in texts:
            # The limit is for those without a policy.
            assert broadcast(server.connections, prepare(random.Random(0).randbytes(50_000)), limit=0) == []
            assert broadcast(server.connections, text, limit=0) == []
        dropped = theirs.dropped_messages
        assert dropped > 0
        got: list[Any] = []
        while not got or got[-1] != texts[-1]:
            got.append(await ws.recv())
        assert len(got) == 2 * len(texts) - dropped
        received = [message for message in got if isinstance(message, str)]
        assert received == [text for text in texts if text in set(received)]


@every_loop
async def test_slow_consumer_is_closed_by_a_broadcast_where_that_is_the_policy() -> None:
    async with clients(0, compression=None) as (server, _), raw_client(server) as slow:
        await eventually(lambda: server.connections, "the connection is there")
        [theirs] = server.connections
        theirs.slow_consumer = "close"
        results = [broadcast(server.connections, bytes(100_000)) for _ in range(300)]
        assert results[0] == [] and results[-1] == [theirs]
        assert theirs.ready_state == 2
        slow.reset()
        await eventually(lambda: not server.connections, "the connection is gone")
