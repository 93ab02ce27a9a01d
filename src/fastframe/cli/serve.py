"""``serve``: an echo server."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..aio.server import serve
from .failures import Failure, Interrupted, describe
from .running import run as run_coroutine

if TYPE_CHECKING:
    from ..aio.server import Server
    from ..aio.stream import WebSocketStream

__all__ = ["run"]


def run(chosen: argparse.Namespace) -> int:
    """Serve until the process is interrupted or terminated.

    Args:
        chosen: the options of the command line.

    Raises:
        Failure: it cannot listen.
    """
    if chosen.tls_key and not chosen.tls_cert:
        chosen.fail("--tls-key needs --tls-cert")
    if chosen.unix is not None:
        _check_unix(chosen.unix)
    runner, options = _runner(uvloop=chosen.uvloop), _options(chosen)
    # A signal is how it is meant to end.
    with suppress(Interrupted, KeyboardInterrupt):
        run_coroutine(_serve(chosen, options), runner)
    return 0


def _runner(*, uvloop: bool) -> Any:
    if not uvloop:
        return asyncio.run
    try:
        import uvloop as uvloop_module
    except ImportError:
        raise Failure("uvloop is not installed: pip install 'fastframe[uvloop]'") from None
    return uvloop_module.run


def _check_unix(path: str) -> None:
    if not hasattr(socket, "AF_UNIX"):
        raise Failure("this system has no Unix sockets")
    # asyncio takes the path over from a server that still listens there.
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pass  # it is busy, but it is there
        except OSError:
            return
    raise Failure(f"cannot listen on {path}: {os.strerror(errno.EADDRINUSE).lower()}")


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    origins = chosen.origin and [None if origin == "none" else origin for origin in chosen.origin]
    options: dict[str, Any] = {
        "origins": origins,
        "subprotocols": chosen.subprotocol,
        "compression": "deflate" if chosen.compression else None,
        "max_size": chosen.max_size,
        "ssl": _tls(chosen) if chosen.tls_cert else None,
    }
    if chosen.unix is not None:
        return options | {"path": chosen.unix}
    return options | {"host": chosen.host.strip("[]"), "port": chosen.port}


def _tls(chosen: argparse.Namespace) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    names = " and ".join(filter(None, (chosen.tls_cert, chosen.tls_key)))
    try:
        context.load_cert_chain(chosen.tls_cert, chosen.tls_key)
    except ssl.SSLError:
        # What OpenSSL says of it nobody understands.
        raise Failure(f"cannot use {names}: no certificate in PEM, or no key that belongs to it") from None
    except OSError as error:
        raise Failure(f"cannot use {names}: {describe(error)}") from None
    return context


async def _echo(stream: WebSocketStream) -> None:
    async for message in stream:
        await stream.send(message)


async def _serve(chosen: argparse.Namespace, options: dict[str, Any]) -> None:
    where = chosen.unix or f"{chosen.host} port {chosen.port}"
    try:
        server = await serve(_echo, **options)
    except ValueError as error:
        chosen.fail(str(error))
    except OSError as error:
        raise Failure(f"cannot listen on {where}: {describe(error)}") from None
    try:
        _announce(server, chosen)
        await asyncio.Event().wait()
    finally:
        # Before, as closing takes its time: the next server may have put its own there by then.
        if chosen.unix is not None:
            with suppress(FileNotFoundError):
                os.unlink(chosen.unix)
        await server.close()


def _announce(server: Server, chosen: argparse.Namespace) -> None:
    scheme = "wss" if chosen.tls_cert else "ws"
    if chosen.unix is not None:
        print(f"echoing {scheme}:// on {chosen.unix}", flush=True)
        return
    for listening in server.sockets:
        address, port = listening.getsockname()[:2]
        name = f"[{address}]" if ":" in address else address
        print(f"echoing on {scheme}://{name}:{port}/", flush=True)
