"""Messages between a client and an application under uvicorn: content, order, and who waits for whom."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aio_support import counted_writes, eventually, every_loop, spin
from drop_ins.uvicorn.serving import Diary, Receive, Send, accept, echo, opened, serving
from raw_peer import REQUEST, RawPeer
from websockets.asyncio.client import connect
from wire import data_frame

from fastframe import Role
from fastframe.aio.protocol import CORK_SIZE, DEFAULT_MAX_QUEUE, READ_SIZE

DEFLATE_REQUEST = REQUEST.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")

HTTP = pytest.mark.parametrize("http", ["h11", "httptools"])


def message(payload: bytes, opcode: int = 2) -> bytes:
    """A client's message in one frame."""
    return data_frame(Role.SERVER, opcode, payload)


@HTTP
@pytest.mark.parametrize("compression", [None, "deflate"])
@every_loop
async def test_messages_of_every_kind_come_back_the_same(http: str, compression: str | None) -> None:
    contents: list[str | bytes] = ["", b"", "a", "grüße 🎉" * 1000, b"\x00\xff" * 40_000, "x" * 200_000]
    async with (
        serving(echo, http=http) as running,
        connect(running.uri(), compression=compression, max_size=None) as ws,
    ):
        for content in contents:
            await ws.send(content)
        assert [await ws.recv() for _ in contents] == contents


@every_loop
async def test_fragments_reach_the_application_as_one_message() -> None:
    diary = Diary()
    async with serving(diary) as running, connect(running.uri()) as ws:
        await ws.send(["eins ", "zwei ", "drei"])
        await ws.send([b"1", b"", b"2"])
        await eventually(lambda: len(diary.events) == 2, "both have come")
    assert diary.messages == ["eins zwei drei", b"12"]


@every_loop
async def test_a_large_message_is_read_in_place() -> None:
    payload = bytes(range(256)) * 8192
    async with serving(echo) as running, opened(running) as peer:
        protocol, in_place = running.protocol, []
        get_buffer = type(protocol).get_buffer

        class Watching(type(protocol)):  # type: ignore[misc]
            __slots__ = ()

            def get_buffer(self, sizehint: int) -> memoryview:
                view: memoryview = get_buffer(self, sizehint)
                in_place.append(self._in_place)
                return view

        protocol.__class__ = Watching
        protocol.transport.set_protocol(protocol)
        sending = asyncio.create_task(peer.send(message(payload)))
        assert (await peer.frame()).payload == payload
        await sending
        assert sum(in_place) >= 2
        assert in_place[0] is False


@every_loop
async def test_replies_to_one_read_leave_in_one_write() -> None:
    async with serving(echo) as running, opened(running) as peer:
        with counted_writes() as sizes_of:
            await peer.send(b"".join(message(b"%03d" % number) for number in range(100)))
            assert [(await peer.frame()).payload for _ in range(100)] == [b"%03d" % n for n in range(100)]
            assert sizes_of(running.protocol) == [500]


@every_loop
async def test_replies_larger_than_the_cork_do_not_wait_for_the_last() -> None:
    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while (await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": bytes(30_000)})

    async with serving(answer) as running, opened(running) as peer:
        with counted_writes() as sizes_of:
            await peer.send(message(b"x") * 40)
            for _ in range(40):
                assert len((await peer.frame()).payload) == 30_000
            writes = sizes_of(running.protocol)
        assert len(writes) >= 40 * 30_000 // (CORK_SIZE + 30_004)
        assert max(writes) < CORK_SIZE + 40_000


@every_loop
async def test_a_lone_reply_leaves_at_once() -> None:
    """It is on its way when `send` returns, and does not wait for the loop."""
    sizes: list[int] = []
    seen: list[int] = []

    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()
        await send({"type": "websocket.send", "text": "reply"})
        seen.extend(sizes)
        await receive()

    async with serving(answer) as running, opened(running) as peer:
        with counted_writes() as sizes_of:
            sizes = sizes_of(running.protocol)
            await peer.send(message(b"x"))
            assert (await peer.frame()).payload == b"reply"
    assert seen == [7]


@pytest.mark.parametrize(
    "event", [{"bytes": b"b", "text": None}, {"bytes": b"b", "text": "t"}, {"bytes": b"b"}]
)
@every_loop
async def test_bytes_go_before_text(event: dict[str, Any]) -> None:
    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send"} | event)
        await receive()

    async with serving(answer) as running, opened(running) as peer:
        frame = await peer.frame()
        assert (frame.opcode, frame.payload) == (2, b"b")


@every_loop
async def test_an_event_without_a_message_is_the_applications_mistake() -> None:
    async def answer(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        with pytest.raises(TypeError):
            await send({"type": "websocket.send", "bytes": None, "text": None})
        await send({"type": "websocket.send", "text": "still open"})
        await receive()

    async with serving(answer) as running, opened(running) as peer:
        assert (await peer.frame()).payload == b"still open"


# Back-pressure.


async def fill(peer: RawPeer, data: bytes, most: int) -> int:
    """Send until the connection takes no more; how many bytes it took."""
    sent = 0
    while sent < most:
        try:
            await asyncio.wait_for(peer.send(data), 0.3)
        except asyncio.TimeoutError:
            return sent
        sent += len(data)
    return sent


@asynccontextmanager
async def held(diary: Diary, request: bytes = REQUEST, **options: Any) -> AsyncIterator[tuple[Any, RawPeer]]:
    """The protocol and the client of an application that has received once and does not receive now."""
    async with serving(diary, **options) as running, opened(running, request) as peer:
        await peer.send(message(b"the one that is received"))
        await eventually(lambda: diary.events, "it has come")
        yield running.protocol, peer


@every_loop
async def test_a_client_is_held_back_while_the_application_does_not_receive() -> None:
    diary = Diary(permits=1)
    async with held(diary) as (protocol, peer):
        taken = await fill(peer, message(bytes(100_000)), 200_000_000)
        assert taken < 100_000_000
        assert sum(map(len, protocol._events)) <= READ_SIZE + 100_000
        diary.permit()
        await eventually(lambda: len(diary.messages) >= 1 + taken // 100_014, "the rest has come")


def are_left(protocol: Any, count: int) -> bool:
    return len(protocol._events) == count


@pytest.mark.parametrize("ws_max_queue", [1, 10, 50])
@every_loop
async def test_reading_goes_on_once_fewer_than_max_queue_wait(ws_max_queue: int) -> None:
    diary = Diary(permits=1)
    async with held(diary, ws_max_queue=ws_max_queue) as (protocol, peer):
        await peer.send(message(b"x") * 60)
        await eventually(lambda: len(protocol._events) == 60, "all are there")
        paused = [protocol._reading_paused]
        for left in reversed(range(60)):
            diary.permit(1)
            await eventually(functools.partial(are_left, protocol, left), "one was received")
            paused.append(protocol._reading_paused)
        assert paused == [left >= ws_max_queue for left in reversed(range(61))]
        diary.permit()


@every_loop
async def test_reading_goes_on_once_little_enough_waits() -> None:
    """Messages that grew out of a small read count with what they are now."""
    compressor = zlib.compressobj(wbits=-12)
    compressed = (compressor.compress(bytes(100_000)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    diary = Diary(permits=1)
    async with held(diary, DEFLATE_REQUEST) as (protocol, peer):
        await peer.send(data_frame(Role.SERVER, 2, compressed, rsv=4) * 8)
        await eventually(functools.partial(are_left, protocol, 8), "all are there")
        paused = []
        for left in reversed(range(8)):
            diary.permit(1)
            await eventually(functools.partial(are_left, protocol, left), "one was received")
            paused.append(protocol._reading_paused)
        assert paused == [left * 100_000 >= DEFAULT_MAX_QUEUE for left in reversed(range(8))]
        diary.permit()


@every_loop
async def test_send_waits_while_the_client_does_not_read() -> None:
    sent = 0
    size = 100_000

    async def pour(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal sent
        await accept(receive, send)
        for _ in range(1000):
            await send({"type": "websocket.send", "bytes": bytes(size)})
            sent += 1
        await receive()

    async with serving(pour) as running, opened(running) as peer:
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 500
        unsent = running.protocol.buffered_amount
        assert unsent < 4 * size
        for _ in range(1000):
            assert len((await peer.frame()).payload) == size
        assert sent == 1000


@every_loop
async def test_a_send_that_waits_ends_with_the_connection() -> None:
    sent = 0
    outcome: list[str] = []

    async def pour(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal sent
        await accept(receive, send)
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
                sent += 1
        except OSError as error:
            outcome.append(type(error).__name__)
            raise

    async with serving(pour) as running:
        async with opened(running) as peer:
            await eventually(lambda: running.protocol._drain_waiters, "a send waits")
            before = sent
            peer.reset()
        await eventually(lambda: outcome, "the send has ended")
    assert outcome == ["ClientDisconnected"]
    assert sent == before


# Receiving.


@every_loop
async def test_a_cancelled_receive_loses_no_message() -> None:
    received: list[bytes] = []

    async def impatient(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        while len(received) < 50:
            task = asyncio.ensure_future(receive())
            await spin(1 + len(received) % 4)
            task.cancel()
            try:
                received.append((await task)["bytes"])
            except asyncio.CancelledError:
                await asyncio.sleep(0)

    async with serving(impatient) as running, opened(running) as peer:
        for number in range(50):
            await peer.send(message(b"%d" % number))
            await spin(number % 5)
        await eventually(lambda: len(received) == 50, "all have come")
    assert received == [b"%d" % number for number in range(50)]


@every_loop
async def test_cancelled_receives_leave_nothing_behind() -> None:
    waiting: list[Any] = []

    async def impatient(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        for _ in range(20):
            tasks = [asyncio.ensure_future(receive()) for _ in range(3)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        waiting.append((running.protocol._arrival.is_awaited, running.protocol._receivers))
        await receive()

    async with serving(impatient) as running, opened(running):
        await eventually(lambda: waiting, "it has tried")
        assert waiting == [(False, [])]


@every_loop
async def test_several_may_receive_at_once() -> None:
    received: list[Any] = []

    async def crowd(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)

        async def one() -> None:
            while (event := await receive())["type"] == "websocket.receive":
                received.append(event["bytes"])
            received.append(event["code"])

        await asyncio.gather(one(), one(), one())

    async with serving(crowd) as running:
        async with opened(running) as peer:
            for number in range(9):
                await peer.send(message(b"%d" % number))
            await eventually(lambda: len(received) == 9, "all have come")
            assert sorted(received) == [b"%d" % number for number in range(9)]
        await eventually(lambda: len(received) == 12, "all three are told of the end")
    assert received[9:] == [1006] * 3


@pytest.mark.parametrize("cancelled", [0, 1, 2])
@every_loop
async def test_a_message_goes_to_those_who_still_wait_for_it(cancelled: int) -> None:
    received: list[bytes] = []
    waiting: list[asyncio.Task[dict[str, Any]]] = []

    async def crowd(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        waiting.extend(asyncio.ensure_future(receive()) for _ in range(3))
        await asyncio.sleep(0)
        waiting.pop(cancelled).cancel()
        received.extend([event["bytes"] for event in await asyncio.gather(*waiting)])
        await receive()

    async with serving(crowd) as running, opened(running) as peer:
        await eventually(lambda: len(waiting) == 2, "one has been cancelled")
        await peer.send(message(b"1"))
        await eventually(lambda: any(task.done() for task in waiting), "one has it")
        await peer.send(message(b"2"))
        await eventually(lambda: received, "the other has the next")
    assert sorted(received) == [b"1", b"2"]


@pytest.mark.parametrize("awaits_it", [True, False])
@every_loop
async def test_receive_goes_on_behind_one_that_was_cancelled(awaits_it: bool) -> None:
    received: list[Any] = []

    async def asking(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        receiving = asyncio.ensure_future(receive())
        _, waiting = await asyncio.wait({receiving}, timeout=0.02)
        receiving.cancel()
        if awaits_it:
            await asyncio.wait(waiting)
        await send({"type": "websocket.send", "text": "who are you?"})
        received.append((await receive())["bytes"])
        received.append(receiving.cancelled())
        received.append((await receive())["code"])

    async with serving(asking) as running:
        async with opened(running) as peer:
            await peer.frame()
            await peer.send(message(b"Bob"))
            await eventually(lambda: len(received) == 2, "it is told")
        await eventually(lambda: len(received) == 3, "it is told of the end")
    assert received == [b"Bob", True, 1006]


@every_loop
async def test_scopes_of_anyio_know_their_own_cancellation() -> None:
    received: list[Any] = []

    async def patient(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        for _ in range(2):
            with anyio.move_on_after(0.02) as limit:
                await receive()
            received.append(limit.cancelled_caught)
        received.append((await receive())["bytes"])

    async with serving(patient) as running, opened(running) as peer:
        await eventually(lambda: len(received) == 2, "it goes on")
        await peer.send(message(b"a"))
        await eventually(lambda: len(received) == 3, "it is told")
    assert received == [True, True, b"a"]


@asynccontextmanager
async def in_a_read(data: bytes) -> AsyncIterator[tuple[Diary, list[int]]]:
    """An application, and how many events it has had when a read of `data` is over."""
    diary = Diary()
    counts: list[int] = []

    def read() -> None:
        running.protocol.data_received(data)
        counts.append(len(diary.events))

    async with serving(diary) as running, opened(running):
        await eventually(lambda: running.protocol._arrival.is_awaited, "it receives")
        asyncio.get_running_loop().call_soon(read)
        await eventually(lambda: counts, "something has come")
        yield diary, counts


@every_loop
async def test_the_application_runs_within_the_read_that_brought_a_message() -> None:
    async with in_a_read(message(b"1") + message(b"2")) as (diary, counts):
        assert counts == [2]
        assert diary.messages == [b"1", b"2"]


@every_loop
async def test_the_application_does_not_run_in_the_midst_of_closing() -> None:
    async with in_a_read(message(b"1") + message(b"\x03\xe8", 8)) as (diary, counts):
        assert counts == [1]
        await eventually(lambda: len(diary.events) == 2, "it is told of the end")
        assert diary.farewell["code"] == 1000


@every_loop
async def test_receive_after_the_end_raises_and_does_not_spin() -> None:
    """An application that overlooks the end ends with it."""
    calls = 0

    async def deaf(scope: Any, receive: Receive, send: Send) -> None:
        nonlocal calls
        await accept(receive, send)
        while True:
            await receive()
            calls += 1

    async with serving(deaf) as running, opened(running) as peer:
        await peer.send(message(b"x"))
        await eventually(lambda: calls == 1, "it has come")
    assert calls == 2
