"""Sends a file to examples/upload/server.py, however large it is, and compares checksums.

    python examples/upload/client.py backup.tar --uri ws://localhost:8765/

`send` takes an asynchronous iterator as the fragments of one message, and waits while the network does not
keep up; so the file is read no faster than it leaves, and never is in memory as a whole.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastframe import ConnectionClosed, HandshakeError, RejectedByServer, WebSocketStream, connect

FRAGMENT = 256 * 1024
"""Bytes that are read and sent at once."""


async def fragments_of(path: Path, digest: Any) -> AsyncIterator[bytes]:
    """A file in pieces, the last one empty: so an empty file is a message, too."""
    with path.open("rb") as file:
        while True:
            fragment = await asyncio.to_thread(file.read, FRAGMENT)
            digest.update(fragment)
            yield fragment
            if not fragment:
                return


async def confirmation(ws: WebSocketStream, size: int) -> str:
    """The server's checksum; its progress is shown until then."""
    async for message in ws:
        told = json.loads(message)
        if sys.stderr.isatty():
            print(f"\r{100 * told['received'] // max(size, 1):3} %", end="", file=sys.stderr, flush=True)
        if "sha256" in told:
            return str(told["sha256"])
    raise EOFError("the server has closed before it has confirmed anything")


async def upload(uri: str, path: Path) -> str:
    """Send a file.

    Returns:
        Its SHA-256, which is the server's too.

    Raises:
        ValueError: it is not.
    """
    digest, size = hashlib.sha256(), (await asyncio.to_thread(path.stat)).st_size
    async with connect(f"{uri.rstrip('/')}/{quote(path.name)}?size={size}", compression=None) as ws:
        _, theirs = await asyncio.gather(ws.send(fragments_of(path, digest)), confirmation(ws, size))
    if theirs != digest.hexdigest():
        raise ValueError(f"sent {digest.hexdigest()}, but {theirs} has arrived")
    return theirs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sends a file.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--uri", default="ws://localhost:8765/")
    chosen = parser.parse_args()
    try:
        print(asyncio.run(upload(chosen.uri, chosen.file)), chosen.file.name)
    except RejectedByServer as error:
        reason = error.response.body.decode(errors="replace").strip()
        sys.exit(f"{chosen.file} was not taken: {reason or error}")
    except (OSError, ValueError, EOFError, HandshakeError, ConnectionClosed) as error:
        sys.exit(f"{chosen.file} was not taken: {error}")
