"""The peers, what each can do, and in which ways our side talks to them."""

from __future__ import annotations

import itertools
from typing import NamedTuple


class Abilities(NamedTuple):
    """What a library can do, and lets its user see."""

    roles: tuple[str, ...] = ("server", "client")
    deflate: bool = True
    fragments: bool = False
    """Send a message in fragments; all can receive them."""
    ping: bool = True
    """Send a ping and tell of the pong; all can answer pings."""
    any_code: bool = True
    """Close with any code; a page may send 1000 and those from 3000 on."""


PEERS = {
    "aiohttp": Abilities(),
    "chromium": Abilities(roles=("client",), ping=False, any_code=False),
    "hypercorn": Abilities(roles=("server",), ping=False),
    "picows": Abilities(deflate=False, fragments=True),
    "tornado": Abilities(),
    "websocket_client": Abilities(roles=("client",), deflate=False, fragments=True),
    "websockets": Abilities(fragments=True),
    "ws": Abilities(fragments=True),
}


class Pair(NamedTuple):
    """A peer, its role, and whether both sides agree on permessage-deflate."""

    peer: str
    role: str
    deflate: bool

    def __str__(self) -> str:
        return f"{self.peer}-{self.role}-{'deflate' if self.deflate else 'plain'}"

    @property
    def abilities(self) -> Abilities:
        return PEERS[self.peer]


class Way(NamedTuple):
    """The form of our side, and its event loop."""

    form: str
    loop: str

    def __str__(self) -> str:
        return f"{self.form}-{self.loop}"


PAIRS = [
    Pair(peer, role, deflate)
    for peer, abilities in PEERS.items()
    for role in abilities.roles
    for deflate in ([False, True] if abilities.deflate else [False])
]

FORMS = ["coroutine", "callback"]

WAYS = [Way("coroutine", "asyncio"), Way("callback", "uvloop")]
"""For every peer."""

ALL_WAYS = [Way(*way) for way in itertools.product(FORMS, ("asyncio", "uvloop"))]
"""For one of them."""

THOROUGH_PEER = "websockets"
