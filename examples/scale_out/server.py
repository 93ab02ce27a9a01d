"""The chat of examples/chat in any number of processes on any number of machines, through Redis.

    redis-server
    python examples/scale_out/server.py --port 8001
    python examples/scale_out/server.py --port 8002
    python -m fastframe connect 'ws://localhost:8001/garden?name=ada'
    python -m fastframe connect 'ws://localhost:8002/garden?name=bob'

Put a load balancer in front, or let processes of one machine share a port with --reuse-port. What somebody
says is published on the room's channel, and each process that has members in the room passes it on to them.

What can go wrong, and what comes of it:

- Redis is gone or does not answer: whoever says something is told {"type": "failed"} within TIMEOUT
  seconds, and everybody stays connected. /healthz answers 503 meanwhile, for the load balancer.
- Redis comes back: the process subscribes again, and pushes each room's history to its members. Pub/sub
  delivers to those who are subscribed at the moment, so the history is where they find what they have
  missed. A message can come twice that way; its "id" tells.
- A member does not keep up: nobody waits, and it is closed with 1013 (see examples/chat).

Needs `pip install redis`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import signal
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fastframe import CloseCode, Request, Response, WebSocketStream, broadcast, serve

MAX_MESSAGE = 4096
"""Bytes of what is said at once."""
MAX_NAME = 40
MAX_HISTORY = 100
"""Messages that a room remembers."""
HISTORY_SECONDS = 7 * 24 * 3600
"""After which a room is forgotten in which nobody says anything."""
MAX_BEHIND = 256 * 1024
"""Bytes that wait for one member, beyond what the network has taken."""
TIMEOUT = 2.0
"""Seconds that Redis may take to answer."""
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Seconds before connecting to Redis again."""
PREFIX = "chat:"

log = logging.getLogger("scale_out")


class Relay:
    """What the processes tell each other.

    Args:
        url: of Redis.
        is_wanted: whether this process has members in a room.
        deliver: called with a room and what was published for it.
        subscribed: awaited with a room each time its messages begin to come.
    """

    def __init__(
        self,
        url: str,
        is_wanted: Callable[[str], bool],
        deliver: Callable[[str, str], None],
        subscribed: Callable[[str], Awaitable[None]],
    ) -> None:
        # No retries inside: who speaks is told at once, and `run` has waits of its own.
        self._redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._is_wanted = is_wanted
        self._deliver = deliver
        self._subscribed = subscribed
        self._rooms: set[str] = set()
        """That were wanted when it was looked."""
        self._changing = asyncio.Lock()
        self._pubsub: Any = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        return self._pubsub is not None

    async def publish(self, room: str, event: str, *, is_kept: bool) -> None:
        """Tell all members of a room, here and elsewhere.

        Raises:
            RedisError: nobody knows who has got it.
        """
        async with self._redis.pipeline(transaction=True) as steps:
            if is_kept:
                steps.rpush(f"{PREFIX}history:{room}", event)
                steps.ltrim(f"{PREFIX}history:{room}", -MAX_HISTORY, -1)
                steps.expire(f"{PREFIX}history:{room}", HISTORY_SECONDS)
            steps.publish(f"{PREFIX}room:{room}", event)
            await steps.execute()

    async def history(self, room: str) -> list[str]:
        """What was said in a room lately."""
        kept: list[str] = await self._redis.lrange(f"{PREFIX}history:{room}", 0, -1)
        return kept

    async def update(self, room: str) -> bool:
        """Subscribe to a room if it is wanted, unsubscribe if it is not any more.

        Returns:
            Whether it has not been wanted before, so that `subscribed` follows.
        """
        async with self._changing:
            wanted = self._is_wanted(room)
            if wanted == (room in self._rooms):
                return False
            change = self._rooms.add if wanted else self._rooms.discard
            change(room)
            if self._pubsub is not None:
                send = self._pubsub.subscribe if wanted else self._pubsub.unsubscribe
                with contextlib.suppress(RedisError, OSError):  # `run` sees it too, and begins anew
                    await send(f"{PREFIX}room:{room}")
            return wanted

    async def run(self) -> None:
        """Receive, and connect again when that ends; until cancelled."""
        wait = FIRST_WAIT
        while True:
            try:
                async with self._redis.pubsub() as pubsub:
                    async with self._changing:
                        channels = [f"{PREFIX}room:{room}" for room in self._rooms]
                        # One more, or without rooms there would be no subscription to wait on.
                        await pubsub.subscribe(f"{PREFIX}all", *channels)
                        self._pubsub = pubsub
                    log.warning("connected to Redis")
                    wait = FIRST_WAIT
                    await self._receive(pubsub)
            except (RedisError, OSError) as error:
                log.warning("no Redis, again in %.1f s at most: %s", wait, error)
            finally:
                self._pubsub = None
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(2 * wait, LONGEST_WAIT)

    async def _receive(self, pubsub: Any) -> None:
        is_asked = False
        while True:
            message = await pubsub.get_message(timeout=TIMEOUT)
            if message is None and is_asked:
                raise TimeoutError("it does not answer")
            is_asked = message is None
            if message is None:
                # It may be silent, or on a machine that is gone.
                await pubsub.ping()
                continue
            _, _, room = (message["channel"] or "").partition("room:")
            if room and message["type"] == "message":
                self._deliver(room, message["data"])
            elif room and message["type"] == "subscribe":
                # Aside: meanwhile messages are passed on.
                task = asyncio.ensure_future(self._subscribed(room))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


class Chat:
    """The members that are connected to this process."""

    def __init__(self, url: str) -> None:
        self.relay = Relay(url, self._is_wanted, self._deliver, self._push_history)
        self._rooms: dict[str, set[WebSocketStream]] = {}

    def process_request(self, _: object, request: Request) -> Response | None:
        """Answer the load balancer."""
        if request.is_upgrade:
            return None
        if request.path != "/healthz":
            return Response(404)
        return Response(200, body=b"ok\n") if self.relay.is_connected else Response(503, body=b"no Redis\n")

    async def handle(self, ws: WebSocketStream) -> None:
        """Be with one member until it leaves."""
        room, name = who(ws)
        if not (0 < len(name) <= MAX_NAME and name.isprintable() and len(room) <= MAX_NAME):
            await ws.close(CloseCode.POLICY_VIOLATION, "say who you are: ?name=ada")
            return
        members = self._rooms.setdefault(room, set())
        members.add(ws)
        try:
            if not await self.relay.update(room):
                await self._push_history(room, ws)
            await self._announce(room, "joined", name)
            await self._listen(ws, room, name)
        finally:
            members.discard(ws)
            if not members:
                self._rooms.pop(room, None)
            await self.relay.update(room)
            await self._announce(room, "left", name)

    async def _listen(self, ws: WebSocketStream, room: str, name: str) -> None:
        async for message in ws:
            if not isinstance(message, str):
                await ws.close(CloseCode.UNSUPPORTED_DATA, "text only")
                return
            said = {"type": "said", "id": uuid.uuid4().hex, "name": name, "text": message}
            try:
                await self.relay.publish(room, as_json(said), is_kept=True)
            except (RedisError, OSError) as error:
                log.warning("not said in %s: %s", room, error)
                ws.offer(as_json(said | {"type": "failed"}))

    async def _announce(self, room: str, kind: str, name: str) -> None:
        with contextlib.suppress(RedisError, OSError):  # nothing depends on it
            await self.relay.publish(room, as_json({"type": kind, "name": name}), is_kept=False)

    def _is_wanted(self, room: str) -> bool:
        return room in self._rooms

    def _deliver(self, room: str, event: str) -> None:
        broadcast(self._rooms.get(room, ()), event)

    async def _push_history(self, room: str, ws: WebSocketStream | None = None) -> None:
        """Push what was said lately to one member, or to all here."""
        try:
            said = await self.relay.history(room)
        except (RedisError, OSError) as error:
            log.warning("no history of %s: %s", room, error)
            return
        members = self._rooms.get(room, ()) if ws is None else (ws,)
        broadcast(members, f'{{"type": "history", "said": [{", ".join(said)}]}}')


def who(ws: WebSocketStream) -> tuple[str, str]:
    """The room that a request is for, and the name of who asks."""
    assert ws.request is not None, "it is open"
    path, _, query = ws.request.path.partition("?")
    return unquote(path).strip("/"), parse_qs(query).get("name", [""])[0].strip()


def as_json(event: dict[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False)


async def main(chat: Chat, host: str, port: int, *, reuse_port: bool) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    relaying = asyncio.create_task(chat.relay.run())
    async with serve(
        chat.handle,
        host,
        port,
        reuse_port=reuse_port or None,
        process_request=chat.process_request,
        max_size=MAX_MESSAGE,
        slow_consumer="close",
        max_backlog=MAX_BEHIND,
    ) as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()
    while not relaying.done():
        # More than once: a library may take the cancellation for a failure to connect, and go on.
        relaying.cancel()
        await asyncio.wait([relaying], timeout=0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A chat in several processes.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--reuse-port", action="store_true", help="share the port with other processes")
    parser.add_argument("--redis", default="redis://localhost:6379/0", metavar="URL")
    chosen = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    asyncio.run(main(Chat(chosen.redis), chosen.host, chosen.port, reuse_port=chosen.reuse_port))
