"""Messages received in chunks: `WebSocketStream.recv_streaming`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aio_support import clock, eventually, every_loop, pair, simulated, spin, tls_contexts, uri_of
from raw_peer import raw_pair, served
from wire import data_frame

from fastframe import (
    ConnectionClosedError,
    ConnectionClosedOK,
    PerMessageDeflate,
    Role,
    WebSocketStream,
    connect,
    serve,
)

SIDES: dict[Role, Any] = {Role.SERVER: served, Role.CLIENT: raw_pair}
BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
MEBIBYTE = 1024 * 1024
CLOSE_1000 = (1000).to_bytes(2, "big")


async def all_of(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]


def retained(ws: WebSocketStream) -> int:
    """Bytes of the message that is under way."""
    assert ws.connection is not None
    return ws.connection.retained


# As they come.


@BOTH
@pytest.mark.parametrize(("opcode", "parts"), [(1, ["ä", "b", "c"]), (2, [b"\0", b"b", b"c"])])
@every_loop
async def test_fragment_is_handed_out_before_the_next_one_comes(
    role: Role, opcode: int, parts: list[Any]
) -> None:
    async with SIDES[role]() as (peer, ws):
        chunks = ws.recv_streaming()
        for number, part in enumerate(parts):
            payload = part.encode() if opcode == 1 else part
            await peer.send(data_frame(role, 0 if number else opcode, payload, fin=False))
            assert await anext(chunks) == part
        await peer.send(data_frame(role, 9, b"p") + data_frame(role, 0, b"") + data_frame(role, 1, b"next"))
        assert await all_of(chunks) == []
        assert await ws.recv() == "next"


@BOTH
@every_loop
async def test_frame_is_handed_out_while_it_comes(role: Role) -> None:
    message = random.Random(1).randbytes(3 * MEBIBYTE)
    wire = data_frame(role, 2, message)
    async with SIDES[role](max_size=None) as (peer, ws):
        chunks, got = ws.recv_streaming(), b""
        for start in range(0, len(wire), 500_000):
            await peer.send(wire[start : start + 500_000])
            while len(got) < min(start + 500_000, len(wire)) - (len(wire) - len(message)):
                got += await anext(chunks)
            assert retained(ws) == 0
        assert got == message
        assert await all_of(chunks) == []


@every_loop
async def test_text_is_never_cut_inside_a_code_point() -> None:
    message = "aä你🌍" * 5
    async with raw_pair() as (peer, ws):
        receiving = asyncio.ensure_future(all_of(ws.recv_streaming()))
        for byte in data_frame(Role.CLIENT, 1, message.encode()):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.001)
        parts = await receiving
        assert "".join(parts) == message
        assert len(parts) > 5


@BOTH
@every_loop
async def test_what_came_before_anybody_asked_is_handed_out_at_once(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 1, b"early", fin=False))
        await eventually(lambda: retained(ws) == 5, "the fragment came")
        chunks = ws.recv_streaming()
        assert await anext(chunks) == "early"
        await peer.send(data_frame(role, 0, b"late"))
        assert await all_of(chunks) == ["late"]


@pytest.mark.parametrize("message", ["", b"", "text", b"bytes", "x" * 200_000])
@every_loop
async def test_message_that_is_queued_already_is_one_chunk(message: str | bytes) -> None:
    async with pair() as (server, client):
        await client.send(message)
        await client.send("next")
        await eventually(lambda: len(server._messages) == 2, "both came")
        assert await all_of(server.recv_streaming()) == [message]
        assert await server.recv() == "next"


@pytest.mark.parametrize(("opcode", "empty"), [(1, ""), (2, b"")])
@every_loop
async def test_empty_message_is_one_empty_chunk(opcode: int, empty: Any) -> None:
    async with raw_pair() as (peer, ws):
        receiving = asyncio.ensure_future(all_of(ws.recv_streaming()))
        await spin(3)
        await peer.send(data_frame(Role.CLIENT, opcode, b"", fin=False))
        await peer.send(data_frame(Role.CLIENT, 0, b""))
        assert await receiving == [empty]


@every_loop
async def test_compressed_message_is_one_chunk() -> None:
    message = "compressible " * 50_000
    options = {"compression": PerMessageDeflate(), "max_size": None}
    async with pair(server=options, client=options) as (server, client):
        for _ in range(2):
            receiving = asyncio.ensure_future(all_of(server.recv_streaming()))
            await spin(3)
            await client.send(message)
            assert await receiving == [message]


@every_loop
async def test_text_as_bytes_gives_bytes() -> None:
    async with raw_pair(text_as_bytes=True) as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(Role.CLIENT, 1, "ä".encode(), fin=False))
        assert await anext(chunks) == "ä".encode()
        await peer.send(data_frame(Role.CLIENT, 0, b""))
        assert await all_of(chunks) == []


@every_loop
async def test_pings_are_answered_between_chunks() -> None:
    async with raw_pair() as (peer, ws):
        receiving = asyncio.ensure_future(all_of(ws.recv_streaming()))
        await peer.send(data_frame(Role.CLIENT, 2, b"a", fin=False) + data_frame(Role.CLIENT, 9, b"p"))
        assert (await peer.frame()).payload == b"p"
        await peer.send(data_frame(Role.CLIENT, 0, b"b"))
        assert b"".join(await receiving) == b"ab"


# Memory.


@BOTH
@pytest.mark.parametrize("fragment", [None, 50_000])
@every_loop
async def test_reading_pauses_while_chunks_are_not_taken(role: Role, fragment: int | None) -> None:
    message = random.Random(2).randbytes(20 * MEBIBYTE)
    wire = data_frame(role, 2, message)
    if fragment is not None:
        starts = range(0, len(message), fragment)
        frames = [
            data_frame(role, 0 if start else 2, message[start : start + fragment], fin=False)
            for start in starts
        ]
        wire = b"".join([*frames, data_frame(role, 0, b"")])
    async with SIDES[role](max_size=None, max_queue=300_000) as (peer, ws):
        chunks: Any = ws.recv_streaming()
        sending = asyncio.ensure_future(peer.send(wire))
        got = [await anext(chunks)]
        await eventually(lambda: not ws.transport.is_reading(), "reading paused")
        await spin(20)
        assert not sending.done()
        assert chunks.size + retained(ws) <= 300_000 + 2 * MEBIBYTE
        got += await all_of(chunks)
        assert b"".join(got) == message
        await sending


@every_loop
async def test_next_message_does_not_pile_up_before_it_is_asked_for() -> None:
    message = random.Random(3).randbytes(20 * MEBIBYTE)
    async with raw_pair(max_size=None, max_queue=300_000) as (peer, ws):
        await peer.send(data_frame(Role.CLIENT, 1, b"first"))
        assert await all_of(ws.recv_streaming()) == ["first"]
        for receive in ("recv_streaming", "recv"):
            sending = asyncio.ensure_future(peer.send(data_frame(Role.CLIENT, 2, message)))
            await eventually(lambda: not ws.transport.is_reading(), "reading paused")
            assert retained(ws) <= 300_000 + 2 * MEBIBYTE and not sending.done()
            if receive == "recv":
                assert await ws.recv() == message
            else:
                assert b"".join(await all_of(ws.recv_streaming())) == message
            await sending


@every_loop
async def test_large_message_is_streamed_over_tls() -> None:
    server_context, client_context = tls_contexts()
    message = random.Random(4).randbytes(5 * MEBIBYTE)
    got: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    async def handler(ws: WebSocketStream) -> None:
        got.set_result(await all_of(ws.recv_streaming()))
        await ws.send("done")

    options: dict[str, Any] = {"compression": None, "max_size": None, "max_queue": 100_000}
    async with (
        serve(handler, "127.0.0.1", 0, ssl=server_context, **options) as server,
        connect(uri_of(server, scheme="wss"), ssl=client_context, compression=None) as ws,
    ):
        await ws.send(message)
        assert await ws.recv() == "done"
        chunks = await got
        assert b"".join(chunks) == message and len(chunks) > 3


# Left early.


@pytest.mark.parametrize("rest_came", [True, False])
@pytest.mark.parametrize("then", ["recv", "recv_many", "recv_streaming", "__anext__"])
@every_loop
async def test_message_left_early_does_not_disturb_the_next(then: str, rest_came: bool) -> None:
    async with raw_pair() as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(Role.CLIENT, 2, b"left", fin=False))
        assert await anext(chunks) == b"left"
        behind = [data_frame(Role.CLIENT, 0, b"more", fin=False), data_frame(Role.CLIENT, 0, b"rest")]
        behind.append(data_frame(Role.CLIENT, 1, b"next"))
        if rest_came:
            await peer.send(behind[0] + behind[1] + behind[2])
            await eventually(lambda: ws._messages, "all came")
        receiving: Any = getattr(ws, then)()
        receiving = asyncio.ensure_future(all_of(receiving) if then == "recv_streaming" else receiving)
        if not rest_came:
            for frame in behind:
                await spin(2)
                await peer.send(frame)
        got = await receiving
        assert got == (["next"] if then in ("recv_many", "recv_streaming") else "next")


@pytest.mark.parametrize("role", [Role.SERVER, Role.CLIENT])
@pytest.mark.parametrize("some_came", [True, False])
@pytest.mark.parametrize("then", ["recv", "recv_many", "recv_streaming", "__anext__", "itself", "none"])
@every_loop
async def test_one_that_nobody_waits_for_any_more_takes_no_message(
    then: str, some_came: bool, role: Role
) -> None:
    async with SIDES[role]() as (peer, ws):
        chunks = ws.recv_streaming()
        waiting = asyncio.ensure_future(anext(chunks))
        await spin(2)
        frame = data_frame(role, 1, b"whole")
        if some_came:  # not enough to hand anything out
            await peer.send(frame[:2])
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        if then == "none":  # the message is there before anybody asks
            await peer.send(frame[2:] if some_came else frame)
            await eventually(lambda: ws._messages, "it came")
            assert await ws.recv() == "whole"
            return
        another: Any = chunks if then == "itself" else getattr(ws, then)()
        is_stream = then in ("recv_streaming", "itself")
        receiving = asyncio.ensure_future(all_of(another) if is_stream else another)
        await spin(2)
        await peer.send(frame[2:] if some_came else frame)
        assert await receiving == (["whole"] if is_stream or then == "recv_many" else "whole")


@every_loop
async def test_memory_of_a_message_left_early_is_given_back() -> None:
    async with raw_pair(max_size=None) as (peer, ws):
        chunks: Any = ws.recv_streaming()
        payload = data_frame(Role.CLIENT, 2, bytes(10 * MEBIBYTE))
        await peer.send(payload[:MEBIBYTE])
        await anext(chunks)
        receiving = asyncio.ensure_future(ws.recv())
        await spin(2)
        for start in range(MEBIBYTE, len(payload), MEBIBYTE):
            await peer.send(payload[start : start + MEBIBYTE])
            assert chunks.size == 0 and retained(ws) <= MEBIBYTE
        await peer.send(data_frame(Role.CLIENT, 1, b"next"))
        assert await receiving == "next"
        with pytest.raises(RuntimeError, match="something else was received"):
            await anext(chunks)


@every_loop
async def test_chunks_of_a_complete_message_stay_while_others_are_received() -> None:
    async with raw_pair() as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(Role.CLIENT, 1, b"a", fin=False))
        assert await anext(chunks) == "a"
        await peer.send(data_frame(Role.CLIENT, 0, b"b") + data_frame(Role.CLIENT, 1, b"next"))
        await eventually(lambda: ws._messages, "all came")
        assert await ws.recv() == "next"
        receiving = asyncio.ensure_future(ws.recv())
        await spin(2)
        assert await all_of(chunks) == ["b"]
        await peer.send(data_frame(Role.CLIENT, 1, b"last"))
        assert await receiving == "last"


@pytest.mark.parametrize("first", ["recv", "stream"])
@every_loop
async def test_second_receiver_is_refused(first: str) -> None:
    async with raw_pair() as (peer, ws):
        chunks = ws.recv_streaming()
        coroutines = [anext(chunks), ws.recv()]
        if first == "recv":
            coroutines.reverse()
        receiving = asyncio.ensure_future(coroutines[0])
        await spin(2)
        with pytest.raises(RuntimeError, match="receiving"):
            await coroutines[1]
        await peer.send(data_frame(Role.CLIENT, 1, b"for the first"))
        assert await receiving == "for the first"


@every_loop
async def test_cancelling_loses_no_chunk() -> None:
    async with raw_pair() as (peer, ws):
        chunks = ws.recv_streaming()
        got: list[Any] = []
        for number in range(200):
            receiving = asyncio.ensure_future(anext(chunks))
            await spin(number % 3)
            await peer.send(data_frame(Role.CLIENT, 0 if number else 2, b"%03d" % number, fin=False))
            await spin(number % 5)
            receiving.cancel()
            await asyncio.wait([receiving])
            if not receiving.cancelled():
                got.append(receiving.result())
        await peer.send(data_frame(Role.CLIENT, 0, b""))
        got += await all_of(chunks)
        assert b"".join(got) == b"".join(b"%03d" % number for number in range(200))


@pytest.mark.parametrize("seed", range(6))
@every_loop
async def test_any_mixture_of_receiving_keeps_messages_apart(seed: int) -> None:
    source = random.Random(seed)
    messages = [f"{number}:" + "aä你🌍" * source.choice([0, 1, 50, 4000]) for number in range(60)]
    wire = b""
    for message in messages:
        data, opcode = message.encode(), 1
        while source.random() < 0.6:
            size = source.randrange(len(data) + 1)
            wire += data_frame(Role.CLIENT, opcode, data[:size], fin=False)
            data, opcode = data[size:], 0
        wire += data_frame(Role.CLIENT, opcode, data)

    async def send(peer: Any, wire: bytes) -> None:
        while wire:
            size = source.choice([3, 100, 3000, 100_000])
            await peer.send(wire[:size])
            wire = wire[size:]
            await spin(source.randrange(3))

    async with raw_pair(max_queue=20_000) as (peer, ws):
        sending = asyncio.ensure_future(send(peer, wire))
        for message in messages:
            way = 0 if message is messages[-1] else source.randrange(4)
            if way == 0:
                assert await ws.recv() == message
                continue
            chunks, got = ws.recv_streaming(), ""
            async for chunk in chunks:
                assert isinstance(chunk, str)
                got += chunk
                if way == 1:
                    break  # the rest is dropped
                await spin(way - 2)
            assert got == message if way > 1 else message.startswith(got)
        await sending


# The end.


@BOTH
@every_loop
async def test_peer_lost_in_the_middle_of_a_message_is_told_after_its_chunks(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(role, 2, b"0123456789")[:-3])
        assert await anext(chunks) == b"0123456"
        peer.close()
        for _ in range(2):
            with pytest.raises(ConnectionClosedError):
                await anext(chunks)


@BOTH
@every_loop
async def test_close_frame_in_the_middle_of_a_message_is_no_end_of_it(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        receiving = asyncio.ensure_future(all_of(ws.recv_streaming()))
        await spin(2)
        await peer.send(data_frame(role, 2, b"half", fin=False) + data_frame(role, 8, CLOSE_1000))
        assert (await peer.frame()).opcode == 8
        peer.half_close()
        with pytest.raises(ConnectionClosedOK):
            await receiving


@every_loop
async def test_closed_connection_has_no_chunks() -> None:
    async with pair() as (server, client):
        await client.close()
        with pytest.raises(ConnectionClosedOK):
            await anext(server.recv_streaming())


@BOTH
@simulated
async def test_violation_in_the_middle_is_told_at_once(role: Role) -> None:
    async with SIDES[role](ping_interval=None) as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(role, 1, b"good", fin=False) + data_frame(role, 0, b"\xff"))
        before = clock().time()
        with pytest.raises(ConnectionClosedError, match="sent 1007"):
            await all_of(chunks)
        assert clock().time() - before < 1


@every_loop
async def test_chunks_that_came_before_the_peers_end_may_be_answered() -> None:
    async with raw_pair() as (peer, ws):
        chunks = ws.recv_streaming()
        await peer.send(data_frame(Role.CLIENT, 1, b"a", fin=False))
        assert await anext(chunks) == "a"
        await peer.send(data_frame(Role.CLIENT, 0, b"b") + data_frame(Role.CLIENT, 8, CLOSE_1000))
        await eventually(lambda: ws.connection is not None and ws.connection.ending, "the close frame came")
        assert await all_of(chunks) == ["b"]
        await ws.send("answer")
        with pytest.raises(ConnectionClosedOK):
            await asyncio.gather(ws.recv(), peer_answers(peer))


async def peer_answers(peer: Any) -> None:
    frames = [await peer.frame() for _ in range(2)]
    assert [frame.payload for frame in frames] == [b"answer", CLOSE_1000]
    peer.close()


@every_loop
async def test_what_is_too_much_while_closing_leaves_no_gap() -> None:
    """A consumer that is slow while we close gets the beginning of the message, and then the end."""
    message = random.Random(5).randbytes(8 * MEBIBYTE)
    async with raw_pair(max_size=None, max_queue=100_000) as (peer, ws):
        chunks = ws.recv_streaming()
        wire = data_frame(Role.CLIENT, 2, message) + data_frame(Role.CLIENT, 1, b"behind")
        sending = asyncio.ensure_future(peer.send(wire))
        got: list[Any] = [await anext(chunks)]
        closing = asyncio.ensure_future(ws.close())
        await sending
        assert (await peer.frame()).opcode == 8
        await peer.send(data_frame(Role.CLIENT, 8, CLOSE_1000))
        peer.half_close()
        await closing

        async def take_all() -> None:
            async for chunk in chunks:
                got[len(got) :] = [chunk]

        with pytest.raises(ConnectionClosedOK):
            await take_all()
        assert message.startswith(b"".join(got)) and len(b"".join(got)) < MEBIBYTE * 7
        for receive in (ws.recv, ws.recv_streaming().__anext__):
            with pytest.raises(ConnectionClosedOK):
                await receive()


@every_loop
async def test_nothing_is_received_behind_what_was_too_much_while_closing() -> None:
    async with raw_pair(max_queue=1000) as (peer, ws):
        await peer.send(data_frame(Role.CLIENT, 1, b"first"))
        assert await all_of(ws.recv_streaming()) == ["first"]
        closing = asyncio.ensure_future(ws.close())
        assert (await peer.frame()).opcode == 8
        await peer.send(data_frame(Role.CLIENT, 2, bytes(5000), fin=False))
        await eventually(lambda: ws._is_deaf, "it was too much")
        await peer.send(data_frame(Role.CLIENT, 0, b"") + data_frame(Role.CLIENT, 1, b"behind", fin=False))
        await eventually(lambda: retained(ws) == 6, "all of it was read")
        receiving = asyncio.ensure_future(anext(ws.recv_streaming()))
        await spin(3)
        await peer.send(data_frame(Role.CLIENT, 8, CLOSE_1000))
        peer.half_close()
        with pytest.raises(ConnectionClosedOK):
            await receiving
        await closing


@simulated
async def test_what_is_left_of_a_complete_message_holds_no_answer_back() -> None:
    async with raw_pair(ping_interval=None) as (peer, ws):
        chunks: Any = ws.recv_streaming()
        await peer.send(data_frame(Role.CLIENT, 1, b"a", fin=False))
        assert await anext(chunks) == "a"
        await peer.send(data_frame(Role.CLIENT, 0, b"b"))
        await eventually(lambda: chunks.is_complete, "all of it has come")
        receiving = asyncio.ensure_future(ws.recv())
        await spin(3)
        before = clock().time()
        await peer.send(data_frame(Role.CLIENT, 8, CLOSE_1000))
        assert (await peer.frame()).opcode == 8
        assert clock().time() - before < 1
        peer.close()
        with pytest.raises(ConnectionClosedOK):
            await receiving
        assert await all_of(chunks) == ["b"]
