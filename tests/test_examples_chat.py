"""examples/chat and examples/scale_out: a chat in one process, and in several with a real Redis between."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aio_support import eventually, status_of
from examples_support import Program, bounded, free_port, server
from peers.machine import need
from raw_peer import REQUEST, RawPeer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

CHAT = "chat/server.py"
SCALE_OUT = "scale_out/server.py"


@asynccontextmanager
async def member(running: Program, name: str, room: str = "garden") -> AsyncIterator[ClientConnection]:
    """Somebody in a room, who has been told of being there."""
    async with connect(f"{running.uri}{room}?name={name}", proxy=None, max_queue=None) as ws:
        yield ws


async def event(ws: ClientConnection, kind: str) -> dict[str, Any]:
    """The next event of a kind."""
    while True:
        told: dict[str, Any] = json.loads(await ws.recv())
        if told["type"] == kind:
            return told


async def heard(ws: ClientConnection, text: str) -> str:
    """Wait until this is said, now or in the history; who said it."""
    while True:
        told = json.loads(await ws.recv())
        for said in told["said"] if told["type"] == "history" else [told]:
            if said.get("text") == text and said["type"] == "said":
                return str(said["name"])


async def say(ws: ClientConnection, text: str) -> None:
    """Say it, again each time it failed: on a busy machine Redis may take longer than TIMEOUT."""
    told: dict[str, Any] = {}
    while told.get("type") != "said":
        await ws.send(text)
        told = {}
        while told.get("text") != text:
            told = json.loads(await ws.recv())


async def texts(ws: ClientConnection) -> list[str]:
    return [said["text"] for said in (await event(ws, "history"))["said"]]


async def refused(running: Program, path: str, *messages: str | bytes) -> int | None:
    """The code that it is closed with."""
    async with connect(f"{running.uri}{path}", proxy=None) as ws:
        for message in messages:
            await ws.send(message)
        with pytest.raises(ConnectionClosed):
            await event(ws, "nothing")
        code: int | None = ws.close_code
        return code


@asynccontextmanager
async def deaf(running: Program, name: str) -> AsyncIterator[RawPeer]:
    """Somebody in the garden who reads nothing after the handshake."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer = RawPeer(sock)
        await peer.loop.sock_connect(sock, ("127.0.0.1", running.port))
        await peer.send(REQUEST.replace(b"GET / ", f"GET /garden?name={name} ".encode()))
        await peer.head()
        yield peer


async def flood(speaker: ClientConnection, listener: ClientConnection) -> None:
    """Somebody says far more than the network holds for one who does not read, and another hears it all."""
    count, text = 3000, "x" * 4000

    async def speak() -> None:
        for number in range(count):
            await speaker.send(f"{number} {text}")

    speaking = asyncio.create_task(speak())
    for number in range(count):
        assert await heard(listener, f"{number} {text}")
        if speaker is not listener:
            await heard(speaker, f"{number} {text}")
    await speaking


async def last_words(peer: RawPeer) -> int:
    """The code of the close frame behind all that has waited."""
    while (frame := await peer.frame()).opcode != 8:
        pass
    return int.from_bytes(frame.payload[:2], "big")


@bounded
async def test_chat_pushes_to_the_room_alone() -> None:
    async with (
        server(CHAT) as running,
        member(running, "ada") as ada,
        member(running, "eve", "cellar") as eve,
    ):
        assert await texts(ada) == []
        assert (await event(ada, "joined"))["here"] == ["ada"]
        async with member(running, "alan") as alan:
            assert (await event(ada, "joined"))["here"] == ["ada", "alan"]
            await alan.send("héllo " * 500)
            assert await heard(ada, "héllo " * 500) == await heard(alan, "héllo " * 500) == "alan"
            assert await refused(running, "garden?name=alan") == 4009
        assert (await event(ada, "left"))["name"] == "alan"
        await eve.send("alone")
        told = [await event(eve, kind) for kind in ("history", "joined", "said")]
        assert told[-1] == {"type": "said", "name": "eve", "text": "alone"}


@bounded
async def test_chat_history_is_bounded() -> None:
    async with server(CHAT) as running:
        async with member(running, "ada") as ada:
            for number in range(130):
                await ada.send(str(number))
            await heard(ada, "129")
        # The room is empty now, and still remembers.
        async with member(running, "bob") as bob:
            assert await texts(bob) == [str(number) for number in range(30, 130)]


@bounded
async def test_chat_refuses_what_it_should() -> None:
    async with server(CHAT) as running:
        assert await refused(running, "garden") == 1008
        assert await refused(running, "/[") == 1008
        assert await refused(running, f"garden?name={'x' * 41}") == 1008
        assert await refused(running, "garden?name=a%0Ab") == 1008
        assert await refused(running, "garden?name=ada", b"bytes") == 1003
        assert await refused(running, "garden?name=ada", "x" * 4097) == 1009


@bounded
async def test_chat_goes_on_beside_one_that_does_not_read() -> None:
    async with (
        server(CHAT) as running,
        member(running, "ada") as ada,
        member(running, "bob") as bob,
        deaf(running, "carl") as carl,
    ):
        await flood(ada, bob)
        assert await last_words(carl) == 1013
        carl.close()
        assert (await event(bob, "left"))["name"] == "carl"


# Scale-out.


class Redis:
    """A Redis server of our own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [need("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    with redis_in(tmp_path) as running:
        yield running


@contextmanager
def redis_in(folder: Path) -> Iterator[Redis]:
    running = Redis(folder)
    running.start()
    try:
        yield running
    finally:
        running.kill()


async def health(running: Program) -> int:
    return await status_of(running.port, "/healthz", "localhost")


async def healthy(running: Program, wanted: int = 200) -> None:
    for _ in range(400):
        if await health(running) == wanted:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"it never was {wanted}: {running.log}")


@asynccontextmanager
async def two_servers(redis: Redis) -> AsyncIterator[tuple[Program, Program]]:
    """Two processes of the chat that are connected to Redis."""
    words = (SCALE_OUT, "--redis", redis.url)
    async with server(*words) as first, server(*words) as second:
        await healthy(first)
        await healthy(second)
        yield first, second


@bounded
async def test_scale_out_pushes_across_processes(redis: Redis) -> None:
    async with two_servers(redis) as (first, second), member(first, "ada") as ada:
        assert await texts(ada) == []
        async with member(second, "bob") as bob, member(second, "eve", "cellar") as eve:
            assert await texts(eve) == []
            while (await event(ada, "joined"))["name"] != "bob":
                pass
            for number in range(120):
                await ada.send(f"number {number}")
            for number in range(120):
                assert await heard(bob, f"number {number}") == "ada"
            await bob.send("and back")
            assert await heard(ada, "and back") == "bob"
            await eve.send("alone")
            assert (await event(eve, "said"))["text"] == "alone"
        assert (await event(ada, "left"))["name"] == "bob"
        async with member(second, "late") as late:
            assert await texts(late) == [*(f"number {number}" for number in range(21, 120)), "and back"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
@bounded
async def test_scale_out_survives_redis(redis: Redis, number: signal.Signals) -> None:
    async with (
        two_servers(redis) as (first, second),
        member(first, "ada") as ada,
        member(second, "bob") as bob,
    ):
        await ada.send("before")
        assert await heard(bob, "before") == "ada"
        redis.kill(number)
        await ada.send("into the void")
        # Of what bob has heard Redis may not have told her server yet, which then takes it for failed, too.
        while (await asyncio.wait_for(event(ada, "failed"), 6))["text"] != "into the void":
            pass
        await asyncio.gather(healthy(first, 503), healthy(second, 503))
        # Who comes meanwhile is not left hanging, nor who leaves.
        async with member(first, "carl") as carl:
            await carl.send("anybody?")
            assert (await asyncio.wait_for(event(carl, "failed"), 12))["text"] == "anybody?"
        if number == signal.SIGKILL:
            redis.start()
        else:
            redis.kill(signal.SIGCONT)
        await asyncio.gather(healthy(first), healthy(second))
        await asyncio.wait_for(say(ada, "after"), 10)
        assert await asyncio.wait_for(heard(bob, "after"), 10) == "ada"
        await bob.send("and back")
        assert await asyncio.wait_for(heard(ada, "and back"), 10) == "bob"


@bounded
async def test_scale_out_catches_up_on_what_was_missed(redis: Redis) -> None:
    async with two_servers(redis) as (first, second), member(second, "bob") as bob:
        await texts(bob)
        # Bob's process hears nothing meanwhile, and finds its connection to Redis gone afterwards.
        second.process.send_signal(signal.SIGSTOP)
        async with member(first, "ada") as ada:
            await texts(ada)
            await asyncio.to_thread(cut_off, redis)
            await ada.send("missed")
            await heard(ada, "missed")
        second.process.send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(heard(bob, "missed"), 15) == "ada"


def cut_off(redis: Redis) -> None:
    """End every connection that Redis has, as a firewall might, but let new ones in."""
    with socket.create_connection(("127.0.0.1", redis.port)) as sock:
        sock.sendall(b"CLIENT KILL TYPE pubsub\r\n")
        assert sock.recv(100).startswith(b":2")


@bounded
async def test_scale_out_goes_on_beside_one_that_does_not_read(redis: Redis) -> None:
    async with (
        two_servers(redis) as (first, second),
        member(second, "ada") as ada,
        member(first, "bob") as bob,
        deaf(first, "carl") as carl,
    ):
        await flood(ada, bob)
        assert await last_words(carl) == 1013
        carl.close()
        while (await event(bob, "left"))["name"] != "carl":
            pass


@bounded
async def test_scale_out_starts_before_redis_does(redis: Redis) -> None:
    redis.kill()
    async with server(SCALE_OUT, "--redis", redis.url) as running:
        assert await health(running) == 503
        async with member(running, "ada") as ada:
            await ada.send("too early")
            assert (await event(ada, "failed"))["text"] == "too early"
            redis.start()
            await eventually(lambda: running.log.count("connected to Redis"), "it has come")
            await ada.send("now")
            assert await heard(ada, "now") == "ada"


@bounded
async def test_scale_out_shares_a_port(redis: Redis) -> None:
    words = (SCALE_OUT, "--redis", redis.url, "--reuse-port")
    async with server(*words) as first, server(*words, port=first.port) as second:
        assert first.port == second.port
        await healthy(first)
