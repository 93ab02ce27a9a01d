"""``connect``: talk with a server."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..aio.client import connect
from ..errors import ConnectionClosed, ConnectionClosedOK, HandshakeError, RejectedByServer
from ..frames import CloseCode
from ..http_headers import SECRET_FIELDS
from ..uri import parse_uri
from .commands import HELP, Command, CommandError, End, Send, SendFile, SendPing, ShowHelp, parse_line
from .consoles import Console, open_console
from .failures import Failure, complain, describe
from .frames import frames_shown
from .running import run as run_coroutine
from .showing import quoted

if TYPE_CHECKING:
    from ..aio.stream import WebSocketStream
    from ..handshake import Request, Response

__all__ = ["run"]

_GRACE = 0.1
"""Seconds in which the next line has to come that nobody takes any more."""


def run(chosen: argparse.Namespace) -> int:
    """Connect, and talk until one side closes.

    Args:
        chosen: the options of the command line.

    Returns:
        0 if the connection was closed cleanly, else 1.

    Raises:
        Failure: there was no connection, or the input was no good.
    """
    if chosen.insecure and not parse_uri(chosen.uri).secure:
        chosen.fail("--insecure is for wss:// URIs")
    if chosen.raw and sys.stdout.isatty():
        chosen.fail("--raw is for pipes and files: a message could steer the terminal")
    return run_coroutine(_talk(chosen))


async def _talk(chosen: argparse.Namespace) -> int:
    with open_console(raw=chosen.raw) as console:
        async with frames_shown(console, wanted=chosen.frames) as shown:
            stream = await _open(chosen, console)
            try:
                await shown()
                await _introduce(stream, console, chosen)
                conversation = Conversation(stream, console, chosen)
                closed = await conversation.run()
            finally:
                # An interrupt, if it is open still.
                await stream.close(CloseCode.GOING_AWAY)
            await shown()
            return conversation.report(closed)


async def _open(chosen: argparse.Namespace, console: Console) -> WebSocketStream:
    try:
        stream: WebSocketStream = await connect(chosen.uri, **_options(chosen))
    except (HandshakeError, OSError) as error:
        if chosen.verbose and isinstance(error, RejectedByServer):
            await console.note(_shown_response(error.response))
        raise Failure(f"cannot connect to {_shown_uri(chosen.uri)}: {_reason(error, chosen)}") from None
    except ImportError as error:  # a proxy may need an extra
        raise Failure(str(error)) from None
    except ValueError as error:
        # Whatever of the options nobody could know to be wrong before.
        chosen.fail(str(error))
    return stream


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {
        "origin": chosen.origin,
        "subprotocols": chosen.subprotocol,
        "extra_headers": chosen.header or (),
        "compression": "deflate" if chosen.compression else None,
        "max_size": chosen.max_size,
        "open_timeout": chosen.timeout,
        "close_timeout": chosen.timeout,
        "path": chosen.unix,
    }
    if chosen.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        options["ssl"] = context
    if chosen.proxy or chosen.no_proxy:
        options["proxy"] = chosen.proxy
    return options


def _reason(error: Exception, chosen: argparse.Namespace) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"no answer within {chosen.timeout:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{describe(error)} (--insecure accepts any)"
    return describe(error)


async def _introduce(stream: WebSocketStream, console: Console, chosen: argparse.Namespace) -> None:
    response = stream.response
    assert response is not None, "connected"
    if chosen.verbose:
        if stream.request is not None:
            await console.note(_shown_request(stream.request))
        await console.note(_shown_response(response))
    agreed = [f"subprotocol {stream.subprotocol}"] if stream.subprotocol else []
    agreed += ["permessage-deflate"] if "Sec-WebSocket-Extensions" in response.headers else []
    with_what = f", {', '.join(agreed)}" if agreed else ""
    await console.note(quoted(f"connected to {_shown_uri(chosen.uri)}{with_what}"))
    if console.interactive:
        await console.note(f"/help lists the commands, Ctrl-D closes{console.hint}")


def _shown_uri(uri: str) -> str:
    """The URI without user and password."""
    parsed = parse_uri(uri)
    return f"{'wss' if parsed.secure else 'ws'}://{parsed.host_header}{parsed.resource_name}"


def _shown_request(request: Request) -> str:
    return _shown_head(f"GET {request.path} HTTP/1.1", request.headers.items())


def _shown_response(response: Response) -> str:
    shown = _shown_head(f"HTTP/1.1 {response.status} {response.reason}", response.headers.items())
    for line in response.body.decode(errors="replace").splitlines():
        shown += f"\n  {quoted(line)}"
    return shown


def _shown_head(first: str, fields: Any) -> str:
    lines = [first.rstrip()]
    for name, value in fields:
        lines.append(f"{name}: {'(not shown)' if name.lower() in SECRET_FIELDS else value}")
    return "\n".join(f"  {quoted(line)}" for line in lines)


class Conversation:
    """An open connection and a console: lines go out, messages come in, until one side closes.

    After the end of the input come the closing handshake and, before it, the
    answers: see `_settle`.
    """

    def __init__(self, stream: WebSocketStream, console: Console, chosen: argparse.Namespace) -> None:
        self._stream = stream
        self._console = console
        self._wait = 0.0 if console.interactive else chosen.wait
        self._obeys = console.interactive or chosen.commands
        self._heard = asyncio.Event()
        self._asked_for: int | None = None
        self._unsent = False
        self._pongs: set[asyncio.Task[None]] = set()

    async def run(self) -> ConnectionClosed:
        """Talk.

        Returns:
            How it ended.

        Raises:
            Failure: a line of the input is no good, and nobody is there to type another.
        """
        receiving = asyncio.create_task(self._receive())
        sending = asyncio.create_task(self._send_lines())
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            closed = await receiving
            if not self._console.interactive:
                # A line that is there already shows that the server left too early.
                await asyncio.wait({sending}, timeout=_GRACE)
        finally:
            tasks = [receiving, sending, *self._pongs]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return closed

    async def _receive(self) -> ConnectionClosed:
        try:
            while True:
                messages = await self._stream.recv_many()
                self._heard.set()
                await self._console.show(messages)
        except ConnectionClosed as closed:
            return closed

    async def _send_lines(self) -> None:
        """Send all there is, then close."""
        while True:
            try:
                line = await self._console.read()
                if line is None:
                    break
                # It stays so if the connection ends meanwhile.
                self._unsent = True
                if line or not self._console.interactive:
                    await self._obey(parse_line(line) if self._obeys else Send(line))
                self._unsent = False
            except ConnectionClosed:
                return
            except ValueError as error:
                self._unsent = False
                if not self._console.interactive:
                    raise Failure(str(error)) from None
                await self._console.note(quoted(str(error)), "wrong")
            if self._asked_for is not None:
                return
        try:
            await self._settle()
        except ConnectionClosed:
            return
        await self._close(CloseCode.NORMAL_CLOSURE, "")

    async def _obey(self, command: Command) -> None:
        match command:
            case Send(message):
                await self._stream.send(message)
            case SendFile(path, as_text):
                await self._stream.send(await asyncio.to_thread(_contents, path, as_text))
            case SendPing(payload):
                waiter = await self._stream.ping(payload)
                task = asyncio.create_task(self._report_pong(waiter))
                self._pongs.add(task)
                task.add_done_callback(self._pongs.discard)
            case End(close_code, close_reason):
                await self._close(close_code, close_reason)
            case ShowHelp():
                await self._console.note(HELP)

    async def _report_pong(self, waiter: asyncio.Future[float]) -> None:
        try:
            seconds = await waiter
        except ConnectionClosed:
            return
        await self._console.note(f"pong after {seconds * 1000:.2f} ms")

    async def _settle(self) -> None:
        """Wait for the answers to what was sent.

        Nothing in the protocol says which message is the last answer, and many
        servers drop what they have not sent when our close frame comes. So the
        server is given the time to read everything, which the pong of a ping
        behind it all tells, and then to be silent for a while.
        """
        if not self._wait:
            return
        await (await self._stream.ping())
        while True:
            self._heard.clear()
            try:
                await asyncio.wait_for(self._heard.wait(), self._wait)
            except asyncio.TimeoutError:
                return

    async def _close(self, close_code: int, close_reason: str) -> None:
        self._asked_for = close_code
        await self._stream.close(close_code, close_reason)

    def report(self, closed: ConnectionClosed) -> int:
        """Say how it ended; return the exit status."""
        received = closed.received
        answered = received is not None and received.close_code == self._asked_for
        clean = isinstance(closed, ConnectionClosedOK) or answered
        if received is None or not (clean or closed.received_first):
            complain(f"the connection failed: {closed}")
        else:
            who = " by the server" if closed.received_first else ""
            print(
                f"closed{who}: {_named(received.close_code)}{quoted(_also(received.close_reason))}",
                file=sys.stderr,
            )
        if self._unsent:
            complain("the connection was closed before all of the input was sent")
        return 0 if clean and not self._unsent else 1


def _contents(path: Path, as_text: bool) -> str | bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {describe(error)}") from None
    if not as_text:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8: send it with /file {path}") from None


def _named(close_code: int | None) -> str:
    if close_code is None:
        return "without a code"
    try:
        return f"{close_code} {CloseCode(close_code).name.lower().replace('_', ' ')}"
    except ValueError:
        return str(close_code)


def _also(close_reason: str) -> str:
    return f", {close_reason}" if close_reason else ""
