"""Attacks of a server on our client: each with the documented answer, which docs/security.md shows."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from attacks.catalogue import announced, deflated
from attacks.target import MIB
from raw_peer import RawPeer, acceptance
from wire import data_frame

from fastframe import Role

DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
Play = Callable[[RawPeer, bytes], Awaitable[None]]


class HostileServer(NamedTuple):
    name: str
    what: str
    answer: str
    """The exception of `connect`, or of `recv`; with the code of the close frame if one was sent.

    "or": which it is depends on how fast the client is.
    """
    plays: Callable[[], list[Play]]
    """What each visit's connections and their requests meet with; the answer is the same to all."""


HOSTILE: list[HostileServer] = []


def hostile(answer: str) -> Callable[[Play], None]:
    """Declare an attack, described by its docstring."""

    def declare(play: Play) -> None:
        name = play.__name__.replace("_", " ")
        HOSTILE.append(HostileServer(name, (play.__doc__ or "").rstrip("."), answer, lambda: [play]))

    return declare


def hostile_bytes(answer: str) -> Callable[[Callable[[bytes], list[bytes]]], None]:
    """Declare attacks of bytes alone, a visit for each: a function that makes them of the request."""

    def declare(made: Callable[[bytes], list[bytes]]) -> None:
        async def play(peer: RawPeer, request: bytes, number: int) -> None:
            await peer.send(made(request)[number])

        def plays() -> list[Play]:
            return [functools.partial(play, number=number) for number in range(len(made(SOME_REQUEST)))]

        name = made.__name__.replace("_", " ")
        HOSTILE.append(HostileServer(name, (made.__doc__ or "").rstrip("."), answer, plays))

    return declare


SOME_REQUEST = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    return data_frame(Role.CLIENT, opcode, payload, fin=fin, rsv=rsv)


BYE = frame(1, b"bye")
"""At it the client closes."""
SLEEP = frame(1, b"sleep")
"""At it the client, in the coroutine form, takes nothing for half a second."""


def behind(request: bytes, wires: list[bytes], headers: bytes = b"") -> list[bytes]:
    """Each behind an acceptance."""
    return [acceptance(request, headers) + wire for wire in wires]


def redirection(location: bytes) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n"


# The opening handshake.


@hostile_bytes("InvalidResponse")
def a_wrong_accept(request: bytes) -> list[bytes]:
    """An answer to another key, none, and two"""
    right = acceptance(request)
    wrong = acceptance(SOME_REQUEST[:-3] + b"E==")
    [line] = [line for line in right.split(b"\r\n") if b"Accept" in line]
    return [wrong, right.replace(line + b"\r\n", b""), right.replace(line, line + b"\r\n" + line)]


@hostile_bytes("InvalidResponse")
def what_was_not_offered(request: bytes) -> list[bytes]:
    """A window of 99 bits, an extension and a subprotocol that were not offered, deflate twice"""
    extension = DEFLATE[:-2]
    headers = [extension + b"; server_max_window_bits=99\r\n", extension + b", permessage-deflate\r\n"]
    headers += [b"Sec-WebSocket-Extensions: x\r\n", b"Sec-WebSocket-Protocol: x\r\n"]
    return [acceptance(request, header) for header in headers]


@hostile_bytes("InvalidResponse")
def malformed_answers(request: bytes) -> list[bytes]:
    """Folded lines, NUL, bare CR, space before a colon, a body, HTTP/1.0, TLS, 1xx without end"""
    headers = [b"X: a\r\n b\r\n", b"X: a\0b\r\n", b"X: a\rb\r\n", b"X : a\r\n", b": a\r\n"]
    headers += [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    answers = [acceptance(request, header) for header in headers]
    answers.append(acceptance(request).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answers.append(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    return [*answers, bytes.fromhex("160303004a020000460303") + bytes(100) + b"\r\n\r\n"]


@hostile_bytes("InvalidResponse")
def frames_before_the_answer(request: bytes) -> list[bytes]:
    """Frames in front of the answer, and instead of it"""
    return [BYE + acceptance(request), frame(9) * 1000 + b"\r\n\r\n", frame(8, b"\x03\xe8") + b"\r\n\r\n"]


@hostile_bytes("InvalidResponse")
def answer_headers_without_end(request: bytes) -> list[bytes]:
    """Header lines without end, and one line without end"""
    first = b"HTTP/1.1 101 Switching Protocols\r\n"
    return [first + b"X-A: b\r\n" * 100_000, first + b"X: " + b"a" * 4 * MIB]


@hostile("TimeoutError")
async def an_answer_byte_by_byte(peer: RawPeer, request: bytes) -> None:
    """An answer whose bytes come slowly"""
    for byte in acceptance(request):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0.05)


@hostile("TimeoutError")
async def no_answer(peer: RawPeer, request: bytes) -> None:
    """No answer at all"""
    await asyncio.sleep(60)


@hostile("RejectedByServer")
async def a_body_without_end(peer: RawPeer, request: bytes) -> None:
    """A refusal with a body without end"""
    await peer.send(b"HTTP/1.1 404 Not Found\r\n\r\n")
    while True:
        await peer.send(bytes(MIB))


@hostile("RejectedByServer or TimeoutError")
async def a_chunked_body_without_end(peer: RawPeer, request: bytes) -> None:
    """The same in chunks of one byte, which cost most for what they are"""
    await peer.send(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n" * 1000)


# Redirections.


@hostile("InvalidResponse")
async def redirections_without_end(peer: RawPeer, request: bytes) -> None:
    """Each request is redirected to the next"""
    await peer.send(redirection(b"/again"))


@hostile("InvalidResponse")
async def redirections_in_a_loop(peer: RawPeer, request: bytes) -> None:
    """From one resource to another and back, each with a body that does not end"""
    there = b"/b" if request.startswith(b"GET /a ") else b"/a"
    await peer.send(redirection(there).replace(b"h: 0", b"h: 9223372036854775807"))
    while True:
        await peer.send(bytes(MIB))


@hostile_bytes("InvalidResponse")
def redirections_to_nowhere(request: bytes) -> list[bytes]:
    """A redirection to a file, to no host, to no port, to a fragment, to two places"""
    places = [b"file:///etc/passwd", b"http://", b"ws://127.0.0.1:99999/", b"http://[::1", b"data:,x"]
    two = redirection(b"/a").replace(b"Location: /a", b"Location: /a\r\nLocation: /b")
    return [*map(redirection, places), redirection(b"/a#b"), two]


# Frames and messages.


@hostile_bytes("ConnectionClosedError 1002")
def broken_frames_for_the_client(request: bytes) -> list[bytes]:
    """Masks, reserved bits and opcodes, control frames in fragments or too long, fragments out of order"""
    wires = [data_frame(Role.SERVER, 2, b"x")]
    wires += [frame(2, b"x", rsv=bit) for bit in (1, 2, 4)] + [frame(opcode) for opcode in (3, 7, 11, 15)]
    wires += [frame(9, fin=False), frame(9, b"x" * 126), frame(0), frame(2, fin=False) + frame(2)]
    wires += [b"\x82\x7f" + b"\xff" * 8, b"\x82\x7e\x00\x05hello"]
    compressed = [frame(9, rsv=4), frame(2, fin=False) + frame(0, rsv=4), frame(2, b"\xff" * 9, rsv=4)]
    return behind(request, wires) + behind(request, compressed, DEFLATE)


@hostile_bytes("ConnectionClosedError 1002")
def broken_closes_for_the_client(request: bytes) -> list[bytes]:
    """Close frames of one byte, and with codes that may not be sent"""
    codes = (0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65535)
    return behind(request, [frame(8, b"x"), *(frame(8, code.to_bytes(2, "big")) for code in codes)])


@hostile_bytes("ConnectionClosedError 1007")
def text_for_the_client_that_is_not_utf8(request: bytes) -> list[bytes]:
    """Text, also in fragments and before it ends, and close reasons that are not UTF-8"""
    wires = [frame(1, b"\xff"), frame(1, b"\xed\xa0\x80"), frame(8, b"\x03\xe8\xff")]
    wires += [frame(1, b"\xf0", fin=False) + frame(0, b"x", fin=False), frame(1, b"\xe2\x82")]
    wires += [frame(1, b"\xc3" * 40_000 + b"a")]
    return behind(request, wires)


@hostile_bytes("ConnectionClosedError 1002")
def a_second_answer(request: bytes) -> list[bytes]:
    """Another answer behind the first"""
    return [acceptance(request) * 2]


@hostile_bytes("ConnectionClosedError 1009")
def a_bomb_for_the_client(request: bytes) -> list[bytes]:
    """A compressed frame of 0.5 MB that inflates to 500 MB, and the same in 100 fragments"""
    payload = deflated(500 * MIB)
    step = len(payload) // 99
    parts = [payload[start : start + step] for start in range(0, len(payload), step)]
    fragments = frame(2, parts[0], fin=False, rsv=4)
    fragments += b"".join(frame(0, part, fin=False) for part in parts[1:]) + frame(0)
    return behind(request, [frame(2, payload, rsv=4), fragments], DEFLATE)


@hostile("ConnectionClosedOK 1000")
async def bombs_for_a_client_that_takes_nothing(peer: RawPeer, request: bytes) -> None:
    """Frames of 1 KiB that inflate to 1 MiB each, with the answer, while the application takes nothing"""
    bombs = frame(2, deflated(MIB), rsv=4) * 100
    await peer.send(acceptance(request, DEFLATE) + SLEEP + bombs + BYE)


@hostile("ConnectionClosedOK 1000")
async def tiny_messages_for_a_client_that_takes_nothing(peer: RawPeer, request: bytes) -> None:
    """300,000 empty messages, while the application takes nothing"""
    await peer.send(acceptance(request) + SLEEP + frame(2) * 300_000 + BYE)


@hostile_bytes("ConnectionClosedError 1009")
def huge_announcements_for_the_client(request: bytes) -> list[bytes]:
    """Frames that announce 2^63-1 bytes, 1 GiB, and more than is left of the limit"""
    first, other = (announced(size)[2:10] for size in (2**63 - 1, 2**30))
    fragment = frame(2, b"x", fin=False) + b"\x00\x7f" + first
    return behind(request, [b"\x82\x7f" + first, b"\x82\x7f" + other, fragment])


@hostile_bytes("ConnectionClosedError 1009")
def fragments_without_end(request: bytes) -> list[bytes]:
    """Fragments without end: empty ones, and of one byte"""
    return behind(
        request, [frame(2, data, fin=False) + frame(0, data, fin=False) * 5000 for data in (b"", b"x")]
    )


@hostile("ConnectionClosedOK 1000")
async def a_frame_byte_by_byte(peer: RawPeer, request: bytes) -> None:
    """A frame whose bytes come one at a time, each in a packet"""
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    await peer.send(acceptance(request))
    for byte in frame(2, b"x" * 5000) + BYE:
        await peer.send(bytes([byte]))


@hostile("ConnectionClosedError 1011")
async def a_frame_that_does_not_go_on(peer: RawPeer, request: bytes) -> None:
    """A frame that ends within its payload, then nothing"""
    await peer.send(acceptance(request) + frame(2, b"x" * 1000)[:-1])


@hostile("ConnectionClosedError 1000")
async def pings_whose_pongs_are_not_read(peer: RawPeer, request: bytes) -> None:
    """Pings as fast as they are taken, and none of the pongs is read; nor is the answer to the close"""
    await peer.send(acceptance(request))
    pings, end = frame(9, b"x" * 100) * 1000, time.monotonic() + 0.7
    while time.monotonic() < end:
        await peer.send(pings)
    await peer.send(BYE)
    await asyncio.sleep(60)


# The closing handshake.


@hostile("ConnectionClosedOK 1000")
async def data_for_the_client_after_the_close(peer: RawPeer, request: bytes) -> None:
    """Data behind a close frame, for as long as the client leaves the connection open"""
    await peer.send(acceptance(request) + frame(8, b"\x03\xe8"))
    while True:
        await peer.send(frame(2, b"late") * 1000)


@hostile("ConnectionClosedError 1000")
async def a_close_without_answer(peer: RawPeer, request: bytes) -> None:
    """No answer to the client's close frame"""
    await peer.send(acceptance(request) + BYE)
    await asyncio.sleep(60)


@hostile("ConnectionClosedError 1000")
async def data_instead_of_an_answer_to_the_close(peer: RawPeer, request: bytes) -> None:
    """Messages without end instead of an answer to the client's close frame"""
    await peer.send(acceptance(request) + BYE)
    while True:
        await peer.send(frame(2, bytes(1000)) * 100)


@hostile("ConnectionClosedOK 1000")
async def an_answer_to_the_close_without_end(peer: RawPeer, request: bytes) -> None:
    """An answer to the close frame, after which the connection is not closed"""
    await peer.send(acceptance(request) + BYE)
    while (await peer.frame()).opcode != 8:
        pass
    await peer.send(frame(8, b"\x03\xe8"))
    await asyncio.sleep(60)
