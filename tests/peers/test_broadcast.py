"""Broadcasts and a connection's own messages in any order, to other people's clients."""

from __future__ import annotations

import random

import pytest
from peers.catalogue import PAIRS, WAYS, Pair, Way
from peers.conversation import End, Meet, PeerProcesses
from peers.messages import KINDS, check_same, message_of

from fastframe import broadcast, prepare

CLIENTS = [pair for pair in PAIRS if pair.role == "client"]

clients = pytest.mark.parametrize(
    ("pair", "way"), [pytest.param(pair, way, id=f"{pair}-{way}") for pair in CLIENTS for way in WAYS]
)


def related(rng: random.Random) -> str:
    """Messages that have much in common with each other: who forgot one in between would notice."""
    parts = [f'"field {number}": "value {number * 7919}", ' for number in rng.sample(range(60), 25)]
    return f'{{{"".join(parts)}"price": {rng.random()}}}'


def some_message(rng: random.Random) -> str | bytes:
    if rng.random() < 0.8:
        return related(rng)
    return message_of(rng.choice(KINDS), rng.choice([0, 1, 125, 126, 5000, 65536, 200_000]))


@pytest.mark.parametrize("seed", range(3))
@clients
def test_unicast_and_broadcast_in_any_order_arrive(
    peer_processes: PeerProcesses, pair: Pair, way: Way, seed: int
) -> None:
    rng = random.Random(seed)
    again = [(prepare(message), message) for message in (related(rng), message_of("cjk", 20_000), b"short")]
    resets = 0

    async def talk(end: End) -> None:
        nonlocal resets
        deflate = end.socket.connection.deflate
        sent: list[str | bytes] = []
        for number in range(150):
            step = rng.choice(["one", "all", "again"])
            message = some_message(rng)
            had_context = pair.deflate and deflate.has_context
            if step == "one":
                await end.send(message)
            elif step == "all":
                assert broadcast([end.socket], message) == []
            else:
                prepared, message = rng.choice(again)
                assert broadcast([end.socket], prepared) == []
            resets += had_context and not deflate.has_context
            sent.append(message)
            if number % 10 == 9:
                for message in sent:
                    check_same(await end.recv(), message)
                sent.clear()

    Meet(peer_processes, pair, way)(talk)
    # A compressed broadcast did come between compressed messages, many times.
    assert resets > 15 if pair.deflate else resets == 0
