"""The other end of a connection, written with nothing of fastframe's: sockets and frames by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from aio_support import eventually, port_of

from fastframe import Server, WebSocketStream, connect, serve

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class RawFrame(NamedTuple):
    """A frame as it came, unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False
    masked: bool = False


def split_frame(data: bytes) -> tuple[RawFrame, bytes] | None:
    """The first frame and the bytes behind it; RFC 6455 section 5.2 word for word."""
    if len(data) < 2:
        return None
    masked, length, place = bool(data[1] & 0x80), data[1] & 0x7F, 2
    if length > 125:
        place = 4 if length == 126 else 10
        length = int.from_bytes(data[2:place], "big")
    key = data[place : place + 4] if masked else b""
    place += len(key)
    if len(data) < place + length or len(key) != 4 * masked:
        return None
    payload = data[place : place + length]
    if masked:
        mask = int.from_bytes((key * (length // 4 + 1))[:length], "big")
        payload = (int.from_bytes(payload, "big") ^ mask).to_bytes(length, "big")
    frame = RawFrame(data[0] & 0xF, payload, bool(data[0] & 0x80), bool(data[0] & 0x40), masked)
    return frame, data[place + length :]


def split_frames(data: bytes) -> list[RawFrame]:
    """All frames; there must be nothing more."""
    frames = []
    while data:
        split = split_frame(data)
        assert split is not None, f"half a frame: {data[:20].hex()}"
        frames.append(split[0])
        data = split[1]
    return frames


class RawPeer:
    """A socket, and the frames on it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.data = b""
        self.loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.sock, data)

    async def _more(self) -> bool:
        data = await self.loop.sock_recv(self.sock, 1 << 18)
        self.data += data
        return bool(data)

    async def head(self) -> bytes:
        """An HTTP request or response without its body."""
        while b"\r\n\r\n" not in self.data:
            assert await self._more(), f"end within a head: {self.data!r}"
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        return head

    async def frame(self) -> RawFrame:
        while True:
            split = split_frame(self.data)
            if split is not None:
                frame, self.data = split
                return frame
            assert await self._more(), f"end within a frame, after {self.data!r}"

    async def rest(self) -> bytes:
        """All until the end."""
        while await self._more():
            pass
        data, self.data = self.data, b""
        return data

    async def gone(self) -> bool:
        """Wait for the end, by FIN or by RST; whether nothing came before it."""
        with suppress(ConnectionResetError):
            return await self.rest() == b""
        return self.data == b""

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@asynccontextmanager
async def raw_client(
    server: Server, request: bytes = REQUEST, *, receive_buffer: int | None = None
) -> AsyncIterator[RawPeer]:
    """A TCP connection to a server, its request sent and (unless that is empty) accepted."""
    with socket.socket() as sock:
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer = RawPeer(sock)
        await peer.loop.sock_connect(sock, ("127.0.0.1", port_of(server)))
        if request:
            await peer.send(request)
            head = await peer.head()
            assert head.startswith(b"HTTP/1.1 101 "), head
        yield peer


def acceptance(request: bytes, extra: bytes = b"") -> bytes:
    """A 101 response; `extra` are header lines with their ends."""
    [key] = [
        line.partition(b":")[2].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    ]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" + extra + b"\r\n"
    )


class RawServer:
    """A listening socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.uri = f"ws://127.0.0.1:{sock.getsockname()[1]}/"

    @asynccontextmanager
    async def peer(self) -> AsyncIterator[RawPeer]:
        """The next connection."""
        sock, _ = await asyncio.get_running_loop().sock_accept(self.sock)
        with sock:
            yield RawPeer(sock)

    @asynccontextmanager
    async def accepted(self) -> AsyncIterator[RawPeer]:
        """The next connection, its handshake done."""
        async with self.peer() as peer:
            await peer.send(acceptance(await peer.head()))
            yield peer


@asynccontextmanager
async def raw_server() -> AsyncIterator[RawServer]:
    """A server that is to be played by hand."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.setblocking(False)
        yield RawServer(sock)


@asynccontextmanager
async def raw_pair(**client: Any) -> AsyncIterator[tuple[RawPeer, WebSocketStream]]:
    """A client of ours, and a server that is played by hand."""
    async with raw_server() as server:
        connecting = asyncio.ensure_future(_awaited(connect(server.uri, **({"compression": None} | client))))
        async with server.accepted() as peer:
            ws: WebSocketStream = await connecting
            yield peer, ws
            peer.close()
            await ws.wait_closed()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[RawPeer, WebSocketStream]]:
    """A server's connection, and a client that is played by hand."""
    accepted: list[WebSocketStream] = []

    async def handler(ws: WebSocketStream) -> None:
        accepted.append(ws)
        await ws.wait_closed()

    async with (
        serve(handler, "127.0.0.1", 0, **({"compression": None} | options)) as server,
        raw_client(server) as peer,
    ):
        await eventually(lambda: accepted, "the handler runs")
        yield peer, accepted[0]
        peer.close()
        await accepted[0].wait_closed()
