"""How a conversation under uvicorn ends, and what each side is told of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aio_support import clock, eventually, every_loop, simulated
from drop_ins.uvicorn.serving import (
    Application,
    Diary,
    Event,
    Receive,
    Send,
    accept,
    dialled,
    echo,
    opened,
    serving,
)
from raw_peer import RawFrame, RawPeer
from uvicorn.protocols.utils import ClientDisconnected
from websockets.asyncio.client import connect
from wire import data_frame

from fastframe import Role


def message(payload: bytes, opcode: int = 2) -> bytes:
    return data_frame(Role.SERVER, opcode, payload)


def close_frame(code: int | None = 1000, reason: str = "") -> bytes:
    return message(b"" if code is None else code.to_bytes(2, "big") + reason.encode(), 8)


def disconnect(code: int, reason: str | None = None) -> Event:
    event: Event = {"type": "websocket.disconnect", "code": code}
    return event if reason is None else event | {"reason": reason}


async def closing(peer: RawPeer) -> tuple[int, str]:
    """Read to a close frame, and what it says."""
    while (frame := await peer.frame()).opcode != 8:
        pass
    return int.from_bytes(frame.payload[:2], "big"), frame.payload[2:].decode()


# The client closes.


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (1000, "", disconnect(1000, "")),
        (1001, "going, über", disconnect(1001, "going, über")),
        (4999, "x" * 123, disconnect(4999, "x" * 123)),
        (None, "", disconnect(1005, "")),
    ],
)
@every_loop
async def test_application_is_told_the_clients_code_and_reason(
    code: int | None, reason: str, told: Event
) -> None:
    diary = Diary()
    async with serving(diary) as running, opened(running) as peer:
        await peer.send(message(b"last") + close_frame(code, reason))
        frame = await peer.frame()
        assert frame == RawFrame(8, b"" if code is None else code.to_bytes(2, "big"))
        assert await peer.rest() == b""
    assert diary.events == [{"type": "websocket.receive", "bytes": b"last"}, told]


@simulated
async def test_what_came_before_the_close_frame_is_still_answered() -> None:
    """And then the close frame at once, as the application asks for more."""
    async with serving(echo) as running, opened(running) as peer:
        began = clock().time()
        await peer.send(message(b"1") + message(b"2") + close_frame())
        assert [await peer.frame() for _ in range(3)] == [
            RawFrame(2, b"1"),
            RawFrame(2, b"2"),
            RawFrame(8, b"\x03\xe8"),
        ]
        assert clock().time() - began < 5
        assert await peer.rest() == b""


@simulated
async def test_application_that_takes_nothing_more_does_not_hold_the_closing_handshake_up() -> None:
    diary = Diary(permits=1)
    async with serving(diary) as running, opened(running) as peer:
        await peer.send(message(b"1") + message(b"2") + close_frame())
        began = clock().time()
        assert await closing(peer) == (1000, "")
        assert 9 < clock().time() - began < 11
        diary.permit()
    assert diary.messages == [b"1", b"2"]
    assert diary.farewell == disconnect(1000, "")


@pytest.mark.parametrize("leave", ["reset", "close", "half_close"])
@every_loop
async def test_a_client_that_is_gone_is_1006(leave: str) -> None:
    diary = Diary()
    async with serving(diary) as running, opened(running) as peer:
        getattr(peer, leave)()
        await diary.ended.wait()
    assert diary.events == [disconnect(1006)]


@every_loop
async def test_sending_to_a_client_that_has_left_raises_an_oserror_and_logs_nothing() -> None:
    outcome = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()
        for event in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}):
            try:
                await send(event)
            except OSError as error:
                outcome.append(type(error).__name__)
        await send({"type": "websocket.send", "text": "x"})

    async with serving(app) as running:
        async with opened(running) as peer:
            peer.reset()
        await eventually(lambda: len(outcome) == 2 and not running.connections, "it has noticed")
    assert outcome == ["ClientDisconnected"] * 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\x01x", 1002),
        (message(b"\xff", 1), 1007),
        (message(bytes(101)), 1009),
        (message(bytes(60), 2).replace(b"\x82", b"\x02", 1) + message(bytes(60), 0), 1009),
    ],
    ids=["unmasked", "not-utf-8", "too-big", "too-big-in-fragments"],
)
@every_loop
async def test_a_violation_is_answered_and_reported_behind_the_messages_before_it(
    data: bytes, code: int
) -> None:
    diary = Diary()
    async with serving(diary, ws_max_size=100) as running, opened(running) as peer:
        await peer.send(message(b"fine") + data + bytes(500_000))
        assert (await closing(peer))[0] == code
        assert await peer.rest() == b""
        peer.close()
        await diary.ended.wait()
    assert diary.messages == [b"fine"]
    assert diary.farewell["code"] == code
    assert diary.farewell["reason"]


@every_loop
async def test_max_size_counts_what_a_message_inflates_to() -> None:
    diary = Diary()
    async with (
        serving(diary, ws_max_size=10_000) as running,
        connect(running.uri(), compression="deflate") as ws,
    ):
        await ws.send(bytes(10_000))
        await ws.send(bytes(10_001))
        await ws.wait_closed()
        assert ws.close_code == 1009
    assert diary.messages == [bytes(10_000)]


# The application closes.


def closing_with(**event: Any) -> Application:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "bytes": b"z" * 300_000})
        await send({"type": "websocket.close"} | event)
        code, reason = event.get("code") or 1000, event.get("reason") or ""
        assert await receive() == disconnect(code, reason)
        with pytest.raises(RuntimeError, match="after 'websocket.close'"):
            await send({"type": "websocket.send", "text": "late"})

    return app


@pytest.mark.parametrize(
    ("event", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": 1001}, 1001, ""),
        ({"code": 4000, "reason": "über"}, 4000, "über"),
        ({"code": None, "reason": None}, 1000, ""),
    ],
    ids=["nothing", "code", "reason", "none"],
)
@every_loop
async def test_client_gets_the_applications_code_and_reason(event: Event, code: int, reason: str) -> None:
    async with serving(closing_with(**event)) as running, opened(running) as peer:
        assert len((await peer.frame()).payload) == 300_000
        assert await closing(peer) == (code, reason)
        await peer.send(message(b"crossed") + close_frame(code))
        assert await peer.rest() == b""


@pytest.mark.parametrize("event", [{"code": 1006}, {"code": 999}, {"reason": "x" * 124}])
@every_loop
async def test_a_close_that_cannot_be_sent_is_the_applications_mistake(event: Event) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        with pytest.raises(ValueError, match="close_"):
            await send({"type": "websocket.close"} | event)
        await send({"type": "websocket.close", "code": 3000})

    async with serving(app) as running, opened(running) as peer:
        assert await closing(peer) == (3000, "")
        await peer.send(close_frame(3000))


@simulated
async def test_a_client_that_never_answers_a_close_frame_is_dropped() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close"})

    async with serving(app) as running, opened(running) as peer:
        assert await closing(peer) == (1000, "")
        began = clock().time()
        assert await peer.gone()
        assert 9 < clock().time() - began < 11


@simulated
async def test_a_client_that_takes_nothing_is_dropped_all_the_same() -> None:
    """The last of what was sent cannot leave: neither the end nor the close frame does."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        for _ in range(100):
            task = asyncio.ensure_future(send({"type": "websocket.send", "bytes": bytes(1_000_000)}))
            await asyncio.sleep(0)
            task.cancel()

    async with serving(app, ws_ping_interval=None) as running, opened(running):
        began = clock().time()
        await eventually(lambda: not running.connections, "it is gone")
        assert clock().time() - began < 25


@simulated
async def test_close_goes_through_although_messages_wait_and_more_come() -> None:
    """Reading had paused for those that wait; the client's close frame has to be read all the same."""
    diary = Diary(permits=1)
    async with serving(diary) as running, opened(running) as peer:
        await peer.send(message(b"1"))
        await eventually(lambda: diary.events, "the first has come")
        await peer.send(message(b"2") + message(b"3"))
        protocol = running.protocol
        await eventually(lambda: len(protocol._events) == 2, "the others wait")
        assert diary.send is not None
        await diary.send({"type": "websocket.close", "code": 3001})
        began = clock().time()
        assert await closing(peer) == (3001, "")
        await peer.send(message(b"crossed"))
        await asyncio.sleep(0.3)
        await peer.send(close_frame(3001))
        assert await peer.rest() == b""
        assert clock().time() - began < 5
        diary.permit()
    assert diary.messages == [b"1", b"2", b"3"]
    assert diary.farewell == disconnect(3001, "")


@every_loop
async def test_two_that_close_at_once_end_well() -> None:
    diary = Diary()
    async with serving(diary) as running, opened(running) as peer:
        await eventually(lambda: diary.send, "it has accepted")
        assert diary.send is not None
        await diary.send({"type": "websocket.close", "code": 3001})
        await peer.send(close_frame(3002))
        assert await closing(peer) == (3001, "")
        assert await peer.rest() == b""
    assert diary.events == [disconnect(3001, "")]


# The application ends without a word.


@every_loop
async def test_application_that_returns_is_1006_for_the_client_and_nothing_is_lost() -> None:
    """As with uvicorn's own protocols; but no reset overtakes what was sent last."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()
        for _ in range(20):
            await send({"type": "websocket.send", "bytes": b"y" * 100_000})

    async with serving(app) as running, opened(running) as peer:
        await peer.send(message(b"go"))
        sending = asyncio.create_task(peer.send(message(bytes(1_000_000)) * 3))
        for _ in range(20):
            assert (await peer.frame()).payload == b"y" * 100_000
        assert await peer.rest() == b""
        await sending


@every_loop
async def test_application_that_fails_is_1006_for_the_client_and_logged() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.send", "text": "before"})
        raise LookupError("as the test wants it")

    async with serving(app) as running, opened(running) as peer:
        assert (await peer.frame()).payload == b"before"
        assert await peer.rest() == b""
        [error] = running.errors()
        assert "LookupError: as the test wants it" in error


@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt])
@every_loop
async def test_nothing_that_an_application_raises_ends_the_server(ending: type[BaseException]) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        if scope["path"] == "/bad":
            raise ending()
        await send({"type": "websocket.send", "text": "good"})
        await receive()

    async with serving(app) as running:
        async with connect(running.uri("/bad")) as ws:
            await ws.wait_closed()
            assert ws.close_code == 1006
        async with connect(running.uri("/good")) as ws:
            assert await ws.recv() == "good"
        assert len(running.errors()) == 1


@every_loop
async def test_application_that_returns_something_is_logged() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> int:
        await accept(receive, send)
        return 42

    async with serving(app) as running, opened(running) as peer:
        assert await peer.rest() == b""
        [error] = running.errors()
        assert "returned 42" in error


@every_loop
async def test_application_that_accepts_twice_is_told_so() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        with pytest.raises(RuntimeError, match=r"Expected .* but got 'websocket.accept'"):
            await send({"type": "websocket.accept"})
        await receive()

    async with serving(app) as running, opened(running) as peer:
        await peer.send(close_frame())
        assert await closing(peer) == (1000, "")


@every_loop
async def test_application_that_returns_behind_the_clients_close_frame_has_it_answered() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()

    async with serving(app) as running, opened(running) as peer:
        await peer.send(message(b"1") + message(b"2") + close_frame(3000))
        assert await closing(peer) == (3000, "")


@every_loop
async def test_pings_while_the_end_is_awaited_do_not_pile_up() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)

    async with serving(app) as running, opened(running) as peer:
        assert await peer.rest() == b""
        protocol = running.protocol
        await peer.send(message(b"p" * 100, 9) * 10_000)
        await asyncio.sleep(0.05)
        assert len(protocol.connection) == 0
    assert not running.connections


# The server shuts down.


@every_loop
async def test_shutdown_is_1012_for_both_sides() -> None:
    diary = Diary()
    async with serving(diary) as running, opened(running) as peer:
        await eventually(lambda: diary.send, "it has accepted")
        running.server.should_exit = True
        assert await closing(peer) == (1012, "")
        await peer.send(message(b"crossed") + close_frame(1012))
        assert await peer.rest() == b""
    assert diary.events == [disconnect(1012)]


@every_loop
async def test_shutdown_delivers_what_has_come_before_it() -> None:
    diary = Diary(permits=1)
    async with serving(diary) as running, opened(running) as peer:
        await peer.send(message(b"1"))
        await eventually(lambda: diary.events, "the first has come")
        await peer.send(message(b"2") + message(b"3"))
        await eventually(lambda: len(running.protocol._events) == 2, "the others wait")
        running.server.should_exit = True
        assert await closing(peer) == (1012, "")
        await peer.send(message(b"crossed") + close_frame(1012))
        assert await peer.rest() == b""
        diary.permit()
    assert diary.messages == [b"1", b"2", b"3"]
    assert diary.farewell == disconnect(1012)


@simulated
async def test_shutdown_waits_for_a_silent_client_only_so_long() -> None:
    diary = Diary()
    async with serving(diary) as running, opened(running):
        await eventually(lambda: diary.send, "it has accepted")
        began = clock().time()
        running.server.should_exit = True
        await eventually(lambda: not running.connections, "it is gone")
        assert 9 < clock().time() - began < 12
    assert diary.events == [disconnect(1012)]


@every_loop
async def test_shutdown_within_the_opening_handshake_is_500() -> None:
    events = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        events.extend([await receive(), await receive()])

    async with serving(app) as running, dialled(running) as peer:
        await running.taken_over()
        running.server.should_exit = True
        assert (await peer.head()).startswith(b"HTTP/1.1 500 ")
        assert await peer.rest() == b"Internal Server Error"
    assert events == [{"type": "websocket.connect"}, disconnect(1006)]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "websocket.accept"},
        {"type": "websocket.close"},
        {"type": "websocket.http.response.start", "status": 403},
        {"type": "websocket.http.response.body", "body": b"behind a start"},
    ],
    ids=lambda event: event["type"].partition(".")[2],
)
@every_loop
async def test_answer_behind_that_of_the_shutdown_is_a_disconnection(event: Event) -> None:
    raised: list[BaseException] = []
    may_answer = asyncio.Event()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if event["type"].endswith("body"):
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await may_answer.wait()
        for _ in range(2):
            try:
                await send(event)
            except OSError as error:
                raised.append(error)
        await send(event)

    async with serving(app) as running, dialled(running) as peer:
        await running.taken_over()
        running.server.should_exit = True
        assert (await peer.head()).startswith(b"HTTP/1.1 403 " if "body" in event else b"HTTP/1.1 500 ")
        may_answer.set()
        await eventually(lambda: len(raised) == 2, "the application has been told")
    assert {type(error) for error in raised} == {ClientDisconnected}


@every_loop
async def test_application_that_overstays_the_graceful_shutdown_is_cancelled() -> None:
    cancelled = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with serving(app, timeout_graceful_shutdown=0) as running, opened(running) as peer:
        running.server.should_exit = True
        assert await closing(peer) == (1012, "")
        await peer.send(close_frame(1012))
        await eventually(lambda: cancelled, "it is")
        assert "timeout graceful shutdown" in running.errors()[0]


# Keepalive.


@simulated
async def test_a_silent_client_is_given_up_with_1011() -> None:
    diary = Diary()
    options = {"ws_ping_interval": 5.0, "ws_ping_timeout": 3.0}
    async with serving(diary, **options) as running, opened(running) as peer:
        began = clock().time()
        assert (await peer.frame()).opcode == 9
        assert 4 < clock().time() - began < 7
        assert await closing(peer) == (1011, "keepalive ping timeout")
        assert 7 < clock().time() - began < 13
        await diary.ended.wait()
    assert diary.events == [disconnect(1011, "keepalive ping timeout")]
    assert any("silent" in line for line in running.log.lines)


@every_loop
async def test_the_last_word_to_a_silent_client_leaves_on_every_loop() -> None:
    diary = Diary()
    options = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.05}
    async with serving(diary, **options) as running, opened(running) as peer:
        assert await closing(peer) == (1011, "keepalive ping timeout")
        assert await peer.rest() == b""


@simulated
async def test_a_client_that_answers_pings_stays() -> None:
    diary = Diary()
    options = {"ws_ping_interval": 5.0, "ws_ping_timeout": 3.0}
    async with serving(diary, **options) as running, connect(running.uri(), ping_interval=None) as ws:
        await asyncio.sleep(40)
        await ws.send("still here")
        await eventually(lambda: diary.events, "it has come")
        assert running.protocol.latency < 3
    assert diary.messages == ["still here"]


@pytest.mark.parametrize(
    "options",
    [
        {"ws_ping_interval": None},
        {"ws_ping_interval": 0.0},
        {"ws_ping_timeout": None},
        {"ws_ping_timeout": 0.0},
    ],
    ids=["no-interval", "interval-0", "no-timeout", "timeout-0"],
)
@simulated
async def test_a_silent_client_stays_if_the_options_say_so(options: dict[str, Any]) -> None:
    diary = Diary()
    async with serving(diary, **options) as running, opened(running) as peer:
        await asyncio.sleep(60)
        await peer.send(message(b"x"))
        await eventually(lambda: diary.events, "it has come")
        pings = 0
        await peer.send(close_frame())
        while (await peer.frame()).opcode == 9:
            pings += 1
    assert (pings > 0) is ("ws_ping_timeout" in options)
