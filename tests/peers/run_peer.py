"""A process that talks WebSocket through one library: ``python -m peers.run_peer NAME``, in tests/.

It says {"port": N} on stdout if the library can serve, {"port": null} if not.
Each line on stdin is {"uri": ..., "subprotocols": [...]}, a server to connect
to. Each connection, accepted or made, is reported on a line of stdout when it
is over; {"failed": "..."} tells of one that went wrong. The end of stdin ends
the process.

The module peer_NAME has `serve` (returns the port), `connect` or both, or
`talk`, a `connect` that has a behaviour of its own and returns its report;
`end`, if there is one, is called last.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import traceback
from typing import Any

from peers.behaviour import Peer, behave

LIFETIME = 600
"""Seconds after which the process ends, whatever it is doing."""


def tell(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def report(peer: Peer) -> None:
    try:
        tell(await behave(peer))
    except Exception:
        tell({"failed": traceback.format_exc()})
        raise


async def main(name: str) -> None:
    library = importlib.import_module(f"peers.peer_{name}")
    serving = await library.serve(report) if hasattr(library, "serve") else None
    tell({"port": serving})
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            if hasattr(library, "talk"):
                tell(await library.talk(**json.loads(line)))
            else:
                await library.connect(**json.loads(line), behave=report)
        except Exception:  # noqa: BLE001
            tell({"failed": traceback.format_exc()})
    if hasattr(library, "end"):
        await library.end()


if __name__ == "__main__":
    timer = threading.Timer(LIFETIME, os._exit, [1])
    timer.daemon = True
    timer.start()
    asyncio.run(main(sys.argv[1]))
