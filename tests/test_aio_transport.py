"""The transport of the server, and what accepts for it: order, limits, both ends, what fails."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aio_support import LOOPS, eventually, every_loop, run, spin, uri_of
from transports import Notes, linux_only, lost, new_poller, over_tcp, rest, transport

from fastframe import WebSocket, connect, serve
from fastframe.aio._system_calls import accept as accept_in_python
from fastframe.aio._system_calls import receive_and_copy, receive_in_place
from fastframe.aio.listening import Listener, accept, accepts_for
from fastframe.aio.transport import SocketTransport, receive
from fastframe.codec import BACKEND


@every_loop
async def test_bytes_pass_both_ways_and_the_end_of_the_peer_is_the_end() -> None:
    async with transport() as (ours, notes, theirs):
        data = random.Random(1).randbytes(5000)
        theirs.sendall(data)
        ours.write(b"an")
        ours.writelines([b"sw", bytearray(b"er")])
        await eventually(lambda: notes.received == data, "all of it was read")
        assert theirs.recv(100) == b"answer"
        theirs.shutdown(socket.SHUT_WR)
        await eventually(lambda: lost(notes), "the end")
        assert notes.told == ["made", "eof", ("lost", None)]
        assert ours.is_closing()
        assert not ours.is_reading()
        assert ours.get_protocol() is None


@pytest.mark.skipif(os.name != "posix", reason="sockets are no files there")
@pytest.mark.parametrize("way", [receive, receive_in_place, receive_and_copy])
def test_every_way_to_receive_fills_the_buffer_and_tells_nothing_from_the_end(
    way: Callable[[int, memoryview], int],
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        buffer = bytearray(b"." * 10)
        inside = memoryview(buffer)[1:9]
        assert way(ours.fileno(), inside) == -1
        theirs.sendall(b"Hello, world")
        assert (way(ours.fileno(), inside), bytes(buffer)) == (8, b".Hello, w.")
        assert (way(ours.fileno(), inside), bytes(buffer)) == (4, b".orldo, w.")
        theirs.close()
        assert way(ours.fileno(), inside) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        way(ours.fileno(), inside)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("end", ["close", "write_eof", "eof of the peer"])
@every_loop
async def test_what_the_system_does_not_take_is_sent_in_order_before_the_end(kind: Any, end: str) -> None:
    async with transport() as (ours, notes, theirs):
        pieces = [random.Random(n).randbytes(100_000 + n) for n in range(12)]
        for piece in pieces:
            data = kind(piece)
            ours.write(data)
            if kind is bytearray:
                data[:] = bytes(len(data))  # it is the caller's again
        assert ours.get_write_buffer_size() > 500_000
        if end == "eof of the peer":
            theirs.shutdown(socket.SHUT_WR)
            await eventually(lambda: "eof" in notes.told, "it was read")
        else:
            getattr(ours, end)()
        assert not lost(notes)
        assert await rest(theirs) == b"".join(pieces)
        assert ours.get_write_buffer_size() == 0
        if end == "write_eof":
            assert ours.is_reading(), "the other direction is open"
            with pytest.raises(RuntimeError, match="after write_eof"):
                ours.write(b"more")
            theirs.close()
        await eventually(lambda: lost(notes), "the end")
        assert notes.told[-1] == ("lost", None)
        assert notes.told.count("pause") == notes.told.count("resume") == 1


@every_loop
async def test_limits_say_when_writing_pauses_and_resumes() -> None:
    async with transport() as (ours, notes, theirs):
        with pytest.raises(ValueError, match="low 9, high 8"):
            ours.set_write_buffer_limits(high=8, low=9)
        ours.set_write_buffer_limits(high=300_000)
        assert ours.get_write_buffer_limits() == (75_000, 300_000)
        while ours.get_write_buffer_size() <= 250_000:
            ours.write(bytes(50_000))
        assert "pause" not in notes.told
        ours.write(bytes(100_000))
        assert notes.told.count("pause") == 1
        while "resume" not in notes.told:
            size = ours.get_write_buffer_size()
            assert size > 75_000
            theirs.recv(20_000)
            await asyncio.sleep(0)
        assert ours.get_write_buffer_size() <= 75_000


@every_loop
async def test_a_close_while_a_read_is_handled_is_told_of_behind_it() -> None:
    async with transport() as (ours, notes, theirs):

        def close() -> None:
            ours.write(b"goodbye")
            ours.close()
            ours.close()
            notes.told.append("closed")

        notes.after_update = close
        theirs.sendall(bytes(5000))
        await eventually(lambda: lost(notes), "the end")
        assert notes.told == ["made", "closed", ("lost", None)]
        assert len(notes.received) == 1000
        assert theirs.recv(100) == b"goodbye"


@every_loop
async def test_a_close_with_much_to_be_sent_while_a_read_is_handled_sends_it_first() -> None:
    async with transport() as (ours, notes, theirs):

        def close() -> None:
            ours.write(bytes(3_000_000))
            ours.close()

        notes.after_update = close
        theirs.sendall(b"go")
        assert await rest(theirs) == bytes(3_000_000)
        await eventually(lambda: lost(notes), "the end")
        assert notes.told == ["made", "pause", "resume", ("lost", None)]


@every_loop
async def test_paused_reading_reads_nothing() -> None:
    async with transport() as (ours, notes, theirs):
        ours.pause_reading()
        theirs.sendall(b"wait")
        await spin(5)
        assert not notes.received
        ours.resume_reading()
        await eventually(lambda: notes.received == b"wait", "it was read")


@pytest.mark.skipif(BACKEND != "compiled", reason="what was not set is missing there, not 0")
def test_one_that_never_began_closes_no_descriptor() -> None:
    inside, outside = os.pipe()
    standard_input = os.dup(0)
    os.dup2(inside, 0)
    try:
        kind: Any = SocketTransport
        with pytest.raises(TypeError):
            kind()
        gc.collect()
        assert os.fstat(0).st_ino == os.fstat(inside).st_ino
    finally:
        os.dup2(standard_input, 0)
        for descriptor in (standard_input, inside, outside):
            os.close(descriptor)


@every_loop
async def test_abort_drops_what_waits() -> None:
    async with transport() as (ours, notes, theirs):
        ours.write(bytes(10_000_000))
        ours.abort()
        assert not lost(notes), "never within a call of the protocol's own"
        await spin(2)
        assert notes.told[-1] == ("lost", None)
        ours.write(b"nothing")  # as asyncio's, it says nothing
        assert ours.get_write_buffer_size() == 0
        assert len(await rest(theirs)) < 10_000_000


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 40_000])
@every_loop
async def test_what_came_before_a_reset_is_read_and_then_the_error_is_told(size: int) -> None:
    notes = Notes()
    ours, peer = over_tcp(notes)
    ours.start()
    data = random.Random(size).randbytes(size)
    peer.sendall(data)
    peer.close()
    await eventually(lambda: lost(notes), "the end")
    assert notes.received == data
    assert isinstance(notes.told[-1][1], ConnectionResetError)
    assert "eof" not in notes.told


@every_loop
async def test_what_came_before_a_reset_waits_while_reading_is_paused() -> None:
    """Whoever pauses in the middle of it, and again and again."""
    notes = Notes()
    ours, peer = over_tcp(notes)

    notes.after_update = ours.pause_reading
    ours.start()
    data = random.Random(7).randbytes(5000)
    peer.sendall(data)
    peer.close()
    for count in range(1, 6):
        await eventually(lambda: len(notes.received) >= 1000 * count, "the next piece")  # noqa: B023
        await spin(5)
        assert len(notes.received) == 1000 * count
        assert not lost(notes)
        ours.resume_reading()
    await eventually(lambda: lost(notes), "the end")
    assert notes.received == data
    assert isinstance(notes.told[-1][1], ConnectionResetError)


@every_loop
async def test_a_reset_while_much_waits_to_be_sent_is_the_end() -> None:
    notes = Notes()
    ours, peer = over_tcp(notes)
    ours.start()
    ours.write(bytes(20_000_000))
    assert ours.get_write_buffer_size()
    peer.close()
    await eventually(lambda: lost(notes), "the end")
    assert isinstance(notes.told[-1][1], (ConnectionResetError, BrokenPipeError))


@every_loop
async def test_a_peer_that_sends_without_end_leaves_others_their_turn() -> None:
    async with transport() as (_, flooded, flood), transport() as (_, notes, theirs):
        seen: list[int] = []
        notes.after_update = lambda: seen.append(len(flooded.received))
        flood.send(bytes(100_000))
        theirs.send(b"me too")
        await eventually(lambda: len(flooded.received) == 100_000, "all of it was read, 1,000 bytes at once")
        assert seen in ([0], [8000])


@every_loop
async def test_the_socket_can_be_had_and_ends_with_the_transport() -> None:
    async with transport() as (ours, _, theirs):
        own = ours.get_extra_info("socket")
        assert own is ours.get_extra_info("socket")
        assert f"fd={own.fileno()}" in repr(ours)
        assert own.gettimeout() == 0
        own.sendall(b"past the transport")
        assert theirs.recv(100) == b"past the transport"
        ours.close()
        await spin(3)
        assert own.fileno() == -1
    async with transport() as (ours, notes, _):
        ours.close()
        await eventually(lambda: lost(notes), "the end")
        assert ours.get_extra_info("socket", "none") == "none"
        assert ours.get_extra_info("sockname", "none") == "none"


@pytest.mark.parametrize("event_loop", LOOPS)
def test_what_its_loop_has_left_open_warns_and_is_closed(event_loop: str) -> None:
    ours, theirs = socket.socketpair()

    async def leave() -> None:
        ours.setblocking(False)
        SocketTransport(new_poller(), ours.detach(), cast("Any", Notes()), "peer").start()

    def forget() -> None:
        loop = LOOPS[event_loop]()
        loop.run_until_complete(leave())
        loop.close()
        del loop
        gc.collect()

    with pytest.warns(ResourceWarning, match="unclosed <socket"):
        forget()
    with theirs:
        assert theirs.recv(1) == b""


@pytest.mark.parametrize("failing", ["made", "get_buffer", "updated", "eof", "pause", "resume"])
@every_loop
async def test_a_protocol_that_raises_is_reported_and_dropped(failing: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    async with transport(failing) as (ours, notes, theirs):
        if failing in ("pause", "resume"):
            ours.write(bytes(1_000_000))
            if failing == "resume":
                await asyncio.get_running_loop().sock_recv(theirs, 65536)
                reading = asyncio.ensure_future(rest(theirs))
                await eventually(lambda: reported, "it was resumed")
                reading.cancel()
        elif failing in ("get_buffer", "updated"):
            theirs.sendall(b"x")
        elif failing == "eof":
            theirs.shutdown(socket.SHUT_WR)
        await eventually(lambda: lost(notes), "the end")
        assert [str(context["exception"]) for context in reported] == [f"{failing} fails"]
        assert notes.told[-1] == ("lost", reported[0]["exception"])


@linux_only
@pytest.mark.parametrize("accepting", [accept, accept_in_python], ids=["in use", "in Python"])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, getattr(socket, "AF_UNIX", None)])
def test_what_is_accepted_does_not_block_and_is_not_inherited(
    accepting: Callable[[socket.socket], Any], family: socket.AddressFamily, tmp_path: Path
) -> None:
    address: Any = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}.get(family)
    with socket.socket(family) as listening, socket.socket(family) as client:
        try:
            listening.bind(address or str(tmp_path / "socket"))
        except OSError as error:
            assert family == socket.AF_INET6
            pytest.skip(f"no IPv6 here: {error}")
        listening.listen()
        listening.setblocking(False)
        assert accepting(listening) is None
        client.connect(listening.getsockname())
        descriptor, peername = accepting(listening)
        with socket.socket(fileno=descriptor) as accepted:
            assert peername in ([client.getsockname()] if address else ["", None])
            assert not os.get_blocking(descriptor)
            assert not os.get_inheritable(descriptor)
            client.sendall(b"through")
            assert accepted.recv(100) == b"through"
        assert accepting(listening) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        accepting(listening)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@every_loop
async def test_a_client_of_a_unix_socket_has_an_empty_name(tmp_path: Path) -> None:
    names = []

    class Noting(WebSocket):
        def on_open(self) -> None:
            names.append(self.remote_address)

    path = str(tmp_path / "socket")
    async with serve(Noting, path=path), connect("ws://localhost/", path=path):
        await eventually(lambda: names == [""], "it has connected")


def test_a_server_that_has_no_descriptors_left_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastframe.aio.listening._RETRY_DELAY", 0.05)
    reported: list[int] = []

    def exhausted(listening: socket.socket) -> Any:
        if len(reported) < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listening)

    monkeypatch.setattr("fastframe.aio.listening.accept", exhausted)

    class Echo(WebSocket):
        def on_message(self, message: str | bytes) -> None:
            self.send(message)

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context["exception"].errno))
        async with serve(Echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
            await ws.send("still there")
            assert await ws.recv() == "still there"

    run(LOOPS["asyncio"], test)
    assert reported == [errno.EMFILE] * 3


@linux_only
@every_loop
async def test_a_connection_that_cannot_begin_is_closed_and_reported() -> None:
    reported: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: reported.append(context))

    def refuse() -> Any:
        raise LookupError("no protocol")

    listening = socket.create_server(("127.0.0.1", 0))
    assert accepts_for(loop)
    listener = Listener(loop, [listening], 10, refuse)
    with socket.create_connection(listening.getsockname()) as peer:
        peer.setblocking(False)
        assert await rest(peer) == b""
    assert isinstance(reported[0]["exception"], LookupError)
    listener.close()
    listening.close()


@every_loop
async def test_what_is_accepted_sends_at_once_and_knows_both_addresses() -> None:
    class Echo(WebSocket):
        def on_message(self, message: str | bytes) -> None:
            self.send(message)

    async with serve(Echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        (accepted,) = server.connections
        own = accepted.transport.get_extra_info("socket")
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert own.gettimeout() == 0
        assert accepted.local_address == ws.remote_address
        assert accepted.remote_address == ws.local_address
        is_ours = accepts_for(asyncio.get_running_loop())
        await ws.close()
        await eventually(lambda: not server.connections, "the end")
        if is_ours:
            assert accepted.local_address is None, "there is no socket to ask any more"
            assert accepted.remote_address == ws.local_address


@linux_only
@every_loop
async def test_a_listener_that_is_closed_accepts_no_more() -> None:
    made: list[Notes] = []

    def note() -> Any:
        made.append(Notes())
        return made[-1]

    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    listener = Listener(asyncio.get_running_loop(), [listening], 10, note)
    with socket.create_connection(address):
        await eventually(lambda: made, "it was accepted")
        listener.close()
        listening.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
    await eventually(lambda: lost(made[0]), "the end")
