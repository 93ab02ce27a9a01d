"""``python -m fastframe``: a demonstration, an echo server, a client to talk with, what is installed."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from . import build_info

if TYPE_CHECKING:
    import asyncio

    from .aio.stream import WebSocketStream

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m fastframe", description="The WebSocket engine of Python.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    demo = commands.add_parser(
        "demo",
        help="a self-checking tour of the codec, with speeds",
        description="Masks, frames, cuts, decodes and validates, checks every result and prints it, with the"
        " speeds beside a plain copy of the same bytes. Exits with 1 if a check fails.",
    )
    demo.add_argument(
        "--seed", type=int, metavar="N", help="repeat the random part of a run (default: a new seed, printed)"
    )
    commands.add_parser(
        "info",
        help="which half of the codec runs, on what: paste it into a bug report",
        description="Prints the half of the codec in use, its kernels and versions. FASTFRAME_EXTENSION=0"
        " chooses the pure half, FASTFRAME_EXTENSION=1 insists on the compiled one.",
    )
    serve = commands.add_parser(
        "serve",
        help="an echo server",
        description="Sends every message back to who sent it, until it is interrupted.",
    )
    serve.add_argument("--host", default="localhost", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8765, help="port (default: %(default)s; 0: any free one)")
    serve.add_argument(
        "--max-size", type=int, default=16 * 1024 * 1024, metavar="BYTES", help="largest message taken"
    )
    connect = commands.add_parser(
        "connect",
        help="talk with a server: lines are sent, messages printed",
        description="Sends each line of standard input as a text message and prints what comes. The end of"
        " input closes the connection.",
    )
    connect.add_argument("uri", metavar="URI", help="such as ws://localhost:8765/")
    connect.add_argument("--origin", help="value of the header Origin")
    connect.add_argument(
        "--subprotocol", action="append", metavar="NAME", help="offer this subprotocol (may be repeated)"
    )
    return parser


def _run(coroutine: object) -> int:
    import asyncio

    try:
        asyncio.run(coroutine)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        print(f"fastframe: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(host: str, port: int, max_size: int) -> None:
    from .aio.server import serve

    async def echo(stream: WebSocketStream) -> None:
        async for message in stream:
            await stream.send(message)

    async with serve(echo, host, port, max_size=max_size) as server:
        for socket in server.sockets:
            address, number = socket.getsockname()[:2]
            name = f"[{address}]" if ":" in address else address
            print(f"echoing on ws://{name}:{number}/", flush=True)
        await server.serve_forever()


async def _connect(uri: str, origin: str | None, subprotocols: list[str] | None) -> None:
    import asyncio

    from .aio.client import connect
    from .errors import FastframeError

    try:
        async with connect(uri, origin=origin, subprotocols=subprotocols, max_size=None) as stream:
            chosen = f", subprotocol {stream.subprotocol}" if stream.subprotocol else ""
            print(f"connected to {uri}{chosen}", file=sys.stderr, flush=True)
            sending = asyncio.create_task(_send_lines(stream))
            async for message in stream:
                print(
                    message if isinstance(message, str) else f"({len(message)} bytes) {message[:64].hex(' ')}"
                )
            sending.cancel()
            print(f"closed: {stream.close_code} {stream.close_reason}".rstrip(), file=sys.stderr)
    except FastframeError as error:
        raise ValueError(str(error)) from None


async def _send_lines(stream: WebSocketStream) -> None:
    import asyncio

    lines: asyncio.Queue[str | None] = asyncio.Queue()
    threading.Thread(target=_read_lines, args=(asyncio.get_running_loop(), lines), daemon=True).start()
    while (line := await lines.get()) is not None:
        await stream.send(line)
    await stream.close()


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str | None]) -> None:
    """Read standard input in a thread of its own: not every system can wait for it in the loop."""
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
    loop.call_soon_threadsafe(lines.put_nowait, None)


def _print_info() -> int:
    for name, value in build_info().items():
        print(f"{name:8} {', '.join(value) if isinstance(value, tuple) else value}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words of the command line; None for those of this process.

    Returns:
        The exit status: 0, or 1 if something went wrong.

    Raises:
        SystemExit: with 2 for a command line that makes no sense.
    """
    chosen = _parser().parse_args(arguments)
    if chosen.command == "info":
        return _print_info()
    if chosen.command == "serve":
        return _run(_serve(chosen.host, chosen.port, chosen.max_size))
    if chosen.command == "connect":
        return _run(_connect(chosen.uri, chosen.origin, chosen.subprotocol))
    from .tour import run

    return run(chosen.seed)
