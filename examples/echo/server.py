"""An echo server: every message goes back to who sent it.

    python examples/echo/server.py
    python examples/echo/client.py Hello

`async for` ends when the peer has closed; what it raises when the connection breaks is no failure of the
server, and `serve` takes care of it. Ctrl-C and SIGTERM close every connection with 1001.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from fastframe import WebSocketStream, serve


async def echo(ws: WebSocketStream) -> None:
    async for message in ws:
        await ws.send(message)


async def main(host: str, port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with serve(echo, host, port) as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An echo server.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.host, chosen.port))
