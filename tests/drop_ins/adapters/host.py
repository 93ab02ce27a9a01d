"""What the hosts of hosts.py and host_stacks.py have in common."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

MAX_SIZE = 32 * 1024 * 1024

URI = "ws://127.0.0.1:{}/"


def tell(*words: object) -> None:
    # One write: a print is two, and two threads tell.
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def told_end(error: BaseException | None) -> None:
    told = "cleanly" if error is None else f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    tell("ended", " ".join(told.split()))


async def echo(socket: Any) -> None:
    """For websockets' interface."""
    try:
        async for message in socket:
            await socket.send(message)
    except Exception as error:  # noqa: BLE001
        told_end(error)
    else:
        told_end(None)


def echo_blocking(socket: Any) -> None:
    try:
        for message in socket:
            socket.send(message)
    except Exception as error:  # noqa: BLE001
        told_end(error)
    else:
        told_end(None)


class Host:
    """The library's side; `serve` or `connect` runs in the loop of the main thread, or blocks in a thread."""

    run: Callable[..., object] = staticmethod(asyncio.run)
    """What runs its loop."""

    async def serve(self) -> int:
        raise NotImplementedError

    async def connect(self, port: int) -> None:
        raise NotImplementedError
