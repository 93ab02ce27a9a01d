"""What tornado's stream listens for while a handler is busy: nothing that came is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from importlib import import_module
from typing import Any

import pytest
from drop_ins.adapters.driver import frame

from fastframe import adapters

SECONDS = 20
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
OnMessage = Callable[[Any, str], Awaitable[None] | None]

# When the adapter goes in: None is never; "late" is once the connection is there.
DEPTHS = pytest.mark.parametrize("depth", [None, "frame", "connection", "frame late"])


def message(text: str) -> bytes:
    return frame(1, text.encode(), masked=True)


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    return frame(opcode, payload, masked=True, fin=fin)


def installed(depth: str | None, *, late: bool) -> AbstractContextManager[object]:
    wanted, _, is_late = (depth or "").partition(" ")
    if not wanted or bool(is_late) is not late:
        return nullcontext()
    return adapters.install("tornado", depth=wanted, strict=True)


def run(depth: str | None, conversation: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(conversation, SECONDS)

    with installed(depth, late=False):
        asyncio.run(limited())


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Answered by the loop that reads frames: it goes on, with whatever is installed, and waits for more.
    writer.write(masked(9, b"ping"))
    assert await reader.readexactly(6) == b"\x8a\x04ping"


@asynccontextmanager
async def connected(
    depth: str | None, on_message: OnMessage, **options: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection with a server of one handler."""

    class Handler(import_module("tornado.websocket").WebSocketHandler):  # type: ignore[misc]
        pass

    Handler.on_message = on_message
    sockets = import_module("tornado.netutil").bind_sockets(0, "127.0.0.1")
    application = import_module("tornado.web").Application([("/", Handler)])
    server = import_module("tornado.httpserver").HTTPServer(application, **options)
    server.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    await ping(reader, writer)
    with installed(depth, late=True):
        await ping(reader, writer)
        yield reader, writer
    writer.close()
    server.stop()


MESSAGES = [f"message {number}" for number in range(10)]
BURST = b"".join(map(message, MESSAGES))
BURSTS = {
    "one message": (message(MESSAGES[0]), b""),
    "messages": (BURST, b""),
    "a ping first": (masked(9, b"ping") + BURST, b""),
    "fragments first": (
        masked(1, b"mess", fin=False) + masked(0, b"age 0") + BURST[len(message(MESSAGES[0])) :],
        b"",
    ),
    "cut in the second message": (BURST[:20], BURST[20:]),
}
"""What comes in one read, and what comes while the first message of that is handled."""


@pytest.mark.parametrize("burst", BURSTS)
@DEPTHS
def test_all_that_came_before_the_end_is_handled_and_answered(depth: str | None, burst: str) -> None:
    is_busy, has_ended = asyncio.Event(), asyncio.Event()

    async def on_message(handler: Any, text: str) -> None:
        is_busy.set()
        await has_ended.wait()
        await handler.write_message(text)

    async def conversation() -> None:
        async with connected(depth, on_message) as (reader, writer):
            at_once, later = BURSTS[burst]
            writer.write(at_once)
            await is_busy.wait()
            writer.write(later)
            writer.write_eof()
            await asyncio.sleep(0.05)
            has_ended.set()
            answers = await reader.read()
        count = 1 if burst == "one message" else len(MESSAGES)
        expected = b"".join(frame(1, text.encode(), masked=False) for text in MESSAGES[:count])
        assert answers.removeprefix(b"\x8a\x04ping") == expected

    run(depth, conversation())


async def ended(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        await reader.read()


@pytest.mark.parametrize("awaits", [False, True])
@DEPTHS
def test_no_more_is_read_than_the_buffer_may_hold(depth: str | None, awaits: bool) -> None:
    sizes: list[int] = []
    is_all = asyncio.Event()

    def on_message(_: Any, text: str) -> Awaitable[None] | None:
        sizes.append(len(text))
        if len(sizes) == 200:
            is_all.set()
        return asyncio.sleep(0.0001) if awaits else None

    async def conversation() -> None:
        async with connected(depth, on_message, max_buffer_size=16_000) as (reader, writer):
            writer.write(message("x" * 1000) * 200)
            ways_out = [asyncio.ensure_future(is_all.wait()), asyncio.ensure_future(ended(reader))]
            await asyncio.wait(ways_out, return_when=asyncio.FIRST_COMPLETED)
        assert sizes == [1000] * 200

    run(depth, conversation())
