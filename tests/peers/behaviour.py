"""What a peer written in Python does in a conversation, whatever library it is made of.

It sends every message back. A text that begins with "!" is an order, as JSON
behind the mark:

    {"order": "split", "pieces": 3}     send the next message back in so many fragments
    {"order": "listen"}                 send nothing back any more
    {"order": "ping", "payload": "x"}   ping; after the pong, send "pong x"
    {"order": "close", "code": 4001, "reason": "x"}    begin the closing handshake
    {"order": "leave", "code": 1000, "reason": "x"}    the same right behind the next message

behaviour.js does the same for JavaScript.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

SUBPROTOCOL = "superchat"
"""The one that peers know as servers."""

MAX_SIZE = 64 * 1024 * 1024
"""Bytes in a message at most, where a library wants to be told."""


class Closed(NamedTuple):
    """How it ended, as the peer saw it: 1005 is a close frame without a code, 1006 none at all."""

    code: int
    reason: str


class Peer(ABC):
    """One connection of a library."""

    subprotocol: str | None = None

    @abstractmethod
    async def recv(self) -> str | bytes | Closed: ...

    @abstractmethod
    async def send(self, message: str | bytes) -> None: ...

    @abstractmethod
    async def close(self, code: int, reason: str) -> None: ...

    async def send_fragments(self, fragments: list[bytes], is_text: bool) -> None:
        """Text has been cut between bytes, within characters too."""
        raise NotImplementedError

    async def ping(self, payload: bytes) -> None:
        """Ping, and wait for the pong."""
        raise NotImplementedError


class QueuedPeer(Peer):
    """A connection of a library that calls back."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[str | bytes | Closed] = asyncio.Queue()
        self._pongs: asyncio.Queue[bytes] = asyncio.Queue()

    def came(self, message: str | bytes | Closed) -> None:
        self._inbox.put_nowait(message)

    def pong_came(self, payload: bytes) -> None:
        self._pongs.put_nowait(payload)

    async def recv(self) -> str | bytes | Closed:
        return await self._inbox.get()

    async def pong(self, payload: bytes) -> None:
        while await self._pongs.get() != payload:
            pass


Behave = Callable[[Peer], Awaitable[Any]]


async def behave(peer: Peer) -> dict[str, Any]:
    """Talk until the connection is closed; returns what there is to report."""
    pieces, farewell, received, listening = 1, None, 0, False
    while True:
        message = await peer.recv()
        if isinstance(message, Closed):
            return {"closed": list(message), "received": received, "subprotocol": peer.subprotocol}
        if isinstance(message, str) and message.startswith("!"):
            order = json.loads(message[1:])
            if order["order"] == "split":
                pieces = order["pieces"]
            elif order["order"] == "listen":
                listening = True
            elif order["order"] == "ping":
                await peer.ping(order["payload"].encode())
                await peer.send(f"pong {order['payload']}")
            elif order["order"] == "close":
                await peer.close(order["code"], order["reason"])
            else:
                farewell = order
            continue
        payload = message.encode() if isinstance(message, str) else message
        received += len(payload)
        if pieces > 1:
            await peer.send_fragments(split(payload, pieces), isinstance(message, str))
            pieces = 1
        elif not listening:
            await peer.send(message)
        if farewell is not None:
            await peer.close(farewell["code"], farewell["reason"])
            farewell = None


def split(message: Any, pieces: int) -> Any:
    """Cut `message` into as many pieces, some of them empty if it is short."""
    ends = [len(message) * number // pieces for number in range(pieces + 1)]
    return [message[start:end] for start, end in itertools.pairwise(ends)]
