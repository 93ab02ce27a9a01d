"""A feed of invented prices, for examples/market_data/client.py.

    python examples/market_data/server.py
    python examples/market_data/client.py ACME INIT

Each instrument numbers its updates from 1 on, without a gap, for as long as the server runs; "run" in the
first message tells one run from the next. {"subscribe": {"ACME": 17}} asks for what has come after the 17th
update of ACME: the missing updates if they are still kept, else a snapshot, and then every new one as it
happens; -1 is for who has seen none. So the same request begins, resumes after a lost connection, and fills
a gap.

A client that does not keep up loses its oldest updates (`slow_consumer="drop_oldest"`), sees that in the
numbers, and asks for them once it has caught up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import uuid
from collections import deque
from typing import Any

from fastframe import CloseCode, WebSocketStream, broadcast, serve

SYMBOLS = ("ACME", "INIT", "HOOL", "UMBR")
KEPT = 1000
"""Updates of an instrument that can be asked for again."""
MAX_BEHIND = 64 * 1024
"""Bytes that wait for one client."""


class Instrument:
    """One price."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.number = 0
        self.price = 100.0
        self.subscribers: set[WebSocketStream] = set()
        self._recent: deque[str] = deque(maxlen=KEPT)

    def move(self) -> str:
        """The next update."""
        self.number += 1
        self.price *= random.uniform(0.999, 1.001)
        update = self._told("update")
        self._recent.append(update)
        return update

    def after(self, number: int) -> list[str]:
        """What somebody needs who has seen the update of this number."""
        missing = self.number - number
        if 0 <= missing <= len(self._recent):
            return [*self._recent][len(self._recent) - missing :]
        return [self._told("snapshot")]

    def _told(self, kind: str) -> str:
        told = {"type": kind, "symbol": self.symbol, "number": self.number, "price": round(self.price, 4)}
        return json.dumps(told)


class Feed:
    """All prices.

    Args:
        lose: leave out every so manieth update on its way, to see what a client makes of it; 0: none.
    """

    def __init__(self, lose: int) -> None:
        self._instruments = {symbol: Instrument(symbol) for symbol in SYMBOLS}
        self._run = uuid.uuid4().hex
        self._lose = lose
        self._count = 0

    async def run(self, interval: float) -> None:
        """Move all prices, `interval` seconds apart."""
        while True:
            await asyncio.sleep(interval)
            for instrument in self._instruments.values():
                update = instrument.move()
                self._count += 1
                if not (self._lose and self._count % self._lose == 0):
                    broadcast(instrument.subscribers, update)

    async def handle(self, ws: WebSocketStream) -> None:
        """Serve one client."""
        try:
            ws.offer(json.dumps({"type": "hello", "run": self._run, "symbols": SYMBOLS}))
            async for message in ws:
                try:
                    self._subscribe(ws, json.loads(message)["subscribe"])
                except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                    await ws.close(CloseCode.POLICY_VIOLATION, 'say {"subscribe": {"ACME": 0}}')
        finally:
            for instrument in self._instruments.values():
                instrument.subscribers.discard(ws)

    def _subscribe(self, ws: WebSocketStream, numbers: dict[str, Any]) -> None:
        wanted = [(self._instruments[symbol], int(number)) for symbol, number in numbers.items()]
        for instrument, number in wanted:
            # Nothing is awaited in between, so nothing is missing in between.
            instrument.subscribers.add(ws)
            for told in instrument.after(number):
                ws.offer(told)


async def main(feed: Feed, host: str, port: int, interval: float) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    moving = asyncio.create_task(feed.run(interval))
    async with serve(feed.handle, host, port, slow_consumer="drop_oldest", max_backlog=MAX_BEHIND) as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()
    moving.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A feed of invented prices.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--interval", type=float, default=0.25, metavar="SECONDS", help="between updates")
    parser.add_argument("--lose", type=int, default=0, metavar="N", help="leave out every Nth update")
    chosen = parser.parse_args()
    asyncio.run(main(Feed(chosen.lose), chosen.host, chosen.port, chosen.interval))
