"""Peers that vanish, stall or flood, and processes that stop: nothing hangs, nothing is left.

What a test leaves behind is looked for after each of them (aio_support.run).
"""

from __future__ import annotations

import asyncio
import gc
import random
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from aio_support import (
    LOOPS,
    Recorder,
    collect,
    echo,
    eventually,
    every_loop,
    logged,
    pair,
    spin,
    tls_contexts,
    uri_of,
)
from raw_peer import (
    REQUEST,
    acceptance,
    raw_client,
    raw_pair,
    raw_server,
    served,
)
from wire import data_frame

from fastframe import (
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Request,
    Role,
    State,
    WebSocketStream,
    connect,
    serve,
)
from fastframe.aio.protocol import SocketProtocol

SIDES: dict[Role, Any] = {Role.SERVER: served, Role.CLIENT: raw_pair}
BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


# The peer vanishes.

WIRES: dict[str, Callable[[Role], bytes]] = {
    "nothing": lambda role: b"",
    "half-a-header": lambda role: data_frame(role, 2, b"x" * 200)[:3],
    "half-a-frame": lambda role: data_frame(role, 2, b"x" * 200)[:100],
    "half-a-large-frame": lambda role: data_frame(role, 2, b"x" * 900_000)[:300_000],
    "half-a-message": lambda role: data_frame(role, 1, b"a", fin=False),
    "half-a-close-frame": lambda role: data_frame(role, 8, b"\x03\xe8reason")[:5],
}


@BOTH
@pytest.mark.parametrize("end", ["RST", "FIN", "half-close"])
@pytest.mark.parametrize("wire", WIRES)
@every_loop
async def test_peer_that_vanishes_ends_recv(role: Role, end: str, wire: str) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 1, b"last words") + WIRES[wire](role))
        assert await ws.recv() == "last words"
        receiving = asyncio.ensure_future(ws.recv())
        await spin(3)
        {"RST": peer.reset, "FIN": peer.close, "half-close": peer.half_close}[end]()
        with pytest.raises(ConnectionClosedError, match="no close frame received or sent"):
            await receiving
        assert (ws.close_code, ws.close_reason) == (1006, "")
        assert ws.ready_state is State.CLOSED


@BOTH
@every_loop
async def test_reset_is_named_as_the_reason(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        peer.reset()
        with pytest.raises(ConnectionClosedError, match="ConnectionResetError"):
            await ws.recv()


@BOTH
@pytest.mark.parametrize("end", ["RST", "FIN"])
@every_loop
async def test_peer_that_vanishes_ends_waiting_sends(role: Role, end: str) -> None:
    async with SIDES[role]() as (peer, ws):
        sending = [asyncio.ensure_future(ws.send(bytes(3_000_000))) for _ in range(8)]
        await eventually(lambda: ws.buffered_amount > 3_000_000, "the buffers are full")
        {"RST": peer.reset, "FIN": peer.close}[end]()
        results = await asyncio.wait_for(asyncio.gather(*sending, return_exceptions=True), 5)
        assert any(isinstance(result, ConnectionClosedError) for result in results)
        assert all(result is None or isinstance(result, ConnectionClosed) for result in results)
        await ws.wait_closed()


@BOTH
@every_loop
async def test_peer_that_vanishes_ends_everything_else_that_waits(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        pong = await ws.ping()
        waiting = [asyncio.ensure_future(step) for step in (ws.wait_closed(), ws.close(), ws.wait_closed())]
        await spin(3)
        peer.reset()
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        with pytest.raises(ConnectionClosedError):
            await pong


@pytest.mark.parametrize("end", ["RST", "FIN"])
@pytest.mark.parametrize("sent", [0, 1, 50, len(REQUEST) - 1])
@every_loop
async def test_client_that_vanishes_within_its_request_is_forgotten(end: str, sent: int) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        async with raw_client(server, b"") as peer:
            await peer.send(REQUEST[:sent])
            await eventually(lambda: server.connections, "the connection is there")
            {"RST": peer.reset, "FIN": peer.close}[end]()
        await eventually(lambda: not server.connections, "the connection is gone")


@pytest.mark.parametrize("end", ["RST", "FIN"])
@pytest.mark.parametrize("iterations", range(5))
@every_loop
async def test_client_that_vanishes_during_process_request_is_forgotten(end: str, iterations: int) -> None:
    async def process_request(protocol: Any, request: Request) -> None:
        await spin(10)

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        async with raw_client(server, b"") as peer:
            await peer.send(REQUEST)
            await spin(iterations)
            {"RST": peer.reset, "FIN": peer.close}[end]()
        await spin(20)
        await eventually(lambda: not server.connections, "the connection is gone")


@every_loop
async def test_many_peers_that_vanish_at_once_are_all_forgotten() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        for round_ in range(3):
            peers = []
            for number in range(30):
                connecting = raw_client(server, REQUEST if number % 3 else b"")
                peers.append((connecting, await connecting.__aenter__()))
            for number, (_, peer) in enumerate(peers):
                if number % 2:
                    peer.reset()
            for connecting, _ in peers:
                await connecting.__aexit__(None, None, None)
            await eventually(lambda: not server.connections, f"all of round {round_} are gone")


@pytest.mark.parametrize(
    "sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "half", "http"]
)
@pytest.mark.parametrize("end", ["RST", "FIN"])
@every_loop
async def test_client_that_vanishes_within_the_tls_handshake_is_forgotten(sent: bytes, end: str) -> None:
    server_tls, client_tls = tls_contexts()
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        async with raw_client(server, b"") as peer:
            await peer.send(sent)
            await spin(5)
            {"RST": peer.reset, "FIN": peer.close}[end]()
        async with connect(uri_of(server, scheme="wss"), ssl=client_tls) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"
        await eventually(lambda: not server.connections, "all are gone")


@every_loop
async def test_tls_peer_that_vanishes_ends_recv() -> None:
    server_tls, client_tls = tls_contexts()
    accepted: list[WebSocketStream] = []

    async def handler(ws: WebSocketStream) -> None:
        accepted.append(ws)
        await ws.wait_closed()

    async with (
        serve(handler, "127.0.0.1", 0, ssl=server_tls) as server,
        connect(uri_of(server, scheme="wss"), ssl=client_tls) as ws,
    ):
        await eventually(lambda: accepted, "the handler runs")
        accepted[0].transport.abort()
        with pytest.raises(ConnectionClosedError):
            await ws.recv()


# The peer is slow, or floods.


@BOTH
@every_loop
async def test_slow_writer_is_understood(role: Role) -> None:
    wire = data_frame(role, 1, "Grüße".encode(), fin=False) + data_frame(role, 9, b"p")
    wire += data_frame(role, 0, b"!" * 200) + data_frame(role, 8, (1000).to_bytes(2, "big"))
    async with SIDES[role]() as (peer, ws):
        for byte in wire:
            await peer.send(bytes([byte]))
            await spin(1)
        assert await ws.recv() == "Grüße" + "!" * 200
        assert (await peer.frame()).payload == b"p"
        closing = asyncio.ensure_future(ws.recv())
        assert (await peer.frame()).opcode == 8
        peer.close()
        with pytest.raises(ConnectionClosedOK):
            await closing


@BOTH
@every_loop
async def test_slow_reader_gets_everything(role: Role) -> None:
    message = random.Random(8).randbytes(3_000_000)
    async with SIDES[role]() as (peer, ws):
        sending = asyncio.ensure_future(ws.send(message))
        data = b""
        while len(data) < len(message):
            data += await peer.loop.sock_recv(peer.sock, 20_000)
            await spin(1)
        peer.data = data
        assert (await peer.frame()).payload == message
        await sending


@BOTH
@every_loop
async def test_flood_of_pings_from_a_peer_that_reads_nothing_costs_no_memory(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        flood = data_frame(role, 9, b"x" * 125) * 4000
        flooding = asyncio.ensure_future(asyncio.sleep(0))
        for _ in range(60):
            flooding = asyncio.ensure_future(peer.send(flood))
            done, _ = await asyncio.wait([flooding], timeout=2)
            assert ws.buffered_amount < 2_000_000
            if not done:
                break
        flooding.cancel()
        await asyncio.wait([flooding])
        peer.reset()


@BOTH
@every_loop
async def test_flood_after_our_close_frame_costs_no_memory(role: Role) -> None:
    async with SIDES[role](max_queue=100_000, close_timeout=3) as (peer, ws):
        closing = asyncio.ensure_future(ws.close())
        assert (await peer.frame()).opcode == 8
        flood = data_frame(role, 2, bytes(500_000)) * 2
        for _ in range(40):
            sending = asyncio.ensure_future(peer.send(flood))
            done, _ = await asyncio.wait([sending], timeout=0.5)
            if not done:
                sending.cancel()
                await asyncio.wait([sending])
                break
        queued = sum(map(len, ws._messages))
        peer.reset()
        await closing
        while ws._messages:
            await ws.recv()
        assert queued <= 5_000_000


@BOTH
@every_loop
async def test_messages_left_in_a_full_queue_are_received_after_the_end(role: Role) -> None:
    async with SIDES[role](max_queue=1000) as (peer, ws):
        await peer.send(data_frame(role, 2, bytes(600)) * 4)
        await eventually(lambda: not ws.transport.is_reading(), "reading paused")
        ws.transport.abort()
        await ws.wait_closed()
        for _ in range(4):
            assert await ws.recv() == bytes(600)
        with pytest.raises(ConnectionClosedError):
            await ws.recv()


@every_loop
async def test_violation_of_a_peer_that_stays_is_ended_by_us() -> None:
    async with served() as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 1, b"\xff"))
        assert (await peer.frame()).payload[:2] == (1007).to_bytes(2, "big")
        assert await peer.rest() == b"", "the server closes"
        assert ws.close_code is None or ws.close_code == 1006


@BOTH
@every_loop
async def test_peer_that_closes_and_vanishes_was_clean(role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 8, (1000).to_bytes(2, "big")))
        peer.half_close()
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        assert ws.close_code == 1000


# The process stops.


class _Left:
    """What is alive of a loop that was closed."""

    def __init__(self) -> None:
        self.references: list[weakref.ref[Any]] = []

    def watch(self, *things: Any) -> None:
        self.references += map(weakref.ref, things)

    def alive(self) -> list[Any]:
        collect()
        collect()  # PyPy takes more of them for a whole loop with its transports
        return [reference() for reference in self.references if reference() is not None]


@pytest.mark.parametrize("event_loop", sorted(LOOPS))
@pytest.mark.parametrize("form", ["coroutine", "callback"])
def test_loop_closed_while_connections_are_open_leaves_nothing(event_loop: str, form: str) -> None:
    left = _Left()
    failures: list[str] = []

    async def open_all() -> list[Any]:
        server = await serve(echo if form == "coroutine" else Recorder, "127.0.0.1", 0)
        sockets = [await connect(uri_of(server), None if form == "coroutine" else Recorder) for _ in range(3)]
        async with raw_client(server, b""):
            await eventually(lambda: len(server.connections) == 4, "all are there")
        left.watch(server, *server.connections, *sockets)
        return [server, *sockets]

    loop = LOOPS[event_loop]()
    loop.set_exception_handler(lambda _, context: failures.append(context["message"]))
    with warnings.catch_warnings():
        # asyncio's and uvloop's own transports complain, rightly.
        warnings.simplefilter("ignore", ResourceWarning)
        kept = loop.run_until_complete(open_all())
        task = None
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.close()
        del kept, loop, task
        assert left.alive() == []
    assert [failure for failure in failures if "pending" not in failure] == []


@pytest.mark.parametrize("iterations", range(6))
@every_loop
async def test_everything_cancelled_at_once_leaves_nothing(iterations: int) -> None:
    """As asyncio.run does at its end."""
    others = asyncio.all_tasks()
    server = await serve(echo, "127.0.0.1", 0)

    async def talk() -> None:
        async with connect(uri_of(server)) as ws:
            while True:
                await ws.send("a")
                await ws.recv()

    tasks = [asyncio.ensure_future(talk()) for _ in range(5)]
    await spin(20 + iterations)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    await asyncio.wait(tasks)
    await server.close()


@every_loop
async def test_connections_that_nobody_keeps_stay_until_they_end() -> None:
    """A socket in the callback form belongs to its transport."""
    messages = []

    class Lonely(Recorder):
        def on_message(self, message: str | bytes) -> None:
            messages.append(message)

    async with raw_server() as server:

        async def forget() -> None:
            await connect(server.uri, Lonely)

        forgetting = asyncio.ensure_future(forget())
        async with server.peer() as peer:
            await peer.send(acceptance(await peer.head()))
            await forgetting
            gc.collect()
            await peer.send(data_frame(Role.CLIENT, 1, b"a"))
            await eventually(lambda: messages == ["a"], "the message came")


@every_loop
async def test_ended_connection_is_freed_though_its_server_runs() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        left = _Left()
        for _ in range(3):
            async with connect(uri_of(server)) as ws:
                await ws.send("a")
                await ws.recv()
                left.watch(ws, *server.connections)
        del ws
        await eventually(lambda: not server.connections, "they are gone")
        await spin(5)
        assert left.alive() == []


@every_loop
async def test_runner_sees_what_is_left() -> None:
    """The suite's own guard works: an open pair is there to be found."""
    async with pair() as (server, client):
        kinds = {
            type(thing) for thing in gc.get_objects() if issubclass(type(thing), (SocketProtocol, Connection))
        }
        assert {WebSocketStream, Connection} <= kinds
        assert server is not client
    assert logged() == []
