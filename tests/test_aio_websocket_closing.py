"""How a connection ends in the callback form."""

from __future__ import annotations

from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    eventually,
    every_loop,
    simulated,
    spin,
    uri_of,
)
from callback_form import BOTH, SIDES, served
from wire import data_frame

from fastframe import (
    Role,
    connect,
    serve,
)

CLOSE_1000 = (1000).to_bytes(2, "big")

# Of the peer's doing.


@BOTH
@every_loop
async def test_close_frame_without_a_code_is_reported_as_1005(role: Role) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        await peer.send(data_frame(role, 8, b""))
        await peer.frame()
        peer.close()
        await ws.closed
        assert ws.events[-1] == ("close", 1005, "", True)


@BOTH
@pytest.mark.parametrize("abruptly", [True, False])
@every_loop
async def test_lost_peer_is_reported_as_1006(role: Role, abruptly: bool) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        if abruptly:
            peer.reset()
        else:
            peer.close()
        await ws.closed
        assert ws.events[1:] == [("error", "ConnectionClosedError"), ("close", 1006, "", False)]
        assert int(ws.ready_state) == 3


@BOTH
@every_loop
async def test_violation_is_given_to_on_error_before_on_close(role: Role) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        await peer.send(data_frame(role, 1, b"good") + data_frame(role, 1, b"\xff"))
        assert (await peer.frame()).payload[:2] == (1007).to_bytes(2, "big")
        peer.close()
        await ws.closed
        assert ws.events[1:] == [("message", "good"), ("error", "InvalidUtf8"), ("close", 1006, "", False)]


@BOTH
@every_loop
async def test_what_comes_after_close_is_not_delivered(role: Role) -> None:
    class Closing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            if message == "close":
                self.close()

    async with SIDES[role](Closing) as (peer, ws):
        await peer.send(b"".join(data_frame(role, 1, text) for text in (b"a", b"close", b"in the same read")))
        assert (await peer.frame()).payload == CLOSE_1000
        await peer.send(data_frame(role, 1, b"in a later one") + data_frame(role, 8, CLOSE_1000))
        peer.half_close()
        await ws.closed
        assert ws.events[1:] == [("message", "a"), ("message", "close"), ("close", 1000, "", True)]


@BOTH
@every_loop
async def test_what_comes_before_the_peers_close_frame_is_delivered_and_may_be_answered(role: Role) -> None:
    class Echoing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            self.send(message)

    async with SIDES[role](Echoing) as (peer, ws):
        await peer.send(
            data_frame(role, 1, b"a") + data_frame(role, 1, b"b") + data_frame(role, 8, CLOSE_1000)
        )
        assert [(await peer.frame()).payload for _ in range(3)] == [b"a", b"b", CLOSE_1000]
        peer.close()
        await ws.closed
        assert ws.events[-1] == ("close", 1000, "", True)


@BOTH
@simulated
async def test_silent_peer_is_reported_before_the_close(role: Role) -> None:
    errors = []

    class Noting(Recorder):
        def on_error(self, error: Exception) -> None:
            super().on_error(error)
            errors.append(str(error))

    async with SIDES[role](Noting) as (_, ws):
        await ws.closed
        assert ws.events[1:] == [("error", "ConnectionClosedError"), ("close", 1006, "", False)]
        assert "silent" in errors[0]


# Of our own.


@BOTH
@every_loop
async def test_close_may_be_called_at_any_time(role: Role) -> None:
    class Closing(Recorder):
        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            self.close()
            super().on_close(close_code, close_reason, was_clean)

    async with SIDES[role](Closing) as (peer, ws):
        ws.close(1000, "first")
        ws.close(1001, "second")
        assert (await peer.frame()).payload == CLOSE_1000 + b"first"
        await peer.send(data_frame(role, 8, CLOSE_1000))
        peer.half_close()
        await ws.closed
        ws.close()
        await spin(3)
        ws.close()
        assert ws.events[-1] == ("close", 1000, "", True)


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1000, "x" * 124)])
@every_loop
async def test_close_with_what_may_not_be_sent_is_refused(code: int, reason: str) -> None:
    async with served(Recorder) as (peer, ws):
        with pytest.raises(ValueError, match="close_"):
            ws.close(code, reason)
        ws.send("still open")
        assert (await peer.frame()).payload == b"still open"


@BOTH
@simulated
async def test_peer_that_does_not_close_is_given_up_after_close_timeout(role: Role) -> None:
    async with SIDES[role](Recorder, close_timeout=4, ping_interval=None) as (_, ws):
        before = clock().time()
        ws.close()
        await ws.closed
        assert clock().time() - before == pytest.approx(4, abs=0.1)
        assert ws.events[1:] == [("error", "ConnectionClosedError"), ("close", 1006, "", False)]


@every_loop
async def test_client_as_context_manager_is_closed_at_its_end() -> None:
    events: list[Any] = []

    class Noting(Recorder):
        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            super().on_close(close_code, close_reason, was_clean)
            events.append((close_code, was_clean))

    async with serve(Noting, "127.0.0.1", 0) as server:
        async with connect(uri_of(server), Noting) as ws:
            ws.send("a")
        await ws.closed
        await eventually(lambda: len(events) == 2, "both have closed")
        assert events == [(1000, True)] * 2


@BOTH
@every_loop
async def test_connection_aborted_in_a_callback_ends_quietly(role: Role) -> None:
    class Aborting(Recorder):
        def on_message(self, message: str | bytes) -> None:
            self.send("never mind")
            self.transport.abort()
            self.send("gone")

    async with SIDES[role](Aborting) as (peer, ws):
        await peer.send(data_frame(role, 1, b"a") * 3)
        await ws.closed
        assert ws.events[-2:] == [("error", "ConnectionClosedError"), ("close", 1006, "", False)]
