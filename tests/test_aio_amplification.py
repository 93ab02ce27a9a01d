"""Few bytes from a peer must not become many in memory: where the factor is large, something caps it."""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import eventually, every_loop, port_of, tls_contexts
from raw_peer import REQUEST, RawPeer, raw_client, served
from wire import data_frame

from fastframe import InvalidRequest, Role, WebSocket, WebSocketStream, serve
from fastframe.aio.backlog import Backlog
from fastframe.aio.chunks import MessageChunks
from fastframe.aio.protocol import CAREFUL_SIZE, DEFAULT_MAX_QUEUE
from fastframe.aio.settings import OBJECT_SIZE
from fastframe.handshake import ServerHandshake

MIB = 1024 * 1024
COMPRESSED_REQUEST = REQUEST[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def bomb() -> bytes:
    """A frame of about 1 KiB that inflates to 1 MiB."""
    compressor = zlib.compressobj(9, wbits=-12)
    payload = (compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return data_frame(Role.SERVER, 2, payload, rsv=4)


@asynccontextmanager
async def unread(request: bytes) -> AsyncIterator[tuple[RawPeer, WebSocketStream]]:
    """A connection of a server whose handler takes nothing, after a request that may have more behind it."""
    accepted: list[WebSocketStream] = []
    release = asyncio.Event()

    async def handler(ws: WebSocketStream) -> None:
        accepted.append(ws)
        await release.wait()

    async with (
        serve(handler, "127.0.0.1", 0, close_timeout=0.5) as server,
        raw_client(server, request) as peer,
    ):
        await eventually(lambda: accepted, "the handler runs")
        yield peer, accepted[0]
        release.set()
        accepted[0].transport.abort()


async def sent_until_held_back(peer: RawPeer, wire: bytes, most: int) -> int:
    """Send again and again, until nothing more is taken; how many bytes were."""
    sent = 0
    while sent < most:
        try:
            await asyncio.wait_for(peer.send(wire), 0.5)
        except asyncio.TimeoutError:
            return sent
        sent += len(wire)
    raise AssertionError(f"{sent} bytes were taken of a peer whose messages nobody takes")


@pytest.mark.parametrize("request_", [REQUEST, COMPRESSED_REQUEST], ids=["plain", "deflate"])
@pytest.mark.parametrize("payload", [b"", b"ab"], ids=["empty", "two"])
@every_loop
async def test_small_messages_count_for_what_they_take(request_: bytes, payload: bytes) -> None:
    async with unread(request_) as (peer, ws):
        small = data_frame(Role.SERVER, 2, payload)
        await sent_until_held_back(peer, small * 10_000, 64 * MIB)
        assert ws._reading_paused
        # What one read may bring on top of the limit.
        read = 262_144 // len(small)
        assert len(ws._messages) <= DEFAULT_MAX_QUEUE // OBJECT_SIZE + read


@pytest.mark.parametrize("where", ["behind the handshake", "later"])
@every_loop
async def test_what_one_read_inflates_to_is_bounded(where: str) -> None:
    bombs = bomb() * 200
    async with unread(COMPRESSED_REQUEST + (bombs if where != "later" else b"")) as (peer, ws):
        if where == "later":
            await peer.send(bombs)
        await eventually(lambda: ws._reading_paused, "reading pauses")
        await asyncio.sleep(0.1)
        inflated = sum(map(len, ws._messages))
        assert DEFAULT_MAX_QUEUE <= inflated <= 2 * (CAREFUL_SIZE // 1024 + 1) * MIB


@every_loop
async def test_all_of_it_comes_through_small_reads() -> None:
    """Held back, not lost: large frames, many frames, and frames across reads, with deflate agreed on."""
    messages = [bytes([number]) * size for number, size in enumerate([0, 1, 5000, 70_000, 1_000_000, 3] * 3)]
    taken: list[Any] = []

    async def handler(ws: WebSocketStream) -> None:
        while True:
            taken.extend(await ws.recv_many())

    async with serve(handler, "127.0.0.1", 0) as server, raw_client(server, COMPRESSED_REQUEST) as peer:
        await peer.send(b"".join(data_frame(Role.SERVER, 2, message) for message in messages) + bomb())
        await eventually(lambda: len(taken) == len(messages) + 1, "all have come")
        assert taken == [*messages, bytes(MIB)]


@every_loop
async def test_others_have_their_turn_between_small_reads() -> None:
    """Also where a loop reads on and on for as long as the buffer is filled."""
    turn = 0
    turns: list[int] = []

    class Noting(WebSocket):
        def on_message(self, message: str | bytes) -> None:
            turns.append(turn)

    async with serve(Noting, "127.0.0.1", 0) as server, raw_client(server, COMPRESSED_REQUEST) as peer:
        await peer.send(bomb() * 200)
        while len(turns) < 200:
            turn += 1
            await asyncio.sleep(0)
        assert max(map(turns.count, set(turns))) <= 2 * (CAREFUL_SIZE // 1024 + 1)


@every_loop
async def test_one_timer_for_the_answer_however_many_reads_follow() -> None:
    async with served(close_timeout=1) as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 2, b"not taken") + data_frame(Role.SERVER, 8, b"\x03\xe8"))
        await eventually(lambda: ws._answer_timer is not None, "the answer waits for the application")
        loop: Any = asyncio.get_running_loop()
        timer, timers = ws._answer_timer, len(loop.timers)
        for _ in range(20):
            await peer.send(b"\x00")
            await asyncio.sleep(0.002)
        assert ws._answer_timer is timer
        assert len([1 for known in loop.timers[timers:] if "_conclude" in repr(known())]) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Sec-WebSocket-Protocol", ",".join(["ab"] * 129)),
        ("Sec-WebSocket-Extensions", ",".join(["ab"] * 129)),
        ("Sec-WebSocket-Extensions", ";".join(["ab"] * 129)),
        ("Sec-WebSocket-Extensions", ",".join(["ab;cd"] * 65)),
    ],
)
def test_offers_are_counted(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match="^more than 128 offers in one header$") as caught:
        ServerHandshake().receive(REQUEST[:-2] + f"{name}: {value}\r\n\r\n".encode())
    assert caught.value.status == 431
    fewer = value.rpartition(",")[0] or value.rpartition(";")[0]
    assert ServerHandshake().receive(REQUEST[:-2] + f"{name}: {fewer}\r\n\r\n".encode()) is not None


def test_backlog_counts_empty_messages() -> None:
    backlog = Backlog(1000 * OBJECT_SIZE * 2)
    assert [backlog.add(b"", "drop_oldest") for _ in range(2001)] == [0] * 2000 + [1]
    assert backlog.add(b"", "close") is None
    assert backlog.add(b"", "keep_latest") == 2000
    assert len(backlog) == 1
    small = Backlog(1)
    assert [small.add(b"", "drop_oldest") for _ in range(1025)] == [0] * 1024 + [1]


def test_chunks_count_for_what_they_take() -> None:
    chunks = MessageChunks(None)  # type: ignore[arg-type]
    for _ in range(10):
        chunks.add(b"ab")
    assert chunks.size == 10 * (2 + OBJECT_SIZE)
    chunks.abandon()
    assert chunks.size == 0


@every_loop
async def test_tls_handshake_has_as_long_as_the_opening() -> None:
    async def handler(ws: WebSocketStream) -> None:
        """It never runs."""

    tls, _ = tls_contexts()
    async with serve(handler, "127.0.0.1", 0, ssl=tls, open_timeout=0.3) as server:
        with socket.socket() as sock:
            peer = RawPeer(sock)
            await peer.loop.sock_connect(sock, ("127.0.0.1", port_of(server)))
            # The first bytes of a ClientHello.
            await peer.send(bytes.fromhex("160301020001"))
            assert await asyncio.wait_for(peer.gone(), 5)
