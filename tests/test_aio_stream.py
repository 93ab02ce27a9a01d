"""The coroutine form: receiving, sending, flow control, pings and closing, with real sockets."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from aio_support import (
    clock,
    echo,
    eventually,
    every_loop,
    pair,
    port_of,
    simulated,
    spin,
    uri_of,
)
from raw_peer import (
    raw_pair,
)
from wire import data_frame

from fastframe import (
    ConnectionClosedError,
    PerMessageDeflate,
    Role,
    State,
    WebSocketStream,
    connect,
    serve,
)

MEBIBYTE = 1024 * 1024
COMPRESSIONS = pytest.mark.parametrize("compression", [None, "deflate"])
MESSAGES: dict[str, str | bytes] = {
    "no-text": "",
    "nothing": b"",
    "text": "Grüße, 世界",
    "binary": bytes(range(256)),
    "125": b"x" * 125,
    "126": "y" * 126,
    "65535": b"z" * 65535,
    "65536": random.Random(1).randbytes(65536),
    "long-text": "ü" * 300_000,
    "16-MiB": b"0123456789abcdef" * MEBIBYTE,
}


def retained(ws: WebSocketStream) -> int:
    """Bytes of the message that is under way."""
    assert ws.connection is not None
    return ws.connection.retained


# Round trips.


@COMPRESSIONS
@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
@every_loop
async def test_message_makes_the_round_trip(message: str | bytes, compression: str | None) -> None:
    async with (
        serve(echo, "127.0.0.1", 0, compression=compression, max_size=None) as server,
        connect(uri_of(server), compression=compression, max_size=None) as ws,
    ):
        await ws.send(message)
        assert await ws.recv() == message


@pytest.mark.parametrize("message", [bytearray(b"ab"), memoryview(b"abcd")[::2], memoryview(b"ab").cast("b")])
@every_loop
async def test_bytes_like_message_arrives_as_bytes(message: Any) -> None:
    async with pair() as (server, client):
        await client.send(message)
        assert await server.recv() == bytes(message)


@every_loop
async def test_text_as_bytes_gives_bytes_for_text() -> None:
    async with pair(client={"text_as_bytes": True}) as (server, client):
        await server.send("ü")
        assert await client.recv() == "ü".encode()


@COMPRESSIONS
@every_loop
async def test_many_messages_keep_their_order(compression: str | None) -> None:
    options = {"compression": compression}
    async with pair(server=options, client=options) as (server, client):
        messages = [f"{number} " * (number % 50) for number in range(3000)]

        async def send_all() -> None:
            for message in messages:
                await client.send(message)

        sending = asyncio.ensure_future(send_all())
        assert [await server.recv() for _ in messages] == messages
        await sending


@every_loop
async def test_both_sides_may_send_much_at_the_same_time() -> None:
    block = random.Random(3).randbytes(200_000)
    async with pair(client={"max_size": None}, server={"max_size": None}) as ends:

        async def talk(ws: WebSocketStream) -> None:
            for number in range(40):
                await ws.send(block[number:])

        async def listen(ws: WebSocketStream) -> None:
            for number in range(40):
                assert await ws.recv() == block[number:]

        await asyncio.gather(*(do(ws) for ws in ends for do in (talk, listen)))


# Receiving.


@every_loop
async def test_recv_many_takes_what_is_there() -> None:
    async with pair() as (server, client):
        for number in range(5):
            await client.send(str(number))
        await eventually(lambda: len(server._messages) == 5, "all messages came")
        assert await server.recv_many(2) == ["0", "1"]
        assert await server.recv_many() == ["2", "3", "4"]


@every_loop
async def test_messages_that_were_taken_are_let_go_while_more_come_behind_those_that_wait() -> None:
    async with pair() as (server, client):

        def count() -> int:
            return sum(message is not None for message in server._messages)

        came = 0
        for taken in range(0, 500, 50):
            while came < taken + 100:
                await client.send(str(came))
                came += 1
            await eventually(lambda: count() == 100, "a hundred wait")
            assert len(server._messages) <= 250
            assert await server.recv_many(50) == [str(number) for number in range(taken, taken + 50)]
        assert len(await server.recv_many()) == 50


@pytest.mark.parametrize("most", [0, -1])
@every_loop
async def test_recv_many_of_none_is_refused(most: int) -> None:
    async with pair() as (server, _):
        with pytest.raises(ValueError, match="most"):
            await server.recv_many(most)


@every_loop
async def test_recv_latest_drops_the_older_ones() -> None:
    async with pair() as (server, client):
        for number in range(5):
            await client.send(str(number))
        await eventually(lambda: len(server._messages) == 5, "all messages came")
        assert await server.recv_latest() == "4"
        await client.send("5")
        assert await server.recv_latest() == "5"


@every_loop
async def test_recv_waits_for_a_message() -> None:
    async with pair() as (server, client):
        receiving = asyncio.ensure_future(server.recv())
        await spin(5)
        assert not receiving.done()
        await client.send("now")
        assert await receiving == "now"


@pytest.mark.parametrize("name", ["recv", "recv_many", "recv_latest", "__anext__"])
@every_loop
async def test_second_receiver_is_refused(name: str) -> None:
    async with pair() as (server, client):
        receiving = asyncio.ensure_future(server.recv())
        await spin(2)
        with pytest.raises(RuntimeError, match="receiving"):
            await getattr(server, name)()
        await client.send("for the first")
        assert await receiving == "for the first"


@every_loop
async def test_cancelled_recv_loses_nothing() -> None:
    async with pair() as (server, client):
        received: list[Any] = []
        for number in range(300):
            receiving = asyncio.ensure_future(server.recv())
            await spin(number % 3)
            await client.send(number.to_bytes(2, "big"))
            await spin(number % 7)
            receiving.cancel()
            with suppress(asyncio.CancelledError):
                received.append(await receiving)
        while len(received) < 300:
            received.append(await server.recv())
        assert received == [number.to_bytes(2, "big") for number in range(300)]


@every_loop
async def test_iteration_ends_when_the_connection_is_closed_properly() -> None:
    async with pair() as (server, client):
        await client.send("a")
        await client.send("b")
        closing = asyncio.ensure_future(client.close())
        assert [message async for message in server] == ["a", "b"]
        await closing


@every_loop
async def test_iteration_raises_when_the_connection_ends_otherwise() -> None:
    async with pair() as (server, client):
        await client.send("a")
        closing = asyncio.ensure_future(client.close(4000, "enough"))
        received: list[Any] = []

        async def receive() -> None:
            async for message in server:
                received[len(received) :] = [message]

        with pytest.raises(ConnectionClosedError, match="received 4000 enough"):
            await receive()
        assert received == ["a"]
        await closing


@every_loop
async def test_messages_before_the_end_are_received_after_it() -> None:
    async with pair() as (server, client):
        for number in range(3):
            await server.send(str(number))
        await eventually(lambda: len(client._messages) == 3, "all messages came")
        server.transport.abort()
        await client.wait_closed()
        assert await client.recv_many() == ["0", "1", "2"]
        for _ in range(2):
            with pytest.raises(ConnectionClosedError):
                await client.recv()


@every_loop
async def test_violation_does_not_lose_the_messages_before_it() -> None:
    async with raw_pair() as (peer, ws):
        await peer.send(data_frame(Role.CLIENT, 1, b"good") + data_frame(Role.CLIENT, 3, b""))
        assert await ws.recv() == "good"
        ending = asyncio.ensure_future(ws.recv())
        assert (await peer.frame()).payload[:2] == (1002).to_bytes(2, "big")
        peer.close()
        with pytest.raises(ConnectionClosedError, match="sent 1002 opcode 0x3 is reserved"):
            await ending


@pytest.mark.parametrize("name", ["recv", "recv_many", "recv_latest", "__anext__"])
@simulated
async def test_violation_is_told_though_the_peer_keeps_its_socket_open(name: str) -> None:
    async with raw_pair(ping_interval=None) as (peer, ws):
        receiving = asyncio.ensure_future(getattr(ws, name)())
        await spin(2)
        await peer.send(data_frame(Role.CLIENT, 3, b""))
        before = clock().time()
        with pytest.raises(
            ConnectionClosedError, match="sent 1002 opcode 0x3 is reserved; received no close"
        ):
            await receiving
        assert clock().time() - before < 1
        assert (await peer.frame()).payload[:2] == (1002).to_bytes(2, "big")
        assert (ws.ready_state, ws.close_code, ws.close_reason) == (State.CLOSING, 1006, "")
        with pytest.raises(ConnectionClosedError, match="sent 1002"):
            await getattr(ws, name)()


# What a connection tells of itself.


@every_loop
async def test_addresses_subprotocol_request_and_response() -> None:
    options = {"subprotocols": ["a", "b"]}
    async with pair(server=options, client=options | {"compression": PerMessageDeflate()}) as (
        server,
        client,
    ):
        assert server.remote_address == client.local_address
        assert client.remote_address == server.local_address
        assert server.subprotocol == client.subprotocol == "a"
        assert server.request is not None and server.request.path == "/"
        assert server.response is not None and client.response is not None
        assert server.response.status == client.response.status == 101
        assert client.response.headers["Sec-WebSocket-Protocol"] == "a"


@pytest.mark.parametrize("agreed", [True, False])
@every_loop
async def test_extensions_are_those_of_the_answer(agreed: bool) -> None:
    server_options = {"compression": "deflate" if agreed else None}
    async with pair(server=server_options, client={"compression": "deflate"}) as (server, client):
        assert server.extensions == client.extensions
        assert server.extensions.startswith("permessage-deflate") is agreed
        assert agreed or server.extensions == ""


@every_loop
async def test_repr_tells_state_and_peer() -> None:
    async with pair() as (server, client):
        assert repr(client) == f"<WebSocketStream OPEN {server.local_address}>"
        await client.close()
        assert "CLOSED" in repr(client)


@every_loop
async def test_received_data_is_not_shared_between_connections() -> None:
    """All connections of a loop read to one buffer."""
    async with serve(echo, "127.0.0.1", 0, compression=None) as server:

        async def talk(number: int) -> None:
            async with connect(f"ws://127.0.0.1:{port_of(server)}/", compression=None) as ws:
                for length in range(1, 4000, 271):
                    message = bytes([number]) * length
                    await ws.send([message[:5], message[5:]])
                    assert await ws.recv() == message

        await asyncio.gather(*map(talk, range(12)))
