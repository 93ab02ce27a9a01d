"""Our side of a conversation with a peer, in both forms, and the process that the peer lives in."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import queue
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from fastframe import ConnectionClosed, Headers, Request, Response, WebSocket, WebSocketStream, connect, serve

from .catalogue import Pair, Way

TESTS = Path(__file__).resolve().parent.parent
START_SECONDS = 30
TALK_SECONDS = 30
MAX_SIZE = 64 * 1024 * 1024

T = TypeVar("T")


class PeerProcess:
    """A process of run_peer.py, or peer_ws.js, on the other side of pipes."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.port = self.told(START_SECONDS)["port"]
        except BaseException:
            self.end()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def ask_to_connect(self, uri: str, subprotocols: list[str]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"uri": uri, "subprotocols": subprotocols}) + "\n")
        self._process.stdin.flush()

    def told(self, timeout: float) -> dict[str, Any]:
        """The next line of the process; whoever asks waits."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self._process.args!r} says nothing for {timeout} s") from None
        assert line, f"{self._process.args!r} has ended, with {self._process.wait()}"
        told: dict[str, Any] = json.loads(line)
        assert "failed" not in told, f"the peer failed: {told['failed']}"
        return told

    def end(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()


class PeerProcesses:
    """The peers that run, by their names."""

    def __init__(self, command_of: Callable[[str], list[str]]) -> None:
        self._command_of = command_of
        self._running: dict[str, PeerProcess] = {}

    def get(self, peer: str) -> PeerProcess:
        if peer not in self._running:
            self._running[peer] = PeerProcess(self._command_of(peer))
        return self._running[peer]

    def end(self, peer: str) -> None:
        self._running.pop(peer).end()

    def end_all(self) -> None:
        for peer in list(self._running):
            self.end(peer)


class Ending(NamedTuple):
    """How a conversation ended, as our side tells it."""

    code: int
    reason: str
    was_clean: bool


class End(Protocol):
    """Our end of a conversation, whatever its form."""

    socket: Any

    async def send(self, message: str | bytes) -> None: ...

    async def recv(self) -> str | bytes: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    async def ending(self) -> Ending: ...


class CoroutineEnd:
    def __init__(self, socket: WebSocketStream) -> None:
        self.socket = socket

    async def send(self, message: str | bytes) -> None:
        await self.socket.send(message)

    async def recv(self) -> str | bytes:
        return await self.socket.recv()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self.socket.close(code, reason)

    async def ending(self) -> Ending:
        try:
            message = await self.socket.recv()
        except ConnectionClosed as error:
            was_clean = error.received is not None and error.sent is not None
        else:
            raise AssertionError(f"another message: {message[:40]!r}")
        await self.socket.wait_closed()
        assert self.socket.close_code is not None and self.socket.close_reason is not None
        return Ending(self.socket.close_code, self.socket.close_reason, was_clean)


class CallbackSocket(WebSocket):
    def on_open(self) -> None:
        self.inbox: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def on_message(self, message: str | bytes) -> None:
        self.inbox.put_nowait(message)

    def on_error(self, error: Exception) -> None:
        self.ended.set_exception(error)

    def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(Ending(close_code, close_reason, was_clean))


class CallbackEnd:
    def __init__(self, socket: CallbackSocket) -> None:
        self.socket = socket

    async def send(self, message: str | bytes) -> None:
        self.socket.send(message)

    async def recv(self) -> str | bytes:
        next_message = asyncio.ensure_future(self.socket.inbox.get())
        first: list[asyncio.Future[Any]] = [next_message, self.socket.ended]
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not next_message.done():
                raise AssertionError(f"no message, but {self.socket.ended.result()}")
            return next_message.result()
        finally:
            next_message.cancel()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.socket.close(code, reason)
        await asyncio.shield(self.socket.ended)

    async def ending(self) -> Ending:
        ending = await asyncio.shield(self.socket.ended)
        assert self.socket.inbox.empty(), "another message"
        return ending


def end_of(socket: Any) -> End:
    return CallbackEnd(socket) if isinstance(socket, CallbackSocket) else CoroutineEnd(socket)


def page(_: Any, request: Request) -> Response | None:
    """One port serves a page and the socket: browsers connect from a page."""
    if request.is_upgrade:
        return None
    return Response(200, Headers([("Content-Type", "text/html")]), b"<!doctype html><title>fastframe</title>")


@contextlib.asynccontextmanager
async def _met(process: PeerProcess, pair: Pair, way: Way, subprotocols: list[str]) -> AsyncIterator[End]:
    callback = way.form == "callback"
    compression = "deflate" if pair.deflate else None
    if pair.role == "server":
        socket = await connect(
            f"ws://127.0.0.1:{process.port}/",
            CallbackSocket if callback else None,
            compression=compression,
            subprotocols=subprotocols or None,
            max_size=MAX_SIZE,
        )
        try:
            yield end_of(socket)
        except BaseException:
            socket.transport.abort()
            await asyncio.sleep(0)
            raise
        return
    accepted: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    class Accepted(CallbackSocket):
        def on_open(self) -> None:
            super().on_open()
            accepted.set_result(self)

    async def handler(stream: WebSocketStream) -> None:
        accepted.set_result(stream)
        await stream.wait_closed()

    async with serve(
        Accepted if callback else handler,
        "127.0.0.1",
        0,
        compression=compression,
        subprotocols=subprotocols[-1:] or None,
        process_request=page,
        max_size=MAX_SIZE,
    ) as server:
        process.ask_to_connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", subprotocols)
        yield end_of(await accepted)


class Met(NamedTuple):
    """A conversation that is over."""

    report: dict[str, Any]
    """What the peer says of it."""
    ending: Ending


Talk = Callable[[End], Awaitable[None]]


def converse(
    process: PeerProcess, pair: Pair, way: Way, talk: Talk, subprotocols: list[str] | None = None
) -> Met:
    """Connect, let `talk` do its part, close if it has not, and leave nothing behind."""

    async def conversation() -> Met:
        async with _met(process, pair, way, subprotocols or []) as end:
            agreed = end.socket.response.headers.get("Sec-WebSocket-Extensions") or ""
            assert ("permessage-deflate" in agreed) is pair.deflate, agreed
            await talk(end)
            await end.close()
            ending = await end.ending()
            report = await asyncio.to_thread(process.told, TALK_SECONDS)
        return Met(report, ending)

    return run(way.loop, conversation())


def run(loop_name: str, conversation: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new loop, for a bounded time; it must leave no task behind."""
    library: Any = importlib.import_module(loop_name)
    loop: asyncio.AbstractEventLoop = library.new_event_loop()
    try:
        result = loop.run_until_complete(asyncio.wait_for(conversation, TALK_SECONDS))
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left: {left}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            with contextlib.suppress(BaseException):
                loop.run_until_complete(task)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


class Meet:
    """Has a conversation with the peer of the test."""

    def __init__(self, processes: PeerProcesses, pair: Pair, way: Way) -> None:
        self._way = way
        self._processes = processes
        self._pair = pair

    def __call__(self, talk: Talk, subprotocols: list[str] | None = None) -> Met:
        process = self._processes.get(self._pair.peer)
        try:
            return converse(process, self._pair, self._way, talk, subprotocols)
        except BaseException:
            # What it still says would be taken for the next test's.
            self._processes.end(self._pair.peer)
            raise
