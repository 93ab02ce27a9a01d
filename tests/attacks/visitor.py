"""The client that is attacked: ``python visitor.py coroutine|callback asyncio|uvloop``.

It visits each URI that comes on its standard input, a line each, and says how that ended: the exception of
`connect` or of the connection with the code of the close frame that was sent, the seconds that it took, the
seconds for which the event loop was held up at most, and how many tasks are left. "sleep" from the server
makes the coroutine form take nothing for a while, "bye" makes it close. Time limits are short, so that
attacks on them are; all limits in bytes are the defaults.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from fastframe import Close, ConnectionClosed, WebSocket, connect

TIMES: dict[str, Any] = {
    "open_timeout": 1.0,
    "close_timeout": 0.3,
    "ping_interval": 0.6,
    "ping_timeout": 0.6,
}
TICK = 0.01


class Callbacks(WebSocket):
    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.error: Exception | None = None
        self.is_closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_message(self, message: str | bytes) -> None:
        if message == "bye":
            self.close()

    def on_error(self, error: Exception) -> None:
        self.error = error

    def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
        assert was_clean is (self.error is None)
        self.is_closed.set_result(None)


def ended(kind: str, sent: Close | None) -> str:
    return kind if sent is None or sent.close_code is None else f"{kind} {sent.close_code}"


async def by_callback(uri: str) -> str:
    ws = await connect(uri, Callbacks, **TIMES)
    await ws.is_closed
    kind = "ConnectionClosedOK" if ws.error is None else "ConnectionClosedError"
    return ended(kind, ws.connection.close_sent)


async def by_coroutine(uri: str) -> str:
    async with connect(uri, **TIMES) as ws:
        try:
            while (message := await ws.recv()) != "bye":
                if message == "sleep":
                    await asyncio.sleep(0.5)
            await ws.close()
            while True:  # what had come before stays there to be taken
                await ws.recv()
        except ConnectionClosed as closed:
            return ended(type(closed).__name__, closed.sent)


async def visit(form: str, uri: str) -> str:
    try:
        return await (by_coroutine(uri) if form == "coroutine" else by_callback(uri))
    except Exception as error:  # noqa: BLE001 - which one it is, is what is asked for
        return type(error).__name__


async def longest_stall(found: list[float]) -> None:
    while True:
        began = time.monotonic()
        await asyncio.sleep(TICK)
        found[0] = max(found[0], time.monotonic() - began - TICK)


async def run(form: str) -> None:
    loop = asyncio.get_running_loop()
    while uri := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        stall = [0.0]
        watching = asyncio.ensure_future(longest_stall(stall))
        began = time.monotonic()
        outcome = await visit(form, uri)
        taken = time.monotonic() - began
        watching.cancel()
        await asyncio.wait([watching])
        left = len(asyncio.all_tasks()) - 1
        print(outcome, f"{taken:.3f}", f"{stall[0]:.3f}", left, sep="\t", flush=True)


def main() -> None:
    form, loop = sys.argv[1:3]
    if loop == "uvloop":
        import uvloop

        uvloop.run(run(form))
    else:
        asyncio.run(run(form))


if __name__ == "__main__":
    main()
