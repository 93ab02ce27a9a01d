"""The flight recorder over sockets: in the exception, and in the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import callback_form
import pytest
from aio_support import Recorder, eventually, every_loop, pair
from log_support import BOTH, SIDES, LogLines, logging_at
from wire import data_frame, frame_bytes

from fastframe import ConnectionClosedError, ProtocolError, Role, WebSocketStream, replay


@pytest.fixture(params=[logging.INFO, logging.DEBUG], ids=["info", "debug"])
def log(request: pytest.FixtureRequest) -> Iterator[LogLines]:
    """At DEBUG the connection is wrapped."""
    with logging_at(request.param) as lines:
        yield lines


async def _received_all(ws: WebSocketStream) -> None:
    while True:
        await ws.recv()


@BOTH
@every_loop
async def test_violation_comes_with_the_frames_before_it(role: Role, log: LogLines) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 1, b"secret") + data_frame(role, 9, b"hidden"))
        assert await ws.recv() == "secret"
        await peer.send(frame_bytes(role, b"\xa3\x05", b"quiet"))
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        await peer.rest()
        peer.close()
        await ws.wait_closed()
        failure = ws.connection.failure
        with pytest.raises(ConnectionClosedError) as later:
            await ws.recv()
    masked = " masked" * (role is Role.SERVER)
    words = [f"TEXT fin{masked} 6", f"PING fin{masked} 6", f"0x3 fin rsv2{masked} 5"]
    assert list(map(str, caught.value.last_frames)) == words
    assert later.value.last_frames == failure.last_frames == caught.value.last_frames
    with pytest.raises(ProtocolError, match=r"^rsv2 set, but no extension defines it$"):
        replay(caught.value.last_frames, role)
    assert log.ends == [
        f"fastframe.{role.value} ended abnormally: sent 1002 rsv2 set, but no extension defines it; "
        f"received no close frame; last frames received: {', '.join(words)}"
    ]


@BOTH
@every_loop
async def test_lost_connection_comes_with_the_last_frames(role: Role, log: LogLines) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(b"".join(data_frame(role, 2, bytes(size)) for size in range(20)))
        assert len(await ws.recv_many()) > 0
        await peer.send(data_frame(role, 1, b"never whole")[:-1])
        await eventually(lambda: ws.connection.retained, "the frame has begun")
        peer.close()
        await ws.wait_closed()
        error = ws.connection.closed_exception()
        with pytest.raises(ConnectionClosedError) as caught:
            await _received_all(ws)
    assert caught.value.last_frames == error.last_frames
    frames = caught.value.last_frames
    assert [frame.payload_length for frame in frames] == [13, 14, 15, 16, 17, 18, 19, 11]
    replay(frames, role)
    [line] = log.ends
    assert line.endswith(f"last frames received: {', '.join(map(str, frames))}")


@BOTH
@every_loop
async def test_close_reason_writes_no_line_of_its_own(role: Role, log: LogLines) -> None:
    async with SIDES[role]() as (peer, ws):
        await peer.send(data_frame(role, 8, b"\x03\xf3one\ntwo"))
        peer.close()
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        await ws.wait_closed()
    [line] = log.ends
    assert "received 1011 one\\ntwo" in line
    assert "CLOSE fin" in line


@BOTH
@every_loop
async def test_silent_peer_leaves_nothing_to_tell(role: Role, log: LogLines) -> None:
    async with SIDES[role]() as (peer, ws):
        peer.close()
        await ws.wait_closed()
    [line] = log.ends
    assert line.endswith("last frames received: none")


@every_loop
async def test_end_as_it_should_be_is_not_told(log: LogLines) -> None:
    async with pair() as (server, client):
        await client.send("x")
        assert await server.recv() == "x"
        await client.close()
        await server.wait_closed()
    assert log.ends == []


class _Keeping(Recorder):
    def on_error(self, error: Exception) -> None:
        assert isinstance(error, ProtocolError)
        self.events.append(("error", str(error), list(map(str, error.last_frames))))


@every_loop
async def test_callbacks_are_told_too() -> None:
    async with callback_form.served(_Keeping) as (peer, ws):
        await peer.send(data_frame(Role.SERVER, 1, b"abc") + data_frame(Role.SERVER, 0, b"de"))
        await eventually(lambda: ws.connection.failure, "the violation is seen")
        peer.close()
        await ws.closed
    words = ["TEXT fin masked 3", "CONTINUATION fin masked 2"]
    assert ("error", "opcode 0x0 (continuation), but no message is under way", words) in ws.events
