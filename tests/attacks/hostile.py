"""Attacks of a server on our client: each with the documented answer, which docs/security.md shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from attacks.catalogue import announced, deflated
from attacks.target import MIB
from raw_peer import RawPeer, acceptance
from wire import data_frame

from fastframe import Role

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


class HostileServer(NamedTuple):
    name: str
    what: str
    answer: str
    """The exception of `connect`, or of `recv`; with a close code if there is one."""
    play: Callable[[RawPeer, bytes], Awaitable[None]]


HOSTILE: list[HostileServer] = []


def hostile(answer: str) -> Callable[[Callable[[RawPeer, bytes], Awaitable[None]]], None]:
    def declare(play: Callable[[RawPeer, bytes], Awaitable[None]]) -> None:
        name = play.__name__.replace("_", " ")
        HOSTILE.append(HostileServer(name, (play.__doc__ or "").rstrip("."), answer, play))

    return declare


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    return data_frame(Role.CLIENT, opcode, payload, fin=fin, rsv=rsv)


@hostile("InvalidResponse")
async def a_wrong_accept(peer: RawPeer, request: bytes) -> None:
    """An answer to another key"""
    await peer.send(acceptance(b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="))


@hostile("InvalidResponse")
async def what_was_not_offered(peer: RawPeer, request: bytes) -> None:
    """A window of 99 bits"""
    await peer.send(acceptance(request, DEFLATE[:-2] + b"; server_max_window_bits=99\r\n"))


@hostile("InvalidResponse")
async def answer_headers_without_end(peer: RawPeer, request: bytes) -> None:
    """Header lines without end"""
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\n" + b"X-A: b\r\n" * 100_000)


@hostile("InvalidResponse")
async def a_line_without_end(peer: RawPeer, request: bytes) -> None:
    """A header line without end"""
    await peer.send(b"HTTP/1.1 101 Switching Protocols\r\nX: " + b"a" * 4 * MIB)


@hostile("TimeoutError")
async def an_answer_byte_by_byte(peer: RawPeer, request: bytes) -> None:
    """An answer whose bytes come slowly"""
    for byte in acceptance(request):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.05)


@hostile("RejectedByServer")
async def a_body_without_end(peer: RawPeer, request: bytes) -> None:
    """A refusal with a body without end"""
    await peer.send(b"HTTP/1.1 404 Not Found\r\n\r\n")
    while True:
        await peer.send(bytes(MIB))


@hostile("ConnectionClosedError 1002")
async def masked_frames(peer: RawPeer, request: bytes) -> None:
    """Frames that are masked"""
    await peer.send(acceptance(request) + data_frame(Role.SERVER, 2, b"x"))


@hostile("ConnectionClosedError 1009")
async def a_bomb_for_the_client(peer: RawPeer, request: bytes) -> None:
    """A compressed frame of 0.5 MB that inflates to 500 MB"""
    await peer.send(acceptance(request, DEFLATE) + frame(2, deflated(500 * MIB), rsv=4))


@hostile("ConnectionClosedError 1009")
async def a_huge_announcement(peer: RawPeer, request: bytes) -> None:
    """A frame that announces 2^63-1 bytes"""
    header = announced(2**63 - 1)
    await peer.send(acceptance(request) + header[:1] + b"\x7f" + header[2:10])


@hostile("ConnectionClosedError 1009")
async def fragments_without_end(peer: RawPeer, request: bytes) -> None:
    """Empty fragments without end"""
    await peer.send(acceptance(request) + frame(2, b"", fin=False) + frame(0, b"", fin=False) * 5000)


@hostile("InvalidResponse")
async def redirections_without_end(peer: RawPeer, request: bytes) -> None:
    """Each request is redirected to the next"""
    await peer.send(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


@hostile("InvalidResponse")
async def a_redirection_to_a_file(peer: RawPeer, request: bytes) -> None:
    """A redirection to something else than a WebSocket"""
    await peer.send(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")
