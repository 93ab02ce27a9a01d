"""Conversations with other people's libraries, over sockets, in both directions.

Each test runs for every peer in every role that it has, with permessage-deflate
and without, with both forms of our side, on asyncio's loop and on uvloop.
`behaviour.py` says what peers do.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from peers.behaviour import split
from peers.catalogue import Way
from peers.conversation import End, Meet
from peers.messages import KINDS, LARGE, SIZES, check_same, message_of

CODES_AND_REASONS = [
    pytest.param(1000, "", id="normal"),
    pytest.param(3000, "tschüß – 再见 🦊", id="unicode"),
    pytest.param(4999, "r" * 123, id="longest"),
]


async def order(end: End, name: str, **details: Any) -> None:
    await end.send("!" + json.dumps({"order": name, **details}))


async def echo(end: End, message: str | bytes) -> None:
    await end.send(message)
    check_same(await end.recv(), message)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_of_every_size_come_back(meet: Meet, kind: str) -> None:
    async def talk(end: End) -> None:
        for size in SIZES:
            await echo(end, message_of(kind, size))

    met = meet(talk)
    assert met.report["received"] == sum(SIZES)
    assert met.report["closed"] == [1000, ""]
    assert met.ending.was_clean


def test_a_message_of_16_mib_comes_back(meet: Meet, way: Way) -> None:
    async def talk(end: End) -> None:
        await echo(end, message_of("binary" if way.form == "callback" else "cjk", LARGE))

    assert meet(talk).report["received"] == LARGE


def test_messages_in_flight_come_back_in_order(meet: Meet) -> None:
    messages = [f"{number} " + "ä" * (number % 300) for number in range(500)]
    mixed: list[str | bytes] = [text.encode() if number % 3 else text for number, text in enumerate(messages)]

    async def talk(end: End) -> None:
        async def send_all() -> None:
            for message in mixed:
                await end.send(message)

        sending = asyncio.ensure_future(send_all())
        for message in mixed:
            check_same(await end.recv(), message)
        await sending

    meet(talk)


@pytest.mark.our_form("coroutine")
def test_our_fragments_arrive_as_one_message(meet: Meet) -> None:
    async def one_by_one(fragments: list[str]) -> AsyncIterator[str]:
        for fragment in fragments:
            yield fragment

    async def talk(end: End) -> None:
        for message in ("", "ä", "日本語" * 50000, b"", os.urandom(100000)):
            await end.socket.send(split(message, 3))
            check_same(await end.recv(), message)
        await end.socket.send(one_by_one(["Hel", "", "lo"]))
        check_same(await end.recv(), "Hello")

    meet(talk)


@pytest.mark.peer_can("fragments")
@pytest.mark.parametrize("pieces", [2, 50])
def test_fragments_of_the_peer_arrive_as_one_message(meet: Meet, pieces: int) -> None:
    async def talk(end: End) -> None:
        for kind in KINDS:
            for size in (10, 126, 65536, 1 << 20):
                await order(end, "split", pieces=pieces)
                await echo(end, message_of(kind, size))

    meet(talk)


@pytest.mark.parametrize(("code", "reason"), [*CODES_AND_REASONS, (1001, "going away"), (1011, "")])
def test_our_close_reaches_the_peer(meet: Meet, code: int, reason: str) -> None:
    async def talk(end: End) -> None:
        await echo(end, "before")
        await end.close(code, reason)

    met = meet(talk)
    assert met.report["closed"] == [code, reason]
    assert met.ending.was_clean


@pytest.mark.parametrize(("code", "reason"), CODES_AND_REASONS)
def test_close_of_the_peer_reaches_us(meet: Meet, code: int, reason: str) -> None:
    async def talk(end: End) -> None:
        await order(end, "close", code=code, reason=reason)
        assert await end.ending() == (code, reason, True)

    # RFC 6455 section 5.5.1: "the endpoint typically echos the status code it received".
    assert meet(talk).report["closed"][0] == code


@pytest.mark.peer_can("any_code")
@pytest.mark.parametrize(("code", "reason"), [(1001, "going away"), (1011, "")])
def test_close_of_a_peer_with_a_problem_reaches_us(meet: Meet, code: int, reason: str) -> None:
    async def talk(end: End) -> None:
        await order(end, "close", code=code, reason=reason)
        assert await end.ending() == (code, reason, True)

    meet(talk)


@pytest.mark.parametrize("size", [125, 1 << 20])
def test_our_last_message_is_not_cut_off_by_closing(meet: Meet, size: int) -> None:
    async def talk(end: End) -> None:
        await order(end, "listen")
        await end.send(message_of("binary", size))
        await end.close()

    met = meet(talk)
    assert met.report["received"] == size
    assert met.report["closed"] == [1000, ""]
    assert met.ending.was_clean


@pytest.mark.parametrize("size", [125, 1 << 20])
def test_last_message_of_the_peer_is_not_cut_off_by_closing(meet: Meet, size: int) -> None:
    async def talk(end: End) -> None:
        await order(end, "leave", code=4000, reason="bye")
        await echo(end, message_of("binary", size))
        assert await end.ending() == (4000, "bye", True)

    meet(talk)


@pytest.mark.our_form("coroutine")
@pytest.mark.parametrize("payload", [b"", b"p", bytes(range(125))], ids=["empty", "one-byte", "longest"])
def test_our_ping_is_answered(meet: Meet, payload: bytes) -> None:
    async def talk(end: End) -> None:
        for _ in range(2):
            pong = await end.socket.ping(payload)
            await end.send("between")
            assert 0 <= await pong < 10
            check_same(await end.recv(), "between")

    meet(talk)


@pytest.mark.peer_can("ping")
@pytest.mark.parametrize("payload", ["p", "ping " * 25], ids=["one-byte", "longest"])
def test_ping_of_the_peer_is_answered(meet: Meet, payload: str) -> None:
    async def talk(end: End) -> None:
        for _ in range(2):
            await order(end, "ping", payload=payload)
            check_same(await end.recv(), f"pong {payload}")

    meet(talk)


def test_the_subprotocol_is_agreed_on(meet: Meet) -> None:
    async def talk(end: End) -> None:
        assert end.socket.subprotocol == "superchat"

    assert meet(talk, ["chat", "superchat"]).report["subprotocol"] == "superchat"


def test_no_subprotocol_is_agreed_on_where_none_is_offered(meet: Meet) -> None:
    async def talk(end: End) -> None:
        assert end.socket.subprotocol is None

    assert not meet(talk).report["subprotocol"]
