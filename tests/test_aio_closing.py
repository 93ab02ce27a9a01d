"""Pings and the closing handshake in the coroutine form."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import weakref
import zlib
from typing import Any

import pytest
from aio_support import (
    clock,
    echo,
    eventually,
    every_loop,
    pair,
    simulated,
    spin,
    uri_of,
)
from raw_peer import (
    REQUEST,
    raw_client,
    raw_pair,
    served,
)
from wire import data_frame

from fastframe import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    MessageDecoder,
    ProtocolError,
    Role,
    State,
    WebSocket,
    WebSocketStream,
    connect,
    serve,
)
from fastframe.aio.protocol import SocketProtocol
from fastframe.connection import Connection
from fastframe.deflate import DeflateCodec

MEBIBYTE = 1024 * 1024
COMPRESSIONS = pytest.mark.parametrize("compression", [None, "deflate"])


# Pings.


@every_loop
async def test_ping_gives_the_seconds_to_its_pong() -> None:
    async with pair() as (_, client):
        first = await client.ping()
        second = await client.ping("payload")
        for waiter in (second, first):
            assert 0 <= await waiter < 10


@every_loop
async def test_pong_settles_the_pings_before_it() -> None:
    async with raw_pair() as (peer, ws):
        waiters = [await ws.ping(bytes([number])) for number in range(3)]
        await peer.send(data_frame(Role.CLIENT, 10, b"\1"))
        await waiters[1]
        assert waiters[0].done() and not waiters[2].done()
        await peer.send(data_frame(Role.CLIENT, 10, b"unasked") + data_frame(Role.CLIENT, 10, b"\2"))
        await waiters[2]


@every_loop
async def test_ping_with_a_payload_in_use_is_refused() -> None:
    async with raw_pair() as (peer, ws):
        waiter = await ws.ping(b"a")
        with pytest.raises(ValueError, match="under way"):
            await ws.ping(b"a")
        await peer.send(data_frame(Role.CLIENT, 10, b"a"))
        await waiter
        await ws.ping(b"a")


@simulated
async def test_pings_differ_even_if_the_clock_stands_still() -> None:
    async with raw_pair() as (peer, ws):
        first, second = await ws.ping(), await ws.ping()
        await peer.send(data_frame(Role.CLIENT, 10, (await peer.frame()).payload))
        await first
        third = await ws.ping()
        assert not second.done() and not third.done()


@every_loop
async def test_ping_payload_too_long_is_refused() -> None:
    async with pair() as (_, client):
        with pytest.raises(ValueError, match="125"):
            await client.ping(b"x" * 126)
        assert await (await client.ping(b"x" * 125)) >= 0


@every_loop
async def test_pings_without_an_answer_fail_when_the_connection_ends() -> None:
    async with raw_pair() as (peer, ws):
        waiter, forgotten = await ws.ping(), await ws.ping()
        forgotten.cancel()
        peer.reset()
        with pytest.raises(ConnectionClosedError):
            await waiter


# Closing.


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "Grüße"), (3000, "x" * 123), (4999, "a")])
@pytest.mark.parametrize("closer", [0, 1], ids=["server-closes", "client-closes"])
@every_loop
async def test_close_code_and_reason_are_seen_on_both_sides(closer: int, code: int, reason: str) -> None:
    async with pair() as ends:
        ours, theirs = ends[closer], ends[1 - closer]
        assert repr(ours).startswith("<WebSocketStream OPEN")
        await ours.close(code, reason)
        await theirs.wait_closed()
        assert (theirs.close_code, theirs.close_reason) == (code, reason)
        assert (ours.close_code, ours.close_reason) == (code, "")
        assert ours.ready_state is theirs.ready_state is State.CLOSED
        kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
        with pytest.raises(kind) as ours_caught:
            await ours.recv()
        with pytest.raises(kind) as theirs_caught:
            await theirs.send("late")
        assert ours_caught.value.received_first is False
        assert theirs_caught.value.received_first is True


@every_loop
async def test_server_closes_once_both_close_frames_have_passed_whatever_the_client_does() -> None:
    async with served(close_timeout=60) as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 8, b"\x03\xe8"))
        assert (await peer.frame()).opcode == 8
        # The client's side stays open.
        await asyncio.wait_for(ws.wait_closed(), 10)
        assert await peer.rest() == b""


@every_loop
async def test_no_reset_overtakes_the_close_frame_that_answers_a_violation() -> None:
    async with served(close_timeout=5) as (peer, ws):
        await peer.send(b"\xf1\x80" + bytes(4))
        # What it had under way all the same.
        for _ in range(20):
            await peer.send(bytes(10_000))
            await asyncio.sleep(0.005)
        assert (await peer.frame()).payload[:2] == b"\x03\xea"
        assert await peer.rest() == b""
        peer.close()
        await ws.wait_closed()


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1000, "x" * 124)])
@every_loop
async def test_close_with_what_may_not_be_sent_is_refused(code: int, reason: str) -> None:
    async with pair() as (server, client):
        with pytest.raises(ValueError, match="close_"):
            await client.close(code, reason)
        await client.send("still open")
        assert await server.recv() == "still open"


@every_loop
async def test_close_again_waits_only() -> None:
    async with pair() as (server, client):
        await asyncio.gather(client.close(1000, "a"), client.close(1001, "b"), client.wait_closed())
        await client.close(1001, "c")
        await server.wait_closed()
        assert (server.close_code, server.close_reason) == (1000, "a")


@every_loop
async def test_both_may_close_at_the_same_time() -> None:
    async with pair() as (server, client):
        await asyncio.gather(server.close(1000, "s"), client.close(1001, "c"))
        assert server.ready_state is client.ready_state is State.CLOSED
        assert server.close_code in (1000, 1001)


@pytest.mark.parametrize("sender", [0, 1], ids=["server-sends", "client-sends"])
@COMPRESSIONS
@every_loop
async def test_close_does_not_truncate_the_last_message(sender: int, compression: str | None) -> None:
    message = random.Random(6).randbytes(5 * MEBIBYTE)
    options = {"compression": compression, "max_size": None}
    async with pair(server=options, client=options) as ends:
        ours, theirs = ends[sender], ends[1 - sender]
        sending = asyncio.ensure_future(ours.send(message))
        await spin(1)
        closing = asyncio.ensure_future(ours.close(1000, "done"))
        assert await theirs.recv() == message
        with pytest.raises(ConnectionClosedOK):
            await theirs.recv()
        await asyncio.gather(sending, closing, return_exceptions=True)
        assert theirs.close_reason == "done"


@pytest.mark.parametrize("sender", [0, 1], ids=["server-sends", "client-sends"])
@every_loop
async def test_closing_while_the_peer_is_busy_truncates_nothing(sender: int) -> None:
    """The receiver's queue is full before the close frame comes."""
    block = random.Random(7).randbytes(100_000)
    async with pair(server={"max_queue": 200_000}, client={"max_queue": 200_000}) as ends:
        ours, theirs = ends[sender], ends[1 - sender]

        async def send_and_close() -> None:
            for _ in range(30):
                await ours.send(block)
            await ours.close(1000, "done")

        sending = asyncio.ensure_future(send_and_close())
        await eventually(lambda: not theirs.transport.is_reading(), "reading paused")
        received = [message async for message in theirs]
        assert received == [block] * 30
        await sending


@every_loop
async def test_messages_before_the_peers_close_frame_may_be_answered() -> None:
    async with (
        serve(echo, "127.0.0.1", 0, compression=None) as server,
        raw_client(server) as peer,
    ):
        questions = b"".join(data_frame(Role.SERVER, 1, bytes([65 + number])) for number in range(5))
        await peer.send(questions + data_frame(Role.SERVER, 8, (1000).to_bytes(2, "big")))
        frames = [await peer.frame() for _ in range(6)]
        assert [frame.payload for frame in frames[:5]] == [b"A", b"B", b"C", b"D", b"E"]
        assert frames[5].opcode == 8
        assert await peer.rest() == b""


@simulated
async def test_peers_close_is_answered_though_the_application_takes_nothing() -> None:
    async with raw_pair(close_timeout=10, ping_interval=None) as (peer, ws):
        await peer.send(
            data_frame(Role.CLIENT, 1, b"a") + data_frame(Role.CLIENT, 8, (1001).to_bytes(2, "big"))
        )
        before = clock().time()
        assert (await peer.frame()).payload == (1001).to_bytes(2, "big")
        assert clock().time() - before <= 10.1
        assert await ws.recv() == "a"


@simulated
async def test_who_waits_for_the_end_with_no_message_left_has_nothing_to_answer() -> None:
    async with raw_pair(ping_interval=None) as (peer, ws):
        close = data_frame(Role.CLIENT, 8, (1000).to_bytes(2, "big"))
        await peer.send(data_frame(Role.CLIENT, 1, b"the last") + close)
        connection = ws.connection
        assert connection is not None
        await eventually(lambda: connection.close_received, "the close frame has come")
        before = clock().time()
        early = asyncio.ensure_future(ws.wait_closed())
        await spin(10)
        assert connection.close_sent is None  # a message is left, which may be answered
        assert await ws.recv() == "the last"
        late = asyncio.ensure_future(ws.wait_closed())
        assert (await peer.frame()).opcode == 8
        peer.close()
        await asyncio.gather(early, late)
        assert clock().time() - before < 1


@pytest.mark.parametrize("reason", ["close", "violation"])
@pytest.mark.parametrize("form", ["recv", "async for", "recv_streaming"])
@every_loop
async def test_peer_that_sends_no_more_is_answered_though_messages_wait(form: str, reason: str) -> None:
    taken: list[Any] = []

    async def take_all(ws: WebSocketStream) -> None:
        if form == "async for":
            async for message in ws:
                taken.append(message)
                await asyncio.sleep(0.02)
            return
        while True:
            taken.append(await (ws.recv() if form == "recv" else anext(ws.recv_streaming())))
            await asyncio.sleep(0.02)

    async def handler(ws: WebSocketStream) -> None:
        await take_all(ws)

    code = 1000 if reason == "close" else 1002
    last = (
        data_frame(Role.SERVER, 8, (1000).to_bytes(2, "big")) if reason == "close" else b"\xff\x80" + bytes(4)
    )
    async with serve(handler, "127.0.0.1", 0) as server, raw_client(server) as peer:
        await peer.send(data_frame(Role.SERVER, 1, b"a") + data_frame(Role.SERVER, 1, b"b") + last)
        peer.half_close()
        answer = await peer.frame()
        assert (answer.opcode, answer.payload[:2]) == (8, code.to_bytes(2, "big"))
        assert await peer.rest() == b""
        await eventually(lambda: len(taken) == 2, "all are taken")
    assert taken == ["a", "b"]


@every_loop
async def test_peer_that_closes_before_its_messages_are_taken_leaves_no_timer() -> None:
    async with pair() as (server, client):
        await client.send("a")
        closing = asyncio.ensure_future(client.close())
        await eventually(lambda: server.connection._decoder.close is not None, "the close frame came")  # type: ignore[union-attr]
        assert await server.recv() == "a"
        with pytest.raises(ConnectionClosedOK):
            await server.recv()
        await closing


@simulated
async def test_peer_that_does_not_close_is_given_up_after_close_timeout() -> None:
    async with raw_pair(close_timeout=7, ping_interval=None) as (_, ws):
        before = clock().time()
        await ws.close(1000, "bye")
        assert clock().time() - before == pytest.approx(7, abs=0.1)
        with pytest.raises(ConnectionClosedError, match="sent 1000 bye; received no close frame.*7 s"):
            await ws.recv()
        assert (ws.close_code, ws.close_reason) == (1006, "")


@simulated
async def test_server_that_keeps_the_socket_open_is_given_up_after_close_timeout() -> None:
    async with raw_pair(close_timeout=7, ping_interval=None) as (peer, ws):
        closing = asyncio.ensure_future(ws.close())
        await peer.frame()
        await peer.send(data_frame(Role.CLIENT, 8, (1000).to_bytes(2, "big")))
        before = clock().time()
        await closing
        assert clock().time() - before == pytest.approx(7, abs=0.1)
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()


@simulated
async def test_violation_after_our_close_frame_is_told_though_the_socket_stays_open() -> None:
    async with raw_pair(close_timeout=7, ping_interval=None) as (peer, ws):
        receiving = asyncio.ensure_future(ws.recv())
        closing = asyncio.ensure_future(ws.close())
        assert (await peer.frame()).opcode == 8
        before = clock().time()
        await peer.send(data_frame(Role.CLIENT, 3, b""))
        with pytest.raises(ConnectionClosedError, match="sent 1000; received no close frame"):
            await receiving
        assert clock().time() - before < 1
        await closing


@every_loop
async def test_context_manager_closes_the_connection() -> None:
    async with pair() as (server, client):
        async with client as entered:
            assert entered is client
        await server.wait_closed()
        assert server.close_code == 1000


@every_loop
async def test_context_manager_left_by_an_exception_closes_with_1011() -> None:
    async with pair() as (server, client):
        with pytest.raises(ZeroDivisionError):
            async with client:
                raise ZeroDivisionError
        await server.wait_closed()
        assert server.close_code == 1011


@pytest.mark.parametrize("name", ["send", "ping", "recv"])
@every_loop
async def test_closed_connection_says_so_every_time(name: str) -> None:
    async with pair() as (_, client):
        await client.close()
        for _ in range(3):
            with pytest.raises(ConnectionClosed, match="sent 1000"):
                await getattr(client, name)(*([] if name == "recv" else [b"a"]))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython counts references")
@every_loop
async def test_nobody_has_to_collect_a_connection_that_is_closed() -> None:
    gone: list[weakref.ref[Any]] = []

    async def handler(ws: Any) -> None:
        gone.append(weakref.ref(ws))
        async for message in ws:
            await ws.send(message)
        with pytest.raises(ConnectionClosedOK, match="^received 1000; then sent 1000$"):
            await ws.recv()

    gc.collect()
    gc.disable()
    try:
        async with serve(handler, "127.0.0.1", 0) as server:
            async with raw_client(server) as peer:
                await peer.send(data_frame(Role.SERVER, 1, b"a") + data_frame(Role.SERVER, 8, b"\x03\xe8"))
                await peer.rest()
            await eventually(lambda: gone and not server.connections, "it was opened and closed")
            await eventually(lambda: gone[0]() is None, "nothing is left of it")
    finally:
        gc.enable()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython counts references")
@pytest.mark.parametrize("form", [None, WebSocket])
@every_loop
async def test_nobody_has_to_collect_a_client_that_is_closed(form: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        async with serve(echo, "127.0.0.1", 0) as server:
            ws = await connect(uri_of(server), form)
            closing = ws.close()
            if closing is not None:
                await closing
            del closing
            gone, ws = weakref.ref(ws), None
            await eventually(lambda: gone() is None, "nothing is left of it")
    finally:
        gc.enable()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython counts references")
@every_loop
async def test_nobody_has_to_collect_one_that_was_asked_for_a_stream_at_its_end() -> None:
    gone: list[weakref.ref[Any]] = []
    taken: list[Any] = []

    async def take_all(ws: WebSocketStream) -> None:
        while True:
            taken.extend([chunk async for chunk in ws.recv_streaming()])

    async def handler(ws: WebSocketStream) -> None:
        gone.append(weakref.ref(ws))
        await eventually(lambda: ws.ready_state is State.CLOSED, "the peer is gone")
        with pytest.raises(ConnectionClosedError):
            await take_all(ws)

    gc.collect()
    gc.disable()
    try:
        async with serve(handler, "127.0.0.1", 0) as server:
            async with raw_client(server) as peer:
                await peer.send(data_frame(Role.SERVER, 1, b"a") + data_frame(Role.SERVER, 1, b"b"))
            await eventually(lambda: len(taken) == 2, "both are taken")
            await eventually(lambda: gone[0]() is None, "nothing is left of it")
    finally:
        gc.enable()
    assert taken == ["a", "b"]


def compressed(opcode: int, message: bytes, end: bytes = b"") -> bytes:
    """A client's frame, `end` behind what is compressed."""
    compressor = zlib.compressobj(9, wbits=-12)
    payload = (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return data_frame(Role.SERVER, opcode, payload + end, rsv=4)


LAST_WORDS = {
    "bomb": compressed(2, bytes(2 * MEBIBYTE)),
    "corrupt": compressed(2, random.Random(8).randbytes(100_000), b"\x07"),
    "inflated text that is no UTF-8": compressed(1, b"a" * 100_000 + b"\xff"),
    "text that is no UTF-8": data_frame(Role.SERVER, 1, b"a" * 100_000 + b"\xff"),
    "reserved opcode": data_frame(Role.SERVER, 2, bytes(100_000)) + data_frame(Role.SERVER, 3, b""),
    "bomb and more": compressed(2, bytes(2 * MEBIBYTE)) + bytes(300_000),
}


def kept_of_connections() -> list[str]:
    """What there is of connections, and of how they failed."""
    kinds = (SocketProtocol, Connection, MessageDecoder, DeflateCodec, ProtocolError)
    return sorted(type(thing).__name__ for thing in gc.get_objects() if issubclass(type(thing), kinds))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="only CPython counts references")
@pytest.mark.parametrize("form", ["coroutine", "callback"])
@pytest.mark.parametrize("wire", LAST_WORDS.values(), ids=list(LAST_WORDS))
@every_loop
async def test_nobody_has_to_collect_what_a_peer_failed_by(form: str, wire: bytes) -> None:
    codes: list[int | None] = []

    async def handler(ws: Any) -> None:
        with pytest.raises(ConnectionClosedError):
            async for _ in ws:
                pass
        codes.append(ws.connection.failure.close_code)

    class Callbacks(WebSocket):
        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            assert self.connection is not None and self.connection.failure is not None
            codes.append(self.connection.failure.close_code)

    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    gc.collect()
    gc.disable()
    try:
        before = kept_of_connections()
        async with serve(handler if form == "coroutine" else Callbacks, "127.0.0.1", 0) as server:
            async with raw_client(server, REQUEST[:-2] + extension) as peer:
                await peer.send(wire)
            await eventually(lambda: codes and not server.connections, "it was opened and failed")
            await eventually(lambda: kept_of_connections() == before, "nothing is left of it")
    finally:
        gc.enable()
