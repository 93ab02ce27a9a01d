"""The coroutine form: receiving, sending, flow control, pings and closing, with real sockets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aio_support import (
    clock,
    echo,
    eventually,
    every_loop,
    pair,
    port_of,
    raw_client,
    raw_pair,
    simulated,
    spin,
    uri_of,
)
from wire import data_frame

from fastframe import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
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
            try:
                received.append(await receiving)
            except asyncio.CancelledError:
                pass
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
        received = []
        with pytest.raises(ConnectionClosedError, match="received 4000 enough"):
            async for message in server:
                received.append(message)
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


# Fragments.


@pytest.mark.parametrize("fragments", [["a", "", "bc"], [b"a", bytearray(b"bc")], ("a",), [""]])
@COMPRESSIONS
@every_loop
async def test_iterable_is_sent_as_the_fragments_of_one_message(fragments: Any, compression: str | None) -> None:
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
        with pytest.raises(ConnectionClosedError, match="received 1011 a fragmented message was not finished"):
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
        await eventually(lambda: not server.transport.is_reading(), "reading paused")  # type: ignore[attr-defined]
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
                lambda: not ws.transport.is_reading() or ws._connection._decoder.retained >= len(block),
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
        written = []
        transport = server.transport

        class Counting:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def write(self, data: bytes) -> None:
                written.append(len(data))
                transport.write(data)

        server._transport = Counting()
        for _ in range(50):
            await server.send(await server.recv())
        assert [await client.recv() for _ in range(50)] == ["x"] * 50
        assert len(written) <= 2 and sum(written) == 50 * 3


# Cancelling.


@COMPRESSIONS
@every_loop
async def test_cancelled_send_keeps_the_stream_in_order(compression: str | None) -> None:
    options = {"compression": compression}
    blocks = [random.Random(number).randbytes(300_000) for number in range(30)]
    async with pair(server=options, client=options) as (server, client):
        cancelled = 0
        for number, block in enumerate(blocks):
            sending = asyncio.ensure_future(client.send(block))
            await spin(number % 6)
            sending.cancel()
            try:
                await sending
            except asyncio.CancelledError:
                cancelled += 1
        assert cancelled > 5
        last = asyncio.ensure_future(client.send("last"))
        received = [await server.recv()]
        while received[-1] != "last":
            received.append(await server.recv())
        await last
        # Those cancelled before they began were never sent.
        kept = iter(blocks)
        assert all(any(message == block for block in kept) for message in received[:-1])
        assert len(received) >= 20


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
        assert ours.close_code is None and ours.close_reason is None
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
        await eventually(lambda: not theirs.transport.is_reading(), "reading paused")  # type: ignore[attr-defined]
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
        await peer.send(data_frame(Role.CLIENT, 1, b"a") + data_frame(Role.CLIENT, 8, (1001).to_bytes(2, "big")))
        before = clock().time()
        assert (await peer.frame()).payload == (1001).to_bytes(2, "big")
        assert clock().time() - before <= 10.1
        assert await ws.recv() == "a"


@every_loop
async def test_peer_that_closes_before_its_messages_are_taken_leaves_no_timer() -> None:
    async with pair() as (server, client):
        await client.send("a")
        closing = asyncio.ensure_future(client.close())
        await eventually(lambda: server._connection._decoder.close is not None, "the close frame came")  # type: ignore[union-attr]
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


# What a connection tells of itself.


@every_loop
async def test_addresses_subprotocol_request_and_response() -> None:
    options = {"subprotocols": ["a", "b"]}
    async with pair(server=options, client=options | {"compression": PerMessageDeflate()}) as (server, client):
        assert server.remote_address == client.local_address
        assert client.remote_address == server.local_address
        assert server.subprotocol == client.subprotocol == "a"
        assert server.request is not None and server.request.path == "/"
        assert server.response is not None and client.response is not None
        assert server.response.status == client.response.status == 101
        assert client.response.headers["Sec-WebSocket-Protocol"] == "a"


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
