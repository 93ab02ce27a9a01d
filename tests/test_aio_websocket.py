"""The callback form: what is called, when, with what, and what becomes of an exception there."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aio_support import (
    Recorder,
    counted_writes,
    eventually,
    every_loop,
    logged,
    spin,
    uri_of,
)
from callback_form import BOTH, SIDES, connected, served
from wire import data_frame

from fastframe import (
    ConnectionClosed,
    ConnectionClosedError,
    Role,
    Server,
    State,
    WebSocket,
    connect,
    serve,
)

CLOSE_1000 = (1000).to_bytes(2, "big")


# Order and arguments.


@BOTH
@every_loop
async def test_callbacks_come_in_the_browsers_order(role: Role) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        await peer.send(data_frame(role, 1, b"a") + data_frame(role, 9, b"p") + data_frame(role, 2, b"b"))
        await peer.send(data_frame(role, 8, (1001).to_bytes(2, "big") + b"leaving"))
        assert [(await peer.frame()).opcode for _ in range(2)] == [10, 8]
        peer.close()
        await ws.closed
        assert ws.events == [
            ("open", State.OPEN),
            ("message", "a"),
            ("message", b"b"),
            ("close", 1001, "leaving", True),
        ]


@BOTH
@every_loop
async def test_ready_state_passes_through_all_states(role: Role) -> None:
    states = []

    class Watching(Recorder):
        def __init__(self, owner: Any) -> None:
            super().__init__(owner)
            states.append(self.ready_state)

        def on_open(self) -> None:
            states.append(self.ready_state)

        def on_message(self, message: str | bytes) -> None:
            self.close()
            states.append(self.ready_state)

        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            states.append(self.ready_state)
            super().on_close(close_code, close_reason, was_clean)

    async with SIDES[role](Watching) as (peer, ws):
        await peer.send(data_frame(role, 1, b"close"))
        await peer.frame()
        await peer.send(data_frame(role, 8, CLOSE_1000))
        peer.half_close()
        await ws.closed
        assert states == [State.CONNECTING, State.OPEN, State.CLOSING, State.CLOSED]


@every_loop
async def test_both_ends_in_the_callback_form_talk() -> None:
    class Echo(WebSocket):
        def on_message(self, message: str | bytes) -> None:
            self.send(message)

    async def talk(server: Server) -> None:
        ws = await connect(uri_of(server), Recorder, subprotocols=["chat"])
        assert ws.protocol == "chat"
        assert ws.extensions.startswith("permessage-deflate")
        messages = ["a", b"b", "c" * 100_000]
        for message in messages:
            ws.send(message)
        await eventually(lambda: len(ws.events) == 4, "all came back")
        assert ws.events[1:] == [("message", message) for message in messages]
        ws.close()
        await ws.closed

    async with serve(Echo, "127.0.0.1", 0, subprotocols=["chat"]) as server:
        await talk(server)


@every_loop
async def test_names_of_the_browser_without_agreements_are_empty() -> None:
    async with served(Recorder) as (_, ws):
        assert ws.protocol == "" and ws.extensions == "" and ws.subprotocol is None


# Exceptions.


@BOTH
@every_loop
async def test_exception_in_on_message_ends_the_connection_with_1011(role: Role) -> None:
    class Failing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            raise ZeroDivisionError

    async with SIDES[role](Failing) as (peer, ws):
        await peer.send(data_frame(role, 1, b"a") + data_frame(role, 1, b"b"))
        assert (await peer.frame()).payload == (1011).to_bytes(2, "big")
        await peer.send(data_frame(role, 8, (1011).to_bytes(2, "big")))
        peer.half_close()
        await ws.closed
        assert ws.events[1:] == [
            ("message", "a"),
            ("error", "ZeroDivisionError"),
            ("close", 1011, "", True),
        ]
        [line] = logged()
        assert "callback" in line and "ZeroDivisionError" in line


def cancelled() -> None:
    """What is raised by a future that was cancelled is no `Exception`."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    future.result()


@pytest.mark.parametrize("method", ["on_open", "on_message"])
@BOTH
@every_loop
async def test_result_of_a_cancelled_future_is_an_exception_like_any(role: Role, method: str) -> None:
    class Failing(Recorder):
        def on_open(self) -> None:
            super().on_open()
            if method == "on_open":
                cancelled()

        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            cancelled()

        def on_error(self, error: Exception) -> None:
            super().on_error(error)
            cancelled()

        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            super().on_close(close_code, close_reason, was_clean)
            cancelled()

    async with SIDES[role](Failing) as (peer, ws):
        if method == "on_message":
            await peer.send(data_frame(role, 1, b"a") + data_frame(role, 1, b"b"))
        assert (await peer.frame()).payload == (1011).to_bytes(2, "big")
        await peer.send(data_frame(role, 8, (1011).to_bytes(2, "big")))
        peer.half_close()
        await ws.closed
        assert ws.events[1:] == [
            *([("message", "a")] if method == "on_message" else []),
            ("error", "CancelledError"),
            ("close", 1011, "", True),
        ]
        assert [("callback" in line, "on_error" in line, "on_close" in line) for line in logged()] == [
            (True, False, False),
            (False, True, False),
            (False, False, True),
        ]


@BOTH
@every_loop
async def test_exception_in_on_open_ends_the_connection_with_1011(role: Role) -> None:
    class Failing(Recorder):
        def on_open(self) -> None:
            self.send("first words")
            raise ZeroDivisionError

    async with SIDES[role](Failing) as (peer, ws):
        assert (await peer.frame()).payload == b"first words"
        assert (await peer.frame()).payload == (1011).to_bytes(2, "big")
        peer.close()
        await ws.closed
        assert ws.events == [("error", "ZeroDivisionError"), ("close", 1006, "", False)]
        assert len(logged()) == 1


@BOTH
@every_loop
async def test_exceptions_in_on_error_and_on_close_are_logged(role: Role) -> None:
    class Failing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            raise ZeroDivisionError

        def on_error(self, error: Exception) -> None:
            raise KeyError

        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            super().on_close(close_code, close_reason, was_clean)
            raise IndexError

    async with SIDES[role](Failing) as (peer, ws):
        await peer.send(data_frame(role, 1, b"a"))
        await peer.frame()
        peer.close()
        await ws.closed
        await spin(2)
        log = "\n".join(logged())
        assert all(name in log for name in ("ZeroDivisionError", "KeyError", "IndexError"))


@BOTH
@every_loop
async def test_sending_in_a_callback_after_closing_is_no_failure(role: Role) -> None:
    class Late(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            self.close(1000)
            self.send("too late")

    async with SIDES[role](Late) as (peer, ws):
        await peer.send(data_frame(role, 1, b"a"))
        assert (await peer.frame()).payload == CLOSE_1000
        await peer.send(data_frame(role, 8, CLOSE_1000))
        peer.half_close()
        await ws.closed
        assert ws.events[-1] == ("close", 1000, "", True)


# Sending.


@every_loop
async def test_send_before_the_connection_is_open_is_refused() -> None:
    refusals: list[str] = []

    class Early(Recorder):
        def __init__(self, owner: Any) -> None:
            super().__init__(owner)
            with pytest.raises(RuntimeError, match="not open") as caught:
                self.send("early")
            refusals.append(str(caught.value))

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.buffered_amount == 0
            with pytest.raises(RuntimeError, match="not open") as caught:
                self.send("early")
            refusals.append(str(caught.value))

        def on_open(self) -> None:
            self.send("now")

    async with served(Early) as (peer, _):
        assert (await peer.frame()).payload == b"now"
        assert len(refusals) == 2


@BOTH
@pytest.mark.parametrize("message", [None, 5, ["a"], {"a": 1}])
@every_loop
async def test_send_of_no_message_is_refused(role: Role, message: Any) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        with pytest.raises(TypeError):
            ws.send(message)
        ws.send("fine")
        assert (await peer.frame()).payload == b"fine"


@BOTH
@every_loop
async def test_send_after_the_end_is_refused(role: Role) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        peer.close()
        await ws.closed
        with pytest.raises(ConnectionClosedError):
            ws.send("late")


@BOTH
@every_loop
async def test_all_that_is_sent_within_one_read_leaves_in_one_write(role: Role) -> None:
    class Echoing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            self.send(message)
            self.send(message)

    async with SIDES[role](Echoing) as (peer, ws):
        with counted_writes() as sizes_of:
            await peer.send(b"".join(data_frame(role, 1, b"%d" % number) for number in range(20)))
            frames = [await peer.frame() for _ in range(40)]
            assert len(sizes_of(ws)) == 1
        assert [frame.payload for frame in frames] == [b"%d" % (number // 2) for number in range(40)]


@BOTH
@every_loop
async def test_all_that_is_sent_in_on_open_leaves_in_one_write(role: Role) -> None:
    class Greeting(Recorder):
        def on_open(self) -> None:
            for number in range(10):
                self.send(str(number))

    with counted_writes() as sizes_of:
        async with SIDES[role](Greeting) as (peer, ws):
            for number in range(10):
                assert (await peer.frame()).payload == b"%d" % number
            assert len(sizes_of(ws)) == 1


@BOTH
@every_loop
async def test_send_outside_of_a_callback_leaves_at_once(role: Role) -> None:
    async with SIDES[role](Recorder) as (peer, ws):
        with counted_writes() as sizes_of:
            ws.send("a")
            ws.send("b")
            assert len(sizes_of(ws)) == 2
        assert [(await peer.frame()).payload for _ in range(2)] == [b"a", b"b"]


@BOTH
@every_loop
async def test_buffered_amount_tells_what_the_network_has_not_taken(role: Role) -> None:
    block = bytes(1_000_000)
    async with SIDES[role](Recorder) as (peer, ws):
        assert ws.buffered_amount == 0
        for _ in range(30):
            ws.send(block)
        waiting = ws.buffered_amount
        assert 5_000_000 < waiting <= 30_000_600
        for _ in range(30):
            assert len((await peer.frame()).payload) == len(block)
        await eventually(lambda: ws.buffered_amount == 0, "all has left")


@BOTH
@every_loop
async def test_close_does_not_truncate_what_was_sent(role: Role) -> None:
    block = bytes(5 * 1024 * 1024)
    async with SIDES[role](Recorder) as (peer, ws):
        ws.send(block)
        ws.close(3000, "done")
        with pytest.raises(ConnectionClosed):
            ws.send("late")
        assert (await peer.frame()).payload == block
        assert (await peer.frame()).payload == (3000).to_bytes(2, "big") + b"done"


class _Tenfold(Recorder):
    def on_message(self, message: str | bytes) -> None:
        for _ in range(10):
            self.send(message)


@every_loop
async def test_server_reads_no_more_while_its_answers_are_not_taken() -> None:
    question = data_frame(Role.SERVER, 2, bytes(50_000))
    async with served(_Tenfold) as (peer, ws):

        async def ask() -> None:
            for _ in range(200):
                await peer.send(question)

        asking = asyncio.ensure_future(ask())
        await eventually(lambda: not ws.transport.is_reading(), "reading paused")
        await spin(50)
        assert not asking.done()
        assert ws.buffered_amount < 5_000_000
        for _ in range(2000):
            assert len((await peer.frame()).payload) == 50_000
        await asking


@every_loop
async def test_reading_that_the_application_pauses_stays_so_until_it_resumes() -> None:
    class Pausing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            if message == "pause":
                self.pause_reading()
                self.send(bytes(10_000_000))  # for which writing pauses, too

    async with served(Pausing, compression=None) as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 1, b"pause"))
        await eventually(lambda: ws._writing_paused, "the network is full")
        await peer.send(data_frame(Role.SERVER, 1, b"more"))
        assert len((await peer.frame()).payload) == 10_000_000
        await eventually(lambda: not ws._writing_paused and not ws.buffered_amount, "it has drained")
        await spin(5)
        assert ws.events[1:] == [("message", "pause")]
        ws.resume_reading()
        await eventually(lambda: len(ws.events) == 3, "the rest is read")
        assert ws.events[2] == ("message", "more")


@every_loop
async def test_application_that_resumes_reading_gets_no_more_from_a_peer_that_takes_nothing() -> None:
    class Pausing(Recorder):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            self.pause_reading()
            self.send(bytes(100_000))
            asyncio.get_running_loop().call_soon(self.resume_reading)

    async with served(Pausing, compression=None) as (peer, ws):
        # Or they come together, in one read.
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(300):
            await peer.send(data_frame(Role.SERVER, 1, b"more"))
            await spin(3)
        assert ws._writing_paused and ws._reading_paused
        assert len(ws.events) < 300 and ws.buffered_amount < 5_000_000
        for _ in range(300):
            assert len((await peer.frame()).payload) == 100_000
        assert len(ws.events) == 301


@every_loop
async def test_client_reads_on_while_its_answers_are_not_taken() -> None:
    received = []

    class Counting(_Tenfold):
        def on_message(self, message: str | bytes) -> None:
            super().on_message(message)
            received.append(len(message))

    async with connected(Counting) as (peer, ws):
        for _ in range(60):
            await peer.send(data_frame(Role.CLIENT, 2, bytes(50_000)))
        await eventually(lambda: len(received) == 60, "all questions were read")
        assert ws.buffered_amount > 5_000_000
        for _ in range(600):
            assert len((await peer.frame()).payload) == 50_000
