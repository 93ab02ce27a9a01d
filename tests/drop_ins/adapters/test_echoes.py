"""Each library with its adapter and without it, over real sockets: the same bytes in, the same frames out."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from drop_ins.adapters.driver import SECONDS, Got, HostProcess, Peer
from drop_ins.adapters.scripts import BAD, CLOSE, Message, conversation

from fastframe.adapters import LIBRARIES, _library

# The hosts of hosts.py by the adapter that they are for, and the roles that they have.
HOSTS = {
    "websockets": ["websockets", "websockets-deflate", "websockets-sync"],
    "wsproto": ["wsproto", "wsproto-deflate"],
    "tornado": ["tornado", "tornado-deflate"],
    "autobahn": ["autobahn"],
    "ws4py": ["ws4py"],
    "websocket-client": ["websocket-client"],
}
SUBJECTS = [
    pytest.param((host, role, library, depth), id=f"{host}-{role}-{depth}")
    for library in LIBRARIES
    if library != "wsaccel"
    for host in HOSTS[library]
    for role in (["client"] if host == "websocket-client" else ["server", "client"])
    for depth in _library(library).depths or ()
]

# With an adapter or without it, nothing follows.
HANGS = {
    ("tornado", "close-reason-not-utf8"),
    ("tornado-deflate", "close-reason-not-utf8"),
    ("tornado-deflate", "rsv1"),
}

LARGEST = 16 * 1024 * 1024
"""Bytes; the hosts take twice as much."""

SILENCE = 2.0
"""Seconds after which a host is taken to have nothing against what it was sent."""


class Subject:
    """A host process, the adapter to try on it, and how to do so."""

    def __init__(self, name: str, host: HostProcess, library: str, depth: str) -> None:
        self.name = name
        self.host = host
        self._adapter = (library, depth)

    def install(self) -> None:
        self.host.command("install", *self._adapter)

    def uninstall(self) -> None:
        self.host.command("uninstall", self._adapter[0])


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[tuple[str, str], HostProcess]]:
    running: dict[tuple[str, str], HostProcess] = {}
    yield running
    for process in running.values():
        process.end()


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, hosts: dict[tuple[str, str], HostProcess]) -> Iterator[Subject]:
    name, role, library, depth = request.param
    if (name, role) not in hosts:
        hosts[name, role] = HostProcess(name, role)
    host = hosts[name, role]
    host.forget_ends()
    tried = Subject(name, host, library, depth)
    yield tried
    try:
        tried.uninstall()
    except BaseException:
        hosts.pop((name, role)).end()
        raise


def send_all(peer: Peer, pieces: list[bytes]) -> threading.Thread:
    """Send from a thread, for neither side may wait for the other to read."""

    def send() -> None:
        for piece in pieces:
            peer.socket.sendall(piece)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def answers(peer: Peer, count: int) -> tuple[list[Message], int]:
    """As many messages as there were, however they are cut, and how many pongs."""
    messages: list[Message] = []
    pongs, opcode, parts, compressed = 0, 0, b"", False
    while len(messages) < count:
        got = peer.get()
        assert got is not None, f"ended after {len(messages)} messages"
        if got.first & 0xF == 10:
            pongs += 1
            continue
        opcode = got.first & 0xF or opcode
        parts += got.payload
        compressed = compressed or bool(got.first & 0x40)
        if got.first & 0x80:
            if compressed:
                parts, compressed = peer.inflated(parts), False
            messages.append(Message(opcode, parts))
            parts = b""
    return messages, pongs


def until_close(peer: Peer) -> list[Got]:
    """All frames to a close frame, the end of the stream, or a silence: not every host minds everything."""
    frames: list[Got] = []
    peer.socket.settimeout(SILENCE)
    with suppress(TimeoutError):
        while (got := peer.get()) is not None:
            frames.append(got)
            if got.first == 0x88:
                break
    peer.socket.settimeout(SECONDS)
    return frames


def transcript(peer: Peer) -> list[Got]:
    """All frames to the end of the stream."""
    frames: list[Got] = []
    while (got := peer.get()) is not None:
        frames.append(got)
    peer.close()
    return frames


def say_goodbye(host: HostProcess, peer: Peer) -> None:
    peer.socket.sendall(peer.frame(8, CLOSE))
    frames = until_close(peer)
    with suppress(OSError):
        peer.socket.shutdown(socket.SHUT_WR)
    assert [got.first for got in frames + transcript(peer)] == [0x88]
    host.ended()


@pytest.mark.parametrize("seed", range(3))
def test_random_conversation_is_echoed(subject: Subject, seed: int) -> None:
    subject.install()
    peer = subject.host.meet()
    messages, pieces = conversation(peer, seed, count=40, largest=300_000 if seed else 3000)
    sender = send_all(peer, pieces)
    echoed, _ = answers(peer, len(messages))
    sender.join()
    assert echoed == messages
    say_goodbye(subject.host, peer)


def fragments(peer: Peer, message: Message, rng: random.Random) -> list[bytes]:
    """The message in five frames, compressed where that is agreed."""
    payload = peer.deflated(message.payload) if peer.deflates else message.payload
    cuts = sorted(rng.randrange(len(payload)) for _ in range(4))
    return [
        peer.frame(
            0 if start else message.opcode,
            payload[start:stop],
            fin=stop is None,
            rsv=4 if peer.deflates and not start else 0,
        )
        for start, stop in pairwise([0, *cuts, None])
    ]


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_sixteen_mebibytes_are_echoed(subject: Subject, kind: str) -> None:
    """Text in one frame, and compressed where that is agreed; binary in fragments."""
    rng = random.Random(kind)
    subject.install()
    peer = subject.host.meet()
    if kind == "text":
        message = Message(1, b"x" + "𝄞".encode() * (LARGEST // 4 - 1) + b"yz!")
        pieces = [peer.frame(1, message.payload)]
        if peer.deflates:
            pieces.append(peer.frame(1, peer.deflated(message.payload), rsv=4))
    else:
        # Quickly compressed; and no part of it is like another at the same place of a masking key or a block.
        message = Message(2, (rng.randbytes(4099) * (LARGEST // 4099 + 1))[:LARGEST])
        pieces = fragments(peer, message, rng)
    assert len(message.payload) == LARGEST
    sender = send_all(peer, pieces)
    echoed, _ = answers(peer, len(pieces) if kind == "text" else 1)
    sender.join()
    # Not compared whole: nobody wants to read how 16 MiB differ.
    assert all(one == message for one in echoed), [(one.opcode, len(one.payload)) for one in echoed]
    say_goodbye(subject.host, peer)


def test_adapter_comes_and_goes_inside_a_conversation(subject: Subject) -> None:
    peer = subject.host.meet()
    messages, pieces = conversation(peer, 7, count=12, largest=20_000)
    expected = [*messages]
    # Each piece is on its way, or waits half-read, when the adapter changes.
    third = len(pieces) // 3
    for number in range(3):
        (subject.install, subject.uninstall)[number % 2]()
        last = number == 2
        sender = send_all(peer, pieces[number * third : None if last else (number + 1) * third])
        sender.join()
    echoed, _ = answers(peer, len(expected))
    assert echoed == expected
    say_goodbye(subject.host, peer)


def end_of(host: HostProcess, name: str) -> tuple[list[Got], str]:
    """What a host says to a message, then to a violation, and how it tells of it."""
    peer = host.meet()
    peer.socket.sendall(peer.frame(2, b"before"))
    assert answers(peer, 1)[0] == [Message(2, b"before")]
    peer.socket.sendall(BAD[name](peer))
    frames = [] if name.startswith("end-") else until_close(peer)
    with suppress(OSError):
        peer.socket.shutdown(socket.SHUT_WR)
    said = [got._replace(payload=_wherever_it_was(got.payload)) for got in frames + transcript(peer)]
    return said, _wherever_it_was(host.ended().encode()).decode()


def _wherever_it_was(words: bytes) -> bytes:
    # wsproto counts from the beginning of a read, and where reads end is the system's choice.
    return re.sub(rb"(?<=in position )\d+(-\d+)?", b"N", words)


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_answered_as_without_the_adapter(subject: Subject, name: str) -> None:
    if (subject.name, name) in HANGS:
        pytest.skip(f"{subject.name} itself waits for ever then")
    without = end_of(subject.host, name)
    subject.install()
    assert end_of(subject.host, name) == without
