"""An echo server for Autobahn's fuzzing client; serves until it is killed.

Usage: python tests/autobahn/echo_server.py [--library websockets] PORT
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from typing import Any


def library(name: str) -> tuple[Any, dict[str, Any]]:
    """A library's `serve`, and options that lift its limits: cases 9.* reach 16 MiB and 65,536 fragments."""
    if name == "websockets":
        return importlib.import_module("websockets.asyncio.server").serve, {"max_size": None}
    return importlib.import_module("fastframe").serve, {"max_size": None, "max_fragments": None}


async def echo(websocket: Any) -> None:
    async for message in websocket:
        await websocket.send(message)


async def serve(name: str, port: int) -> None:
    serve, limits = library(name)
    async with serve(echo, "127.0.0.1", port, compression="deflate", **limits):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="Echo server for the Autobahn testsuite.")
    parser.add_argument("port", type=int)
    parser.add_argument("--library", choices=["fastframe", "websockets"], default="fastframe")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.library, arguments.port))


if __name__ == "__main__":
    main()
