"""``demo``: the page and its WebSockets, until it is interrupted."""

from __future__ import annotations

import argparse
import asyncio
import errno
import ipaddress
import math
from contextlib import AsyncExitStack, suppress

from ..demo import Demo, open_demo
from .failures import Failure, Interrupted, describe
from .running import run as run_coroutine

__all__ = ["run"]

_PORT = 8766


def run(chosen: argparse.Namespace) -> int:
    """Serve the demo.

    Args:
        chosen: the options of the command line.

    Raises:
        Failure: it cannot listen.
    """
    # A signal is how it is meant to end.
    with suppress(Interrupted, KeyboardInterrupt):
        run_coroutine(_serve(chosen))
    return 0


async def _serve(chosen: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        demo = await _open(stack, chosen)
        print(f"{demo.url}  (Ctrl-C ends it)", flush=True)
        if not _is_loopback(demo):
            print("Other machines can reach it, without a password and without TLS.", flush=True)
        if chosen.seconds < math.inf:
            await asyncio.sleep(chosen.seconds)
        else:
            await asyncio.Event().wait()


async def _open(stack: AsyncExitStack, chosen: argparse.Namespace) -> Demo:
    port = _PORT if chosen.port is None else chosen.port
    try:
        try:
            return await stack.enter_async_context(open_demo(chosen.host, port, chosen.origin or ()))
        except OSError as error:
            # A port that nobody asked for is no reason to fail.
            if chosen.port is not None or error.errno != errno.EADDRINUSE:
                raise
            return await stack.enter_async_context(open_demo(chosen.host, 0, chosen.origin or ()))
    except OSError as error:
        raise Failure(f"cannot listen on {chosen.host} port {port}: {describe(error)}") from None
    except ValueError as error:
        chosen.fail(str(error))
        raise


def _is_loopback(demo: Demo) -> bool:
    return all(ipaddress.ip_address(each.getsockname()[0]).is_loopback for each in demo.server.sockets)
