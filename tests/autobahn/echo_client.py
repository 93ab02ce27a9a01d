"""An echo client for Autobahn's fuzzing server: runs each of its cases, then has it write the reports.

Usage: python tests/autobahn/echo_client.py [--library websockets] URI AGENT
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import traceback
from typing import Any


def library(name: str) -> tuple[Any, dict[str, Any], type[Exception]]:
    """A library's `connect`, the options that lift its limits, and its exception for a closed connection."""
    if name == "websockets":
        module = importlib.import_module("websockets")
        connect = importlib.import_module("websockets.asyncio.client").connect
        return connect, {"max_size": None}, module.ConnectionClosed
    module = importlib.import_module("fastframe")
    return module.connect, {"max_size": None, "max_fragments": None}, module.ConnectionClosed


async def run_cases(name: str, uri: str, agent: str) -> None:
    connect, limits, closed = library(name)
    async with connect(f"{uri}/getCaseCount", **limits) as websocket:
        count = int(await websocket.recv())
    for case in range(1, count + 1):
        try:
            case_uri = f"{uri}/runCase?case={case}&agent={agent}"
            async with connect(case_uri, compression="deflate", **limits) as websocket:
                async for message in websocket:
                    await websocket.send(message)
        except closed:
            pass  # many cases end so; the fuzzer knows which should
        except Exception:  # noqa: BLE001 - one case must not take the others with it; the fuzzer judges it
            print(f"case number {case}:")
            traceback.print_exc()
    async with connect(f"{uri}/updateReports?agent={agent}", **limits) as websocket:
        await websocket.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser(description="Echo client for the Autobahn testsuite.")
    parser.add_argument("uri")
    parser.add_argument("agent")
    parser.add_argument("--library", choices=["fastframe", "websockets"], default="fastframe")
    arguments = parser.parse_args()
    asyncio.run(run_cases(arguments.library, arguments.uri, arguments.agent))


if __name__ == "__main__":
    main()
