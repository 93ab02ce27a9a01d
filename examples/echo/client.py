"""Sends its words to an echo server, and prints what comes back.

python examples/echo/client.py --uri ws://localhost:8765/ Hello 世界
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from fastframe import ConnectionClosed, HandshakeError, InvalidURI, connect


async def main(uri: str, words: list[str]) -> None:
    async with connect(uri) as ws:
        for word in words:
            await ws.send(word)
        # All of them are under way by now; the answers come in the same order.
        for _ in words:
            print(await ws.recv())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sends its words to an echo server.")
    parser.add_argument("--uri", default="ws://localhost:8765/")
    parser.add_argument("words", nargs="+", metavar="WORD")
    chosen = parser.parse_args()
    try:
        asyncio.run(main(chosen.uri, chosen.words))
    except (OSError, InvalidURI, HandshakeError, ConnectionClosed) as error:
        sys.exit(f"no echo from {chosen.uri}: {error}")
