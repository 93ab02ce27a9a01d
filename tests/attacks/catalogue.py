"""The attacks on a server: each with the documented answer, which docs/security.md shows."""

from __future__ import annotations

import functools
import socket
import time
import zlib
from collections.abc import Callable
from typing import NamedTuple

from attacks.target import MIB, Target, Wire, request
from wire import data_frame

from fastframe import Role

SCALE = 1
"""Set by ``--scale``: sizes and counts of the attacks that are worth making larger."""

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
HELD = "held back"


class Attack(NamedTuple):
    name: str
    what: str
    answer: str
    memory: int
    run: Callable[[Target], str]
    ours: bool
    """It is about what uvicorn reads itself, before it hands over: only of our own server."""


ATTACKS: list[Attack] = []


def attack(answer: str, memory: int = 16, *, ours: bool = False) -> Callable[[Callable[[Target], str]], None]:
    """Declare an attack, described by its docstring: the documented answer, and MiB that it may cost."""

    def declare(run: Callable[[Target], str]) -> None:
        name = run.__name__.replace("_", " ")
        ATTACKS.append(Attack(name, (run.__doc__ or "").rstrip("."), answer, memory, run, ours))

    return declare


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    return data_frame(Role.SERVER, opcode, payload, fin=fin, rsv=rsv)


def announced(size: int, *, fin: bool = True, opcode: int = 2) -> bytes:
    return bytes([fin << 7 | opcode, 0xFF]) + size.to_bytes(8, "big") + bytes(4)


@functools.cache
def deflated(size: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=-12)
    return (compressor.compress(bytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def held_back(wire: Wire, data: bytes, bytes_at_most: int) -> str:
    sent = wire.flood(data, seconds=1.5 * SCALE)
    return HELD if sent <= bytes_at_most else f"{sent} bytes were taken"


def all_answer(target: Target, wires: list[bytes], *, path: str = "/echo", headers: str = "") -> str:
    """The close codes that several violations are answered with; one, if it is the same."""
    codes = set()
    for wire in wires:
        connection = target.open(path, headers)
        connection.send(wire)
        codes.add(connection.close_code())
    return " or ".join(sorted(codes))


def statuses(target: Target, requests: list[bytes]) -> str:
    found = set()
    for data in requests:
        connection = target.connect()
        connection.send(data)
        found.add(connection.status())
    return " or ".join(sorted(found))


# Messages and their compression.


@attack("1009")
def a_bomb_in_one_frame(target: Target) -> str:
    """A compressed frame of 0.5 MB that inflates to 500 MB"""
    return all_answer(target, [frame(2, deflated(500 * MIB), rsv=4)], headers=DEFLATE)


@attack("1009")
def a_bomb_over_fragments(target: Target) -> str:
    """The same in 100 fragments"""
    payload = deflated(500 * MIB)
    step = len(payload) // 99
    parts = [payload[start : start + step] for start in range(0, len(payload), step)]
    wire = frame(2, parts[0], fin=False, rsv=4) + b"".join(frame(0, part, fin=False) for part in parts[1:])
    return all_answer(target, [wire + frame(0)], headers=DEFLATE)


@attack(HELD, 48)
def many_bombs_within_the_limit(target: Target) -> str:
    """Frames of 1 KiB that inflate to 1 MiB each, nothing over a limit, answers not read"""
    bomb = frame(2, deflated(MIB), rsv=4) * 256
    wires = [target.open("/deaf", DEFLATE, receive_buffer=4096) for _ in range(2)]
    for wire in wires:
        wire.flood(bomb, 0.4, 16 * MIB)
    return held_back(wires[0], bomb, 16 * MIB)


@attack(HELD, 24, ours=True)
def bombs_behind_the_handshake(target: Target) -> str:
    """The same, sent together with the request"""
    bomb = frame(2, deflated(MIB), rsv=4) * 200
    wire = target.open("/deaf", DEFLATE, behind=bomb, receive_buffer=4096)
    return held_back(wire, bomb, 16 * MIB)


@attack(HELD, 24)
def a_million_tiny_messages(target: Target) -> str:
    """Empty and two-byte messages to a server that does not take them, or whose answers are not read"""
    for headers in ("", DEFLATE):
        for payload in (b"", b"ab"):
            wire = target.open("/deaf", headers, receive_buffer=4096)
            verdict = held_back(wire, frame(2, payload) * 100_000, 16 * MIB)
            if verdict != HELD:
                return verdict
            wire.reset()
    return HELD


@attack("1009")
def endless_fragments(target: Target) -> str:
    """Fragments without end: of one byte, and empty ones"""
    parts = [frame(2, b"x", fin=False) + frame(0, b"x", fin=False) * 5000]
    parts.append(frame(2, b"", fin=False) + frame(0, b"", fin=False) * 5000)
    return all_answer(target, parts)


@attack("1009")
def huge_announcements(target: Target) -> str:
    """Frames that announce 2^63-1 bytes, 1 GiB, and more than is left of the limit"""
    parts = [announced(2**63 - 1), announced(2**30)]
    parts.append(frame(2, b"x", fin=False) + announced(2**63 - 1, opcode=0))
    return all_answer(target, parts)


@attack("1002")
def a_length_with_the_top_bit(target: Target) -> str:
    """A length of 2^64-1"""
    return all_answer(target, [announced(2**64 - 1)])


@attack("nothing", 24)
def memory_on_the_word_of_a_header(target: Target) -> str:
    """200 connections that announce a message of 1 MiB and send a byte of it"""
    for _ in range(200 * SCALE):
        target.open().send(announced(MIB) + b"x")
    time.sleep(0.3)
    return "nothing"


@attack("nothing")
def a_message_byte_by_byte(target: Target) -> str:
    """A frame whose bytes come one at a time, each in a packet"""
    wire = target.open()
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data = frame(2, b"x" * 20_000 * SCALE)
    for place in range(len(data)):
        wire.send(data[place : place + 1])
    echoed = wire.frame()
    while echoed is not None and echoed.opcode == 9:
        echoed = wire.frame()
    return "nothing" if echoed is not None and echoed.payload == b"x" * 20_000 * SCALE else "lost"


@attack("1002")
def tiny_compressed_messages(target: Target) -> str:
    """Compressed messages of one byte without context, which cost most for what they are, then a violation"""
    wire = target.open("/echo", DEFLATE[:-2] + "; client_no_context_takeover\r\n")
    wire.flood(frame(2, b"\x00", rsv=4) * 500, 0.01, MIB)
    wire.send(frame(3))
    return wire.close_code()


# Control frames.


@attack("nothing", 24)
def a_million_pings_unread(target: Target) -> str:
    """Pings from a peer that reads none of the pongs"""
    wire = target.open("/echo", receive_buffer=4096)
    pings = frame(9, b"x" * 100) * 2000
    sent = wire.flood(pings, 2.0 * SCALE, 106 * MIB * SCALE)
    return "nothing" if sent > MIB else f"only {sent} bytes were taken"


@attack("1002")
def broken_frames(target: Target) -> str:
    """Reserved bits and opcodes, no mask, control frames in fragments or too long, fragments out of order"""
    parts = [frame(2, b"x", rsv=bit) for bit in (1, 2, 4)] + [frame(opcode) for opcode in (3, 7, 11, 15)]
    parts += [
        b"\x82\x01x",
        frame(9, fin=False),
        frame(9, b"x" * 126),
        frame(0),
        frame(2, fin=False) + frame(2),
    ]
    return all_answer(target, parts)


@attack("1002")
def broken_closes(target: Target) -> str:
    """Close frames of one byte, and with codes that may not be sent"""
    codes = (0, 999, 1004, 1005, 1006, 1015, 1100, 2999, 5000, 65535)
    return all_answer(target, [frame(8, b"x"), *(frame(8, code.to_bytes(2, "big")) for code in codes)])


@attack("1007")
def text_that_is_not_utf8(target: Target) -> str:
    """Text and close reasons that are not UTF-8"""
    # Each of the many is cut short by the next, for longer than is looked at in one go.
    many = [frame(1, lead * 40_000 + b"a") for lead in (b"\xc3", b"\xe4", b"\xf0")]
    wires = [frame(1, b"\xff"), frame(1, b"\xed\xa0\x80"), frame(8, b"\x03\xe8\xff")]
    return all_answer(target, [*wires, *many])


@attack("1000")
def data_after_the_close(target: Target) -> str:
    """Data for as long as the closing handshake may take, behind a close frame"""
    wire = target.open("/echo")
    wire.send(frame(8, b"\x03\xe8") + frame(2, b"late") * 1000)
    code = wire.close_code()
    wire.flood(frame(2, b"late") * 1000, 0.5)
    return code


@attack("closed", 24)
def a_close_before_messages_are_taken(target: Target) -> str:
    """Messages, a close frame, then bytes in packets of their own, which no application waits for"""
    wire = target.open("/deaf")
    wire.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire.send(frame(2, b"x") + frame(8, b"\x03\xe8"))
    end = time.monotonic() + 1.0
    while time.monotonic() < end and wire.send(b"x"):
        pass
    return "closed" if wire.is_gone_within(25) else "still open"


@attack("closed")
def no_answer_to_the_close(target: Target) -> str:
    """A violation, after which the peer stays and neither answers nor closes"""
    wire = target.open()
    wire.send(frame(3))
    assert wire.close_code() == "1002"
    try:
        time.sleep(0.8)
        return "closed" if wire.flood(b"x", 15, 10**9) < 10**9 else "still open"
    finally:
        wire.close()


@attack("closed", 24)
def a_peer_that_reads_nothing(target: Target) -> str:
    """A peer that takes nothing of what the server pushes, and is silent"""
    wires = [target.open("/push", receive_buffer=4096) for _ in range(20 * SCALE)]
    time.sleep(3.2)
    return "closed" if all(wire.is_gone_within(3) for wire in wires) else "still open"


# The opening handshake.


@attack("408 or closed", ours=True)
def a_handshake_byte_by_byte(target: Target) -> str:
    """A request whose bytes come slowly, each in time for a timer that starts anew"""
    wire = target.connect()
    began = time.monotonic()
    for byte in request("/echo", ""):
        if not wire.send(bytes([byte])) or time.monotonic() - began > 3:
            break
        time.sleep(0.02)
    taken = time.monotonic() - began
    return (
        "408 or closed" if wire.status() in ("408", "closed") and taken < 3 else f"open after {taken:.1f} s"
    )


@attack("408 or closed", 40, ours=True)
def thousands_of_half_open_connections(target: Target) -> str:
    """2,000 connections that begin a request and do not end it"""
    wires = [target.connect() for _ in range(2000 * SCALE)]
    for wire in wires:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
    time.sleep(2.2)
    found = {wire.status() for wire in wires}
    return "408 or closed" if found <= {"408", "closed"} else str(found)


@attack("431 or closed", ours=True)
def headers_without_end(target: Target) -> str:
    """Header lines without end, and one line without end"""
    first = b"GET / HTTP/1.1\r\nHost: x\r\n"
    for data in (b"X-A: b\r\n" * 10_000, b"X-A: " + b"a" * 2 * MIB):
        wire = target.connect()
        wire.send(first + data)
        status = wire.status()
        if status not in ("431", "closed"):
            return status
    return "431 or closed"


@attack("431", ours=True)
def offers_without_end(target: Target) -> str:
    """60 KiB of extensions and of subprotocols, which would stay, at forty times as much"""
    lines = [f"Sec-WebSocket-Extensions: {';'.join(['ab'] * 2000)}\r\n" * 8]
    lines.append(f"Sec-WebSocket-Protocol: {','.join(['ab'] * 2000)}\r\n" * 8)
    return statuses(target, [request("/echo", line) for line in lines])


@attack("400", ours=True)
def request_smuggling(target: Target) -> str:
    """Two lengths, length and chunks, bare LF, folded lines, NUL, space before a colon, two Hosts or keys"""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    chunks = "Transfer-Encoding: chunked\r\n"
    shapes = ["Content-Length: 1\r\nContent-Length: 2\r\n", chunks + "Content-Length: 5\r\n", chunks]
    shapes += ["Content-Length: 5\r\n", "X: a\nY: b\r\n", "X: a\r\n b\r\n", "X: a\0b\r\n", "X : a\r\n"]
    shapes += ["Host: other\r\n", key, "X: a\rY: b\r\n", "X\x01: a\r\n", ": a\r\n"]
    requests = [request("/echo", shape) for shape in shapes]
    requests += [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", request("/echo", "").replace(b"HTTP/1.1", b"HTTP/1.0")]
    requests.append(bytes.fromhex("1603010200010001fc0303") + bytes(100))
    return statuses(target, requests)


@attack("403", ours=True)
def a_page_of_another_site(target: Target) -> str:
    """A request with an Origin that is not among those allowed"""
    return statuses(target, [request("/echo", f"Origin: {origin}\r\n") for origin in ("http://evil", "null")])


@attack("400", ours=True)
def frames_before_a_handshake(target: Target) -> str:
    """Frames instead of a request"""
    return statuses(target, [frame(2, b"hello") + b"\r\n\r\n", frame(9) * 100 + b"\r\n\r\n"])


# Connections.


@attack("nothing", 40)
def a_storm_of_connections(target: Target) -> str:
    """1,000 connections, reset as soon as they are there, and 300 after the handshake"""
    for _ in range(1000 * SCALE):
        target.connect().reset()
    for _ in range(300 * SCALE):
        target.open().reset()
    return statuses(target, [request("/echo", "")]).replace("101", "nothing")


@attack("nothing", 48)
def many_connections_near_their_limits(target: Target) -> str:
    """10 connections that hold 1 MiB less a byte each of an unfinished message, then go on"""
    for _ in range(10 * SCALE):
        wire = target.open()
        wire.send(frame(2, b"x" * (MIB - 100), fin=False))
        wire.send(frame(0, b"x", fin=False) * 50)
    time.sleep(0.3)
    return "nothing"
