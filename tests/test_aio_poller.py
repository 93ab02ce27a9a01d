"""The server's own epoll: who is read when, what an exception does, and when it is there."""

from __future__ import annotations

import asyncio
import functools
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from aio_support import LOOPS, echo, eventually, every_loop, spin, uri_of
from transports import Notes, linux_only, lost, new_poller

from fastframe import connect, serve
from fastframe.aio._system_calls import ready as ready_in_python
from fastframe.aio.transport import Poller, SocketTransport, ready


def watched(poller: Poller) -> tuple[SocketTransport, Notes, socket.socket]:
    """A transport that has begun, its protocol, and the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    notes = Notes()
    made = SocketTransport(poller, ours.detach(), cast("Any", notes), "peer")
    made.start()
    return made, notes, theirs


def abort_all(transports: list[SocketTransport]) -> None:
    for transport in transports:
        transport.abort()


def epolls() -> int:
    """How many this process has."""
    descriptors = Path("/proc/self/fd").iterdir()
    return sum(os.readlink(path) == "anon_inode:[eventpoll]" for path in descriptors if path.is_symlink())


@pytest.mark.parametrize("count", [1, 2, 300])
@every_loop
async def test_all_who_have_something_are_read(count: int) -> None:
    poller = new_poller()
    made = [watched(poller) for _ in range(count)]
    poller.release()
    for turn in range(1, 3):
        for number, (_, _, theirs) in enumerate(made):
            theirs.sendall(b"%d" % (number % 10))
        await eventually(lambda: {len(notes.received) for _, notes, _ in made} == {turn}, "all")  # noqa: B023
    assert [notes.received for _, notes, _ in made] == [b"%d" % (number % 10) * 2 for number in range(count)]
    for ours, _, theirs in made:
        theirs.close()
        await eventually(ours.is_closing, "its end")


@every_loop
async def test_one_epoll_is_there_as_long_as_anybody_is_watched() -> None:
    before = epolls()
    poller = new_poller()
    first, notes, theirs = watched(poller)
    second, _, others = watched(poller)
    assert epolls() == before + 1
    poller.release()
    second.abort()
    others.close()
    assert epolls() == before + 1
    first.pause_reading()
    assert epolls() == before, "nobody is watched, and nobody will come"
    theirs.sendall(b"late")
    await spin(3)
    first.resume_reading()
    assert epolls() == before + 1
    await eventually(lambda: notes.received == b"late", "it is read again")
    theirs.close()
    await eventually(lambda: lost(notes), "the end")
    assert epolls() == before


@every_loop
async def test_a_connection_that_cannot_be_watched_is_reported_and_ends() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    poller = new_poller()
    notes = Notes()
    no_socket = os.open(os.devnull, os.O_RDWR)  # which no epoll takes
    SocketTransport(poller, no_socket, cast("Any", notes), "peer").start()
    await eventually(lambda: lost(notes), "the end")
    poller.release()
    assert [type(context["exception"]) for context in reported] == [PermissionError]
    assert notes.told == ["made", ("lost", reported[0]["exception"])]


@linux_only
@every_loop
async def test_a_server_that_closes_leaves_no_epoll() -> None:
    before = epolls()
    async with serve(echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        await ws.send("there")
        assert await ws.recv() == "there"
        assert epolls() == before + 1
    await eventually(lambda: epolls() == before, "it is closed")


@every_loop
async def test_one_that_is_ended_by_the_read_of_another_is_not_read() -> None:
    poller = new_poller()
    made = [watched(poller) for _ in range(3)]
    poller.release()

    for mine, notes, theirs in made:
        others = [ours for ours, _, _ in made if ours is not mine]
        notes.after_update = functools.partial(abort_all, others)
        theirs.sendall(b"x")
    await eventually(lambda: sum(lost(notes) for _, notes, _ in made) == 2, "the others are gone")
    assert sorted(bytes(notes.received) for _, notes, _ in made) == [b"", b"", b"x"]
    for ours, _, theirs in made:
        ours.abort()
        theirs.close()
    await spin(3)


@every_loop
async def test_one_that_cannot_read_does_not_keep_others_from_reading() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    poller = new_poller()
    made = [watched(poller) for _ in range(4)]
    poller.release()
    made[0][1].failing = "get_buffer"
    for _, _, theirs in made:
        theirs.sendall(b"x")
    await eventually(lambda: all(notes.received == b"x" for _, notes, _ in made[1:]), "the others have read")
    await eventually(lambda: lost(made[0][1]), "it has ended")
    assert [type(context["exception"]) for context in reported] == [MemoryError]
    for ours, _, theirs in made:
        ours.abort()
        theirs.close()
    await spin(3)


@linux_only
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("event_loop", LOOPS)
def test_what_ends_the_loop_does_not_end_the_watch(
    event_loop: str, kind: type[BaseException], count: int
) -> None:
    loop = LOOPS[event_loop]()

    async def begin() -> list[tuple[SocketTransport, Notes, socket.socket]]:
        poller = new_poller()
        return [watched(poller) for _ in range(count)]

    made = loop.run_until_complete(begin())

    def interrupt() -> None:
        for _, notes, _ in made:
            notes.after_update = lambda: None
        raise kind

    for _, notes, theirs in made:
        notes.after_update = interrupt
        theirs.sendall(b"x")
    with pytest.raises(kind):
        loop.run_until_complete(asyncio.sleep(5))

    async def go_on() -> None:
        await eventually(lambda: all(notes.received == b"x" for _, notes, _ in made), "all were read")
        for _, _, theirs in made:
            theirs.sendall(b"y")
        await eventually(lambda: all(notes.received == b"xy" for _, notes, _ in made), "all were read again")
        for ours, _, theirs in made:
            ours.abort()
            theirs.close()
        await spin(3)

    loop.run_until_complete(go_on())
    loop.close()


@linux_only
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("event_loop", LOOPS)
def test_what_ends_the_loop_does_not_take_away_the_end(event_loop: str, kind: type[BaseException]) -> None:
    loop = LOOPS[event_loop]()

    async def begin() -> tuple[SocketTransport, Notes, socket.socket]:
        return watched(new_poller())

    ours, notes, theirs = loop.run_until_complete(begin())

    def close_and_interrupt() -> None:
        ours.close()
        raise kind

    notes.after_update = close_and_interrupt
    theirs.sendall(b"x")
    with pytest.raises(kind):
        loop.run_until_complete(asyncio.sleep(5))
    assert notes.told == ["made", ("lost", None)]
    assert theirs.recv(1) == b""
    theirs.close()
    loop.close()


@linux_only
@pytest.mark.parametrize("asking", [ready, ready_in_python], ids=["in use", "in Python"])
def test_what_is_ready_is_told_some_at_a_time(asking: Callable[[Any], list[int]]) -> None:
    pairs = [socket.socketpair() for _ in range(300)]
    with select.epoll() as poller:
        for ours, _ in pairs:
            poller.register(ours, select.EPOLLIN)
        assert asking(poller) == []
        for _, theirs in pairs:
            theirs.send(b"x")
        first, second = asking(poller), asking(poller)
        assert len(first) == 256
        assert {*first, *second} == {ours.fileno() for ours, _ in pairs}, "the others had to wait no longer"
        pairs[0][0].recv(1)
        assert pairs[0][0].fileno() not in {*asking(poller), *asking(poller)}
    with pytest.raises(ValueError, match="closed"):
        asking(poller)
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@every_loop
async def test_a_server_does_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it has to where there is no epoll."""
    monkeypatch.setattr("fastframe.aio.server.accepts_for", lambda loop: False)
    async with serve(echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        assert not any(isinstance(socket.transport, SocketTransport) for socket in server.connections)
        await ws.send("there")
        assert await ws.recv() == "there"
