"""Frames and handshakes in the log at DEBUG."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aio_support import every_loop, pair
from log_support import BOTH, SIDES, LogLines, logging_at
from raw_peer import acceptance, raw_server
from wire import data_frame, frame_bytes

from fastframe import Connection, Role, WebSocketStream, connect, encode_frame
from fastframe.aio.frame_log import FrameLines, LoggedConnection


@pytest.fixture
def log() -> Iterator[LogLines]:
    with logging_at(logging.DEBUG) as lines:
        yield lines


def lines_of(wire: bytes, step: int | None = None) -> list[str]:
    lines: list[str] = []
    log = FrameLines(lines.append)
    for start in range(0, len(wire), step or max(len(wire), 1)):
        log.feed(wire[start : start + (step or len(wire))])
    return lines


# One line a frame.

FRAMES: dict[str, tuple[tuple[int, bytes, dict[str, Any]], str]] = {
    "text": ((1, b"Hello", {}), "TEXT fin, 5 bytes: 'Hello'"),
    "no-text": ((1, b"", {}), "TEXT fin, 0 bytes: ''"),
    "scripts": ((1, "Grüße, 世界".encode(), {}), "TEXT fin, 15 bytes: 'Grüße, 世界'"),
    "fragment": ((1, b"a", {"fin": False}), "TEXT, 1 byte: 'a'"),
    "long-text": ((1, b"x" * 81, {}), f"TEXT fin, 81 bytes: '{'x' * 80}'..."),
    "cut-code-point": ((1, b"x" + "ä".encode() * 60, {}), f"TEXT fin, 121 bytes: 'x{'ä' * 39}'..."),
    "binary": ((2, b"\0\xff", {}), "BINARY fin, 2 bytes: 00 ff"),
    "nothing": ((2, b"", {}), "BINARY fin, 0 bytes"),
    "long-binary": ((2, bytes(70_000), {}), f"BINARY fin, 70000 bytes: {' '.join(['00'] * 24)}..."),
    "compressed": ((1, b"\xf2\x48", {"rsv": 4}), "TEXT fin rsv1, 2 bytes, compressed: f2 48"),
    "ping": ((9, b"\1\2", {}), "PING fin, 2 bytes: 01 02"),
    "pong": ((10, b"", {}), "PONG fin, 0 bytes"),
    "close": ((8, (1000).to_bytes(2, "big") + b"bye", {}), "CLOSE fin, 5 bytes: 1000 'bye'"),
    "close-without-reason": ((8, (1001).to_bytes(2, "big"), {}), "CLOSE fin, 2 bytes: 1001"),
    "close-without-code": ((8, b"", {}), "CLOSE fin, 0 bytes"),
    "close-cut-short": ((8, b"\3", {}), "CLOSE fin, 1 byte"),
}


@BOTH
@pytest.mark.parametrize("step", [None, 1, 3, 1000])
@pytest.mark.parametrize("name", FRAMES)
def test_frame_is_one_readable_line_however_it_was_cut(name: str, step: int | None, role: Role) -> None:
    (opcode, payload, options), line = FRAMES[name]
    wire = data_frame(role, opcode, payload, **options)
    assert lines_of(wire[:-1], step) == []
    assert lines_of(wire, step) == [line]


@BOTH
@pytest.mark.parametrize("step", [None, 1, 7])
def test_many_frames_are_as_many_lines(role: Role, step: int | None) -> None:
    wire = data_frame(role, 1, b"ab", fin=False) + data_frame(role, 9, b"p") + data_frame(role, 0, b"c")
    wire += data_frame(role, 2, b"\0", fin=False, rsv=4) + data_frame(role, 0, b"\1")
    wire += data_frame(role, 2, b"\2", fin=False) + data_frame(role, 0, b"")
    assert lines_of(wire, step) == [
        "TEXT, 2 bytes: 'ab'",
        "PING fin, 1 byte: 70",
        "CONTINUATION fin, 1 byte: 'c'",
        "BINARY rsv1, 1 byte, compressed: 00",
        "CONTINUATION fin, 1 byte, compressed: 01",
        "BINARY, 1 byte: 02",
        "CONTINUATION fin, 0 bytes",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a\n127.0.0.1:1 < TEXT fin, 1 byte: 'forged'",
        "\r\x1b[2J\x9b",
        "a' \"b",
        "\u2028\u202e\u0085\x00",
        "\\n",
    ],
)
def test_peer_cannot_write_lines_of_its_own(text: str) -> None:
    frames = [data_frame(Role.CLIENT, 1, text.encode())]
    frames.append(data_frame(Role.CLIENT, 8, (1000).to_bytes(2, "big") + text.encode()))
    for line in lines_of(b"".join(frames)):
        assert line.isprintable()
        assert line.endswith(repr(text))


def test_text_that_is_not_utf8_is_escaped() -> None:
    assert lines_of(data_frame(Role.CLIENT, 1, b"a\xffb")) == [r"TEXT fin, 3 bytes: 'a\\xffb'"]


@BOTH
@pytest.mark.parametrize("header", ["8300", "8b00", "0900", "82ff" + "ff" * 8])
def test_what_is_no_frame_is_said_once(role: Role, header: str) -> None:
    bad = frame_bytes(role, bytes.fromhex(header), b"")
    [first, second] = lines_of(data_frame(role, 1, b"a") + bad + data_frame(role, 1, b"b"), 1)
    assert first == "TEXT fin, 1 byte: 'a'"
    assert re.fullmatch(r"no frame, .+: [0-9a-f ]+", second)


def test_nothing_is_said_of_what_follows_a_close_frame() -> None:
    wire = data_frame(Role.CLIENT, 8, b"") + data_frame(Role.CLIENT, 1, b"late") + b"\xff\xff"
    assert lines_of(wire) == ["CLOSE fin, 0 bytes"]


def test_payload_of_a_large_frame_is_not_kept() -> None:
    log = FrameLines(lambda line: None)
    wire = encode_frame(2, bytes(5_000_000))
    for start in range(0, len(wire), 65536):
        log.feed(wire[start : start + 65536])
        assert len(log.watch._start) <= 125


# Connections.


@BOTH
@every_loop
async def test_both_directions_are_logged(log: LogLines, role: Role) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 1, b"question") + data_frame(role, 9, b"p"))
        assert await ws.recv() == "question"
        await ws.send(b"answer")
        assert [(await peer.frame()).payload for _ in range(2)] == [b"p", b"answer"]
        assert log.of(role, "<")[-2:] == ["TEXT fin, 8 bytes: 'question'", "PING fin, 1 byte: 70"]
        assert log.of(role, ">")[-2:] == ["PONG fin, 1 byte: 70", "BINARY fin, 6 bytes: 61 6e 73 77 65 72"]
        address = "{}:{}".format(*ws.remote_address)
        lines = [line for name, line in log.records if name == f"fastframe.{role.value}"]
        assert lines and all(line.startswith(f"{address} ") for line in lines)


@every_loop
async def test_large_and_compressed_frames_are_logged(log: LogLines) -> None:
    """Large ones are read in place, and masked until then."""
    text = "0123456789" * 100_000
    options: dict[str, Any] = {"compression": None, "max_size": None}
    async with pair(server=options, client=options) as (server, client):
        await client.send(text)
        assert await server.recv() == text
        await server.send(text)
        assert await client.recv() == text
        line = f"TEXT fin, 1000000 bytes: '{text[:80]}'..."
        for role in Role:
            assert log.of(role, ">")[-1] == log.of(role, "<")[-1] == line
    options["compression"] = "deflate"
    noise = random.Random(1).randbytes(300_000)
    async with pair(server=options, client=options) as (server, client):
        await client.send(noise)
        assert await server.recv() == noise
        assert log.of(Role.SERVER, "<")[-1] == log.of(Role.CLIENT, ">")[-1]
        assert re.match(r"BINARY fin rsv1, 300\d\d\d bytes, compressed: ", log.of(Role.SERVER, "<")[-1])


@every_loop
async def test_what_came_right_behind_the_handshake_is_logged(log: LogLines) -> None:
    async with raw_server() as server:

        async def open_it() -> WebSocketStream:
            ws: WebSocketStream = await connect(server.uri, compression=None)
            return ws

        connecting = asyncio.ensure_future(open_it())
        async with server.peer() as peer:
            await peer.send(acceptance(await peer.head()) + data_frame(Role.CLIENT, 1, b"a"))
            ws = await connecting
            assert await ws.recv() == "a"
            assert log.of(Role.CLIENT, "<")[-1] == "TEXT fin, 1 byte: 'a'"
            ws.transport.abort()
            await ws.wait_closed()


@every_loop
async def test_handshake_is_logged_without_credentials(log: LogLines) -> None:
    headers = {"Authorization": "Basic c2VjcmV0", "Cookie": "secret=1", "X-Shown": "yes"}
    answer = {"Set-Cookie": "secret=2", "X-Answer": 'it\'s "me"'}
    async with pair(server={"extra_headers": answer}, client={"extra_headers": headers}):
        pass
    asked, answered = log.of(Role.SERVER, "<"), log.of(Role.SERVER, ">")
    assert asked[0] == "GET / HTTP/1.1"
    assert {"X-Shown: yes", "Authorization: (not shown)", "Cookie: (not shown)"} <= set(asked)
    assert answered[0] == "HTTP/1.1 101"
    assert "Set-Cookie: (not shown)" in answered
    assert log.of(Role.CLIENT, "<")[: len(answered) - 1] == answered[:-1]
    assert not any("secret" in line or "c2VjcmV0" in line for _, line in log.records)


@every_loop
async def test_end_is_logged_with_its_close_frames(log: LogLines) -> None:
    async with pair() as (server, client):
        await client.close(1001, "leaving")
        await server.wait_closed()
    ends = {name: line.partition(" ")[2] for name, line in log.records if " closed: " in line}
    assert ends == {
        "fastframe.client": "closed: sent 1001 leaving; then received 1001",
        "fastframe.server": "closed: received 1001 leaving; then sent 1001",
    }


@every_loop
async def test_connections_are_not_wrapped_unless_debug_is_on() -> None:
    async with pair() as ends:
        assert [type(ws.connection) for ws in ends] == [Connection, Connection]


def test_wrapped_connection_goes_on_as_the_one_that_it_was() -> None:
    connection = Connection(Role.CLIENT, max_message_size=5)
    lines: list[str] = []
    wrapped = LoggedConnection(connection, lines.append)
    assert wrapped.receive(data_frame(Role.CLIENT, 1, b"abc")) == ["abc"]
    assert wrapped.receive(bytearray(data_frame(Role.CLIENT, 1, b"abcdef")) + b"junk", 8) == []
    wrapped.conclude()
    wrapped.take()
    wrapped.end()
    assert lines == [
        "< TEXT fin, 3 bytes: 'abc'",
        "< TEXT fin, 6 bytes: 'abcdef'",
        "> CLOSE fin, 56 bytes: 1009 'message of at least 6 bytes exceeds max_message_size 5'",
        "closed: sent 1009 message of at least 6 bytes exceeds max_message_size 5; received no close frame",
    ]


@BOTH
@every_loop
async def test_close_reason_writes_no_line_of_its_own(role: Role, log: LogLines) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 8, b"\x03\xf3one\ntwo"))
        peer.close()
        await ws.wait_closed()
    told = [line for _, line in log.records if "closed: " in line]
    assert told and all("one\\ntwo" in line for line in told)
    assert not any("\n" in line for _, line in log.records)
