"""Peers that do not keep up: what becomes of the messages for them, under each policy."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import Recorder, clock, eventually, every_loop, pair, simulated, spin
from callback_form import connected
from callback_form import served as served_callbacks
from raw_peer import raw_pair, served
from wire import data_frame

from fastframe import ConnectionClosedError, Role, State, WebSocketStream, prepare
from fastframe.aio.backlog import Backlog
from fastframe.aio.protocol import Settings, SocketProtocol

COROUTINE: dict[Role, Any] = {Role.SERVER: served, Role.CLIENT: raw_pair}
CALLBACK: dict[Role, Any] = {Role.SERVER: served_callbacks, Role.CLIENT: connected}
BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
FORMS = pytest.mark.parametrize("form", ["coroutine", "callback"])
DROPPING = pytest.mark.parametrize("policy", ["drop_oldest", "keep_latest"])

KIBIBYTE = 1024


@asynccontextmanager
async def slow_peer(
    role: Role, form: str, policy: Any, max_backlog: int = 1_000_000, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """A connection whose peer has read nothing of so much that writing is paused."""
    opened = COROUTINE[role](**options) if form == "coroutine" else CALLBACK[role](Recorder, **options)
    async with opened as (peer, ws):
        ws._settings = dataclasses.replace(ws._settings, max_backlog=max_backlog)
        ws.slow_consumer = policy
        filler = bytes(100_000)
        while not ws._writing_paused:
            await send(ws, filler)
        yield peer, ws


async def send(ws: Any, message: Any) -> None:
    """Send in either form."""
    if isinstance(ws, WebSocketStream):
        await ws.send(message)
    else:
        ws.send(message)


async def after_the_filler(peer: Any) -> list[Any]:
    """What comes behind the filler, up to "end"."""
    payloads: list[bytes] = []
    while not payloads or payloads[-1] != b"end":
        frame = await peer.frame()
        payloads.append(frame.payload)
    return [payload for payload in payloads if len(payload) != 100_000]


# Dropping.


@FORMS
@BOTH
@every_loop
async def test_drop_oldest_keeps_the_newest_that_fit(role: Role, form: str) -> None:
    async with slow_peer(role, form, "drop_oldest", 50_000) as (peer, ws):
        messages = [bytes([number]) * 10_000 for number in range(20)]
        before = ws.buffered_amount
        for message in messages:
            await send(ws, message)
        assert ws.buffered_amount == before + 50_000
        assert ws.dropped_messages == 15
        await send(ws, "end")
        assert ws.dropped_messages == 16
        assert await after_the_filler(peer) == [*messages[16:], b"end"]
        await eventually(lambda: ws.buffered_amount == 0, "all has left")


@FORMS
@BOTH
@every_loop
async def test_keep_latest_keeps_one(role: Role, form: str) -> None:
    async with slow_peer(role, form, "keep_latest") as (peer, ws):
        for number in range(20):
            await send(ws, str(number))
        await send(ws, "end")
        assert ws.dropped_messages == 20
        assert await after_the_filler(peer) == [b"end"]
        await send(ws, "direct")
        assert (await peer.frame()).payload == b"direct"
        assert ws.dropped_messages == 20


@DROPPING
@every_loop
async def test_newest_message_is_kept_whatever_its_size(policy: str) -> None:
    async with slow_peer(Role.SERVER, "coroutine", policy, 1000) as (peer, ws):
        await ws.send("small")
        await ws.send(b"x" * 90_000)
        assert ws.dropped_messages == 1
        first = b""
        while first[:1] != b"x":
            first = (await peer.frame()).payload
        assert first == b"x" * 90_000


@DROPPING
@FORMS
@every_loop
async def test_nothing_is_dropped_while_the_peer_keeps_up(policy: Any, form: str) -> None:
    opened = COROUTINE[Role.SERVER]() if form == "coroutine" else CALLBACK[Role.SERVER](Recorder)
    async with opened as (peer, ws):
        ws.slow_consumer = policy
        for number in range(200):
            await send(ws, str(number))
            assert (await peer.frame()).payload == b"%d" % number
        assert ws.dropped_messages == 0 and ws._backlog is None


@DROPPING
@every_loop
async def test_what_has_begun_to_leave_is_never_cut(policy: Any) -> None:
    """Whatever is dropped, the peer gets whole frames, in order, and with compression can inflate them."""
    source = random.Random(7)
    options = {"compression": "deflate", "max_size": None}
    async with pair(server=options, client=options) as (server, client):
        server.slow_consumer = policy
        server._settings = dataclasses.replace(server._settings, max_backlog=300_000)
        words = [source.randbytes(2000).hex() for _ in range(50)]

        async def flood() -> None:
            for number in range(1500):
                await server.send(f"{number} " + "".join(source.choices(words, k=10)))
                if number % 100 == 0:
                    await asyncio.sleep(0.001)
            await server.send("end")

        flooding = asyncio.ensure_future(flood())
        got: list[Any] = []
        while not got or got[-1] != "end":
            got.append(await client.recv())
            if len(got) % 10 == 0:
                await asyncio.sleep(0.005)
        await flooding
        numbers = [int(message.split()[0]) for message in got[:-1]]
        assert numbers == sorted(set(numbers))
        assert server.dropped_messages == 1500 - len(numbers) > 0


@every_loop
async def test_changed_buffer_is_sent_as_it_was() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest") as (peer, ws):
        buffer = bytearray(b"before")
        await ws.send(buffer)
        await ws.send(memoryview(b"a-b-c")[::2])
        buffer[:] = b"after!"
        await ws.send("end")
        assert await after_the_filler(peer) == [b"before", b"abc", b"end"]


@every_loop
async def test_text_counts_its_bytes() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest") as (_, ws):
        before = ws.buffered_amount
        await ws.send("ä" * 100)
        await ws.send("a" * 100)
        assert ws.buffered_amount == before + 300
        ws.transport.abort()


@pytest.mark.parametrize("message", [None, 5, {"a": 1}])
@FORMS
@every_loop
async def test_what_is_no_message_is_refused_at_once(form: str, message: Any) -> None:
    async with slow_peer(Role.SERVER, form, "drop_oldest") as (peer, ws):
        with pytest.raises(TypeError):
            await send(ws, message)
        await send(ws, "end")
        assert await after_the_filler(peer) == [b"end"]


@every_loop
async def test_sending_without_end_lets_the_network_catch_up() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "keep_latest") as (peer, ws):
        reading = asyncio.ensure_future(after_the_filler(peer))

        async def flood() -> None:
            while ws._writing_paused:
                await ws.send("again and again")

        await asyncio.wait_for(flood(), 10)
        await ws.send("end")
        assert (await reading)[-1] == b"end"


# Fragments.


@every_loop
async def test_messages_wait_for_the_end_of_fragments_and_keep_their_order() -> None:
    released = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await released.wait()
        yield "b"

    async with served() as (peer, ws):
        ws.slow_consumer = "drop_oldest"
        sending = asyncio.ensure_future(ws.send(slowly()))
        await spin(3)
        await asyncio.wait_for(ws.send("c"), 5)
        assert ws.offer("d")
        later = asyncio.ensure_future(ws.send(["e", "f"]))
        await spin(3)
        assert not sending.done() and not later.done()
        released.set()
        await asyncio.gather(sending, later)
        frames = [(await peer.frame()).payload for _ in range(8)]
        assert frames == [b"a", b"b", b"", b"c", b"d", b"e", b"f", b""]


@every_loop
async def test_message_does_not_wait_for_fragments_that_have_not_begun() -> None:
    released = asyncio.Event()

    async def late() -> AsyncIterator[str]:
        await released.wait()
        yield "late"

    async with served() as (peer, ws):
        ws.slow_consumer = "drop_oldest"
        sending = asyncio.ensure_future(ws.send(late()))
        await spin(3)
        await asyncio.wait_for(ws.send("early"), 5)
        released.set()
        await sending
        assert [(await peer.frame()).payload for _ in range(3)] == [b"early", b"late", b""]


@every_loop
async def test_fragments_wait_behind_the_messages_put_aside() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest") as (peer, ws):
        await ws.send("first")
        sending = asyncio.ensure_future(ws.send(["fragment"]))
        await spin(5)
        assert not sending.done()
        reading = asyncio.ensure_future(after_the_filler(peer))
        await sending
        await ws.send("end")
        assert await reading == [b"first", b"fragment", b"", b"end"]


@every_loop
async def test_close_that_is_refused_gives_nothing_up() -> None:
    async def fragments() -> AsyncIterator[str]:
        yield "a"
        await ws.send("put aside")
        with pytest.raises(ValueError, match="99"):
            await ws.close(99)
        assert (ws.ready_state, ws.dropped_messages) == (State.OPEN, 0)
        yield "b"

    async with served() as (peer, ws):
        ws.slow_consumer = "drop_oldest"
        await ws.send(fragments())
        frames = [await peer.frame() for _ in range(4)]
        assert [frame.payload for frame in frames] == [b"a", b"b", b"", b"put aside"]


@every_loop
async def test_fragments_that_are_never_finished_take_what_waits_for_them_along() -> None:
    async def failing() -> AsyncIterator[str]:
        yield "a"
        await ws.send("put aside")
        raise ZeroDivisionError

    async with served() as (peer, ws):
        ws.slow_consumer = "drop_oldest"
        with pytest.raises(ZeroDivisionError):
            await ws.send(failing())
        assert ws.dropped_messages == 1
        assert [(await peer.frame()).opcode for _ in range(2)] == [1, 8]


# Closing.


@FORMS
@BOTH
@every_loop
async def test_close_gives_up_on_a_peer_with_too_much_waiting(role: Role, form: str) -> None:
    async with slow_peer(role, form, "close", 50_000) as (peer, ws):
        for _ in range(5):
            await send(ws, bytes(10_000))
        assert (ws.ready_state, ws.dropped_messages) == (State.OPEN, 0)
        with pytest.raises(ConnectionClosedError, match="sent 1013 too slow a consumer"):
            await send(ws, b"x")
        assert (ws.ready_state, ws.dropped_messages) == (State.CLOSING, 6)
        payload = b""
        while not payload.startswith((1013).to_bytes(2, "big")):
            payload = (await peer.frame()).payload
            assert len(payload) in (100_000, 21)


@FORMS
@simulated
async def test_peer_that_never_reads_again_is_gone_after_close_timeout(form: str) -> None:
    options = {"close_timeout": 5, "ping_interval": None}
    async with slow_peer(Role.SERVER, form, "close", 50_000, **options) as (_, ws):
        before = clock().time()
        with pytest.raises(ConnectionClosedError):
            await send(ws, bytes(50_001))
        if form == "coroutine":
            await ws.wait_closed()
        else:
            await ws.closed
        assert clock().time() - before == pytest.approx(5, abs=0.2)


@FORMS
@pytest.mark.parametrize("policy", ["drop_oldest", "keep_latest", "close"])
@every_loop
async def test_our_close_comes_behind_the_messages_put_aside(form: str, policy: str) -> None:
    async with slow_peer(Role.SERVER, form, policy) as (peer, ws):
        await send(ws, "last words")
        closing: Any = ws.close(1000, "bye")
        if form == "coroutine":
            closing = asyncio.ensure_future(closing)
        payloads = [b""]
        while payloads[-1] != b"\x03\xe8bye":
            payloads.append((await peer.frame()).payload)
        assert payloads[-2] == b"last words"
        await peer.send(data_frame(Role.SERVER, 8, b"\x03\xe8"))
        peer.close()
        if form == "coroutine":
            await closing


@FORMS
@every_loop
async def test_answer_to_the_peers_close_comes_behind_the_messages_put_aside(form: str) -> None:
    async with slow_peer(Role.SERVER, form, "drop_oldest") as (peer, ws):
        await send(ws, "last words")
        await peer.send(data_frame(Role.SERVER, 8, b"\x03\xe8"))
        payloads = [b""]
        while payloads[-1] != b"\x03\xe8":
            payloads.append((await peer.frame()).payload)
        assert payloads[-2] == b"last words"
        assert ws.ready_state is State.CLOSING or ws.ready_state is State.CLOSED


@every_loop
async def test_connection_lost_forgets_what_was_put_aside() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest") as (_, ws):
        await ws.send("never sent")
        ws.transport.abort()
        await ws.wait_closed()
        assert ws._backlog is None
        with pytest.raises(ConnectionClosedError):
            await ws.send("late")
        assert not ws.offer("late")


# The option, and offers.


class _Owner:
    """What a connection is made by."""

    def __init__(self, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.settings = settings

    def connected(self, protocol: SocketProtocol) -> Any:
        raise AssertionError("never connected")

    opened = gone = connected


@pytest.mark.parametrize("policy", ["wait", "drop_oldest", "keep_latest", "close"])
@every_loop
async def test_policy_comes_from_the_settings(policy: Any) -> None:
    assert WebSocketStream(_Owner(Settings(slow_consumer=policy))).slow_consumer == policy


@every_loop
async def test_serve_and_connect_pass_the_policy_on() -> None:
    server_options = {"slow_consumer": "keep_latest", "max_backlog": 7}
    client_options = {"slow_consumer": "close", "max_backlog": 8}
    async with pair(server=server_options, client=client_options) as (server, client):
        assert (server.slow_consumer, server._settings.max_backlog) == ("keep_latest", 7)
        assert (client.slow_consumer, client._settings.max_backlog) == ("close", 8)


def test_default_policy_is_to_wait() -> None:
    assert Settings().slow_consumer == "wait"


@pytest.mark.parametrize("policy", ["", "drop", None, "WAIT"])
@every_loop
async def test_unknown_policy_is_refused(policy: Any) -> None:
    with pytest.raises(ValueError, match="slow_consumer must be one of 'wait', 'drop_oldest'"):
        Settings(slow_consumer=policy)
    ws = WebSocketStream(_Owner(Settings()))
    with pytest.raises(ValueError, match="slow_consumer"):
        ws.slow_consumer = policy
    assert ws.slow_consumer == "wait"


@every_loop
async def test_back_to_waiting_sends_what_was_put_aside_first() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest") as (peer, ws):
        await ws.send("put aside")
        ws.slow_consumer = "wait"
        sending = asyncio.ensure_future(ws.send("end"))
        await spin(3)
        assert not sending.done()
        assert await after_the_filler(peer) == [b"put aside", b"end"]
        await sending


@every_loop
async def test_messages_sent_within_one_callback_do_not_pile_up_unseen() -> None:
    class Flooding(Recorder):
        def on_message(self, message: str | bytes) -> None:
            for _ in range(2000):
                self.send(bytes(10_000))

    async with served_callbacks(Flooding) as (peer, ws):
        ws.slow_consumer = "drop_oldest"
        await peer.send(data_frame(Role.SERVER, 1, b"go"))
        await eventually(lambda: ws.dropped_messages, "messages were dropped")
        assert ws.buffered_amount < 1_500_000
        ws.transport.abort()


@every_loop
async def test_server_that_drops_reads_on() -> None:
    async with slow_peer(Role.SERVER, "callback", "drop_oldest") as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 1, b"still here"))
        await eventually(lambda: ("message", "still here") in ws.events, "the message was read")
        ws.transport.abort()


@FORMS
@every_loop
async def test_offers_leave_together(form: str) -> None:
    opened = COROUTINE[Role.SERVER]() if form == "coroutine" else CALLBACK[Role.SERVER](Recorder)
    async with opened as (peer, ws):
        prepared = prepare("prepared")
        for message in ("text", b"bytes", prepared, prepared):
            assert ws.offer(message)
        payloads = [(await peer.frame()).payload for _ in range(4)]
        assert payloads == [b"text", b"bytes", b"prepared", b"prepared"]


@every_loop
async def test_offer_of_a_prepared_message_may_be_put_aside() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "drop_oldest", 10_000) as (peer, ws):
        before = ws.buffered_amount
        assert ws.offer(prepare("x" * 6000))
        assert ws.offer(prepare("end"))
        assert 6003 <= ws.buffered_amount - before <= 6020
        assert await after_the_filler(peer) == [b"x" * 6000, b"end"]


@every_loop
async def test_offer_under_wait_is_refused_between_fragments_only() -> None:
    released = asyncio.Event()

    async def slowly() -> AsyncIterator[str]:
        yield "a"
        await released.wait()

    async with served() as (peer, ws):
        sending = asyncio.ensure_future(ws.send(slowly()))
        await spin(3)
        assert not ws.offer("between")
        released.set()
        await sending
        assert ws.offer("behind")
        assert [(await peer.frame()).payload for _ in range(3)] == [b"a", b"", b"behind"]


@every_loop
async def test_offer_before_the_connection_is_open_is_refused() -> None:
    assert not WebSocketStream(_Owner(Settings())).offer("early")


@every_loop
async def test_offer_that_makes_too_much_closes_and_is_refused() -> None:
    async with slow_peer(Role.SERVER, "coroutine", "close", 10) as (_, ws):
        assert ws.offer("x" * 10)
        assert not ws.offer("y")
        assert ws.ready_state is State.CLOSING
        ws.transport.abort()


# The backlog itself.


def test_backlog_gives_messages_in_order_and_knows_its_size() -> None:
    backlog = Backlog(100)
    assert [backlog.add(message, "drop_oldest") for message in ("a" * 40, b"b" * 40, "c" * 30)] == [0, 0, 1]
    assert (len(backlog), backlog.size) == (2, 70)
    assert [backlog.pop(), backlog.pop()] == [b"b" * 40, "c" * 30]
    assert (len(backlog), backlog.size) == (0, 0)


@pytest.mark.parametrize(("policy", "dropped"), [("drop_oldest", 3), ("keep_latest", 3), ("close", None)])
def test_backlog_and_a_message_larger_than_all_of_it(policy: Any, dropped: int | None) -> None:
    backlog = Backlog(10)
    for _ in range(3):
        assert backlog.add("abc", "drop_oldest") == 0
    assert backlog.add(b"x" * 11, policy) == dropped
    assert backlog.size == (9 if dropped is None else 11)
