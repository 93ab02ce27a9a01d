"""A chat with rooms: whoever is in a room is pushed what the others say.

    python examples/chat/server.py
    python -m fastframe connect 'ws://localhost:8765/garden?name=ada'

The path is the room. A text message is what somebody says; what is pushed is JSON, its "type" is "history"
(once, at first), "joined", "said" or "left".

Nobody waits for anybody: `broadcast` leaves a message with each member and goes on. A member that does not
keep up has MAX_BEHIND bytes waiting at most; then it is closed with 1013 (try again later), and the others
never notice. Everything that a client can make grow has a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections import deque
from typing import Any
from urllib.parse import parse_qs, unquote

from fastframe import CloseCode, WebSocketStream, broadcast, serve

MAX_MESSAGE = 4096
"""Bytes of what is said at once; more is answered with 1009."""
MAX_NAME = 40
MAX_HISTORY = 100
"""Messages that a room remembers for those who come later."""
MAX_ROOMS = 1000
MAX_BEHIND = 256 * 1024
"""Bytes that wait for one member, beyond what the network has taken."""
NAME_TAKEN = 4009
"""Codes from 4000 on are an application's own (RFC 6455 section 7.4.2). A page sees no HTTP status."""


class Room:
    """Who is here, and what was said."""

    def __init__(self) -> None:
        self.members: dict[str, WebSocketStream] = {}
        self.history: deque[dict[str, str]] = deque(maxlen=MAX_HISTORY)

    def push(self, event: dict[str, Any]) -> None:
        """Tell everybody here; encoded once for all of them."""
        broadcast(self.members.values(), as_json(event))


class Chat:
    """All rooms, the one that was entered last at the end."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}

    async def handle(self, ws: WebSocketStream) -> None:
        """Be with one member until it leaves."""
        room_name, name = who(ws)
        if not (0 < len(name) <= MAX_NAME and name.isprintable() and len(room_name) <= MAX_NAME):
            await ws.close(CloseCode.POLICY_VIOLATION, "say who you are: ?name=ada")
            return
        room = self._room(room_name)
        if room is None:
            await ws.close(CloseCode.TRY_AGAIN_LATER, "there are too many rooms")
            return
        if name in room.members:
            await ws.close(NAME_TAKEN, "somebody here has this name")
            return
        # Nothing is awaited in between: what is said next comes after the history, and is not in it.
        ws.offer(as_json({"type": "history", "said": [*room.history]}))
        room.members[name] = ws
        room.push({"type": "joined", "name": name, "here": [*room.members]})
        try:
            await listen(ws, name, room)
        finally:
            del room.members[name]
            room.push({"type": "left", "name": name})

    def _room(self, name: str) -> Room | None:
        room = self._rooms.pop(name, None)
        if room is None:
            if len(self._rooms) >= MAX_ROOMS:
                empty = next((each for each, other in self._rooms.items() if not other.members), None)
                if empty is None:
                    return None
                del self._rooms[empty]
            room = Room()
        self._rooms[name] = room
        return room


async def listen(ws: WebSocketStream, name: str, room: Room) -> None:
    """Pass on what one member says."""
    async for message in ws:
        if not isinstance(message, str):
            await ws.close(CloseCode.UNSUPPORTED_DATA, "text only")
            return
        said = {"type": "said", "name": name, "text": message}
        room.history.append(said)
        room.push(said)


def who(ws: WebSocketStream) -> tuple[str, str]:
    """The room that a request is for, and the name of who asks."""
    assert ws.request is not None, "it is open"
    path, _, query = ws.request.path.partition("?")
    return unquote(path).strip("/"), parse_qs(query).get("name", [""])[0].strip()


def as_json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)


async def main(host: str, port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    chat = serve(
        Chat().handle, host, port, max_size=MAX_MESSAGE, slow_consumer="close", max_backlog=MAX_BEHIND
    )
    async with chat as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat with rooms.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.host, chosen.port))
