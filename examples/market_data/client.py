"""Follows prices for ever, through lost updates, lost connections and restarts of the server.

    python examples/market_data/client.py ACME INIT --uri ws://localhost:8765/

- It connects again after waits that double, up to LONGEST_WAIT, and start over once data flows: a server
  that accepts and hangs up is not hammered. Each wait is shortened by chance, so that all clients of a
  server that was restarted do not come back at the same moment.
- Updates are numbered. A number too high is a gap: the missing ones are asked for, and nothing is handed on
  until they are there. So is what the client has missed while it was away.
- Pings find a connection that is dead, and SILENCE a server that answers them but has stopped to send.

`async for ws in connect(uri)` connects again by itself, with waits of its own; here they are spelled out,
for the data to decide when all is well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from fastframe import (
    ConnectionClosed,
    HandshakeError,
    InvalidURI,
    RejectedByServer,
    WebSocketStream,
    connect,
)

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
SILENCE = 10.0
"""Seconds without any data after which the connection is given up."""
PATIENCE = 2.0
"""Seconds after which missing updates are asked for again."""

log = logging.getLogger("market_data")


class Follower:
    """Hands on every update of some symbols once, in order.

    Args:
        uri: of the server.
        symbols: to follow.
        hand_on: called with each update, and with each snapshot where updates are gone for good.
    """

    def __init__(self, uri: str, symbols: list[str], hand_on: Callable[[dict[str, Any]], None]) -> None:
        self._uri = uri
        self._hand_on = hand_on
        self._run = ""
        self._numbers = dict.fromkeys(symbols, 0)
        """Of the latest update of each symbol that was handed on."""
        self._asked: dict[str, float] = {}
        """When missing ones were asked for."""
        self._wait = FIRST_WAIT

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            RejectedByServer: with a status that another attempt will not change.
            LookupError: the server has not all of the symbols.
        """
        while True:
            try:
                async with connect(self._uri, open_timeout=5, ping_interval=5, ping_timeout=5) as ws:
                    await self._follow(ws)
            except (OSError, asyncio.TimeoutError, HandshakeError, ConnectionClosed) as error:
                if isinstance(error, RejectedByServer) and error.response.status < 500:
                    raise
                reason = str(error) or type(error).__name__
            else:
                reason = "the server has closed"
            wait = self._wait * random.uniform(0.5, 1)
            log.warning("no connection, again in %.1f s: %s", wait, reason)
            await asyncio.sleep(wait)
            self._wait = min(2 * self._wait, LONGEST_WAIT)

    async def _follow(self, ws: WebSocketStream) -> None:
        self._asked.clear()
        while True:
            # All that is there at once: one timer for many messages.
            for message in await asyncio.wait_for(ws.recv_many(), SILENCE):
                told = json.loads(message)
                if told["type"] == "hello":
                    await self._subscribe(ws, told)
                else:
                    await self._take(ws, told)

    async def _subscribe(self, ws: WebSocketStream, hello: dict[str, Any]) -> None:
        unknown = self._numbers.keys() - hello["symbols"]
        if unknown:
            raise LookupError(f"there is no {' and no '.join(sorted(unknown))} in this feed")
        if hello["run"] != self._run:
            # Numbers of another run mean nothing here.
            self._run = hello["run"]
            self._numbers = dict.fromkeys(self._numbers, -1)
        log.warning("connected")
        await ws.send(json.dumps({"subscribe": self._numbers}))

    async def _take(self, ws: WebSocketStream, told: dict[str, Any]) -> None:
        self._wait = FIRST_WAIT
        symbol, number = told["symbol"], told["number"]
        latest = self._numbers[symbol]
        if number == latest + 1 or (told["type"] == "snapshot" and number > latest):
            self._numbers[symbol] = number
            self._asked.pop(symbol, None)
            self._hand_on(told)
        elif number > latest and time.monotonic() - self._asked.get(symbol, -PATIENCE) >= PATIENCE:
            log.warning("%s: gap from %d to %d, asked for", symbol, latest + 1, number - 1)
            self._asked[symbol] = time.monotonic()
            await ws.send(json.dumps({"subscribe": {symbol: latest}}))
        # Otherwise it is one that was handed on, or one behind a gap that is being filled.


def show(told: dict[str, Any]) -> None:
    print(told["symbol"], told["number"], told["price"], told["type"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Follows prices.")
    parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
    parser.add_argument("--uri", default="ws://localhost:8765/")
    chosen = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        asyncio.run(Follower(chosen.uri, chosen.symbols, show).run())
    except (InvalidURI, RejectedByServer, LookupError) as refused:
        sys.exit(f"{chosen.uri}: {refused}")
    except KeyboardInterrupt:
        pass
