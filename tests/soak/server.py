"""The server that is soaked: it echoes, and for each line on its standard input tells what it holds."""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from fastframe import Connection, WebSocketStream, serve
from fastframe.aio.protocol import SocketProtocol


async def echo(ws: WebSocketStream) -> None:
    async for message in ws:
        await ws.send(message)


def held() -> dict[str, int]:
    gc.collect()
    kinds = [type(thing) for thing in gc.get_objects()]
    return {
        "sockets": sum(issubclass(kind, SocketProtocol) for kind in kinds),
        "conversations": sum(issubclass(kind, Connection) for kind in kinds),
        "tasks": len(asyncio.all_tasks()),
    }


async def main() -> None:
    loop = asyncio.get_running_loop()
    # The load that holds them answers no pings.
    options = {"compression": None, "ping_interval": 5, "ping_timeout": None}
    async with serve(echo, "127.0.0.1", 0, backlog=4096, **options) as server:  # type: ignore[arg-type]
        print("port", server.sockets[0].getsockname()[1], flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(held()), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "uvloop":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
