"""A browser as people use it: a page and its WebSocket from one port, the whole interface of the page's side.

tests/peers has conversations with Chromium beside those with libraries; here is what only a browser has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from browser.chromium import COMMANDS, Chromium, Page
from peers.conversation import MAX_SIZE, page, run
from peers.machine import need
from peers.messages import LARGE, check_same, message_of

from fastframe import WebSocket, WebSocketStream, connect, serve

# `opened` waits for the socket to open, `next()` for a message, `ended` for what the close event says.
SCRIPT = """
const socket = new WebSocket(uri, subprotocols);
const inbox = [], waiting = [];
const errors = [];
socket.onmessage = ({ data }) => waiting.length ? waiting.shift()(data) : inbox.push(data);
socket.onerror = () => errors.push("error");
const next = () => new Promise(done => inbox.length ? done(inbox.shift()) : waiting.push(done));
const opened = new Promise(done => { socket.onopen = done; });
const ended = new Promise(done => {
  socket.onclose = ({ code, reason, wasClean }) => done({ code, reason, wasClean, errors: errors.length });
});
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    need(*COMMANDS)
    browser = Chromium()
    yield browser
    browser.end()


class EchoSocket(WebSocket):
    def on_message(self, message: str | bytes) -> None:
        self.send(message)


async def echo(stream: WebSocketStream) -> None:
    async for message in stream:
        await stream.send(message)


@contextlib.asynccontextmanager
async def open_page(
    chromium: Chromium, handler: Any = echo, **options: Any
) -> AsyncIterator[tuple[Page, str]]:
    """Serve a page and the socket from one port; yields the page and the socket's URI."""
    defaults: dict[str, Any] = {"process_request": page, "max_size": MAX_SIZE, "subprotocols": ["superchat"]}
    async with serve(handler, "127.0.0.1", 0, **defaults | options) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with chromium.page(f"http://{address}/") as opened:
            yield opened, f"ws://{address}/"


async def evaluate(opened: Page, uri: str, body: str, subprotocols: Any = ()) -> Any:
    """What the body of an asynchronous JavaScript function returns; it has all of SCRIPT."""
    known = f"const uri = {json.dumps(uri)}, subprotocols = {json.dumps(subprotocols)};"
    return await opened.evaluate(f"(async () => {{ {known} {SCRIPT} {body} }})()")


LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
HANDLERS = pytest.mark.parametrize("handler", [echo, EchoSocket], ids=["coroutine", "callback"])


@LOOPS
@HANDLERS
def test_page_and_socket_come_from_one_port(chromium: Chromium, loop: str, handler: Any) -> None:
    async def talk() -> None:
        async with open_page(chromium, handler) as (opened, uri):
            told = await evaluate(
                opened,
                uri,
                """
                const before = [socket.readyState, socket.protocol];
                await opened;
                const open = [socket.readyState, socket.protocol, socket.extensions, document.title];
                socket.send("Grüße, 世界 🦊");
                const message = await next();
                socket.close(1000, "done");
                return { before, open, closing: socket.readyState, message, ended: await ended,
                         closed: socket.readyState };
                """,
                ["chat", "superchat"],
            )
        assert told.pop("open")[:2] == [1, "superchat"]
        assert told == {
            "before": [0, ""],
            "closing": 2,
            "message": "Grüße, 世界 🦊",
            "ended": {"code": 1000, "reason": "", "wasClean": True, "errors": 0},
            "closed": 3,
        }

    run(loop, talk())


@pytest.mark.parametrize("compression", ["deflate", None])
def test_permessage_deflate_is_agreed_on_where_we_want_it(
    chromium: Chromium, compression: str | None
) -> None:
    async def talk() -> None:
        async with open_page(chromium, compression=compression) as (opened, uri):
            told = await evaluate(
                opened,
                uri,
                """
                await opened;
                const message = "compressible ".repeat(10000);
                socket.send(message);
                return [socket.extensions, await next() === message];
                """,
            )
        assert told[0].startswith("permessage-deflate") if compression else told[0] == ""
        assert told[1]

    run("asyncio", talk())


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 20, LARGE])
@pytest.mark.parametrize("compression", ["deflate", None])
def test_text_array_buffer_and_blob_come_back(chromium: Chromium, size: int, compression: str | None) -> None:
    async def talk() -> None:
        async with open_page(chromium, compression=compression) as (opened, uri):
            told = await evaluate(
                opened,
                uri,
                f"""
                await opened;
                const bytes = new Uint8Array({size});
                for (let i = 0; i < {size}; i++) bytes[i] = (i * 31) ^ (i >> 8);
                const same = (buffer) => {{
                  const other = new Uint8Array(buffer);
                  let i = 0;
                  while (i < {size} && other[i] === bytes[i]) i++;
                  return other.length === {size} && i === {size};
                }};
                const text = "ж".repeat({size} / 2) + "x".repeat({size} % 2);
                socket.send(text);
                const textBack = await next() === text;
                socket.binaryType = "arraybuffer";
                socket.send(bytes);
                const arrayBack = await next();
                socket.binaryType = "blob";
                socket.send(new Blob([bytes]));
                const blobBack = await next();
                return [textBack, arrayBack instanceof ArrayBuffer && same(arrayBack),
                        blobBack instanceof Blob && same(await blobBack.arrayBuffer())];
                """,
            )
        assert told == [True, True, True]

    run("asyncio", talk())


@pytest.mark.parametrize("kind", ["binary", "emoji"])
@LOOPS
def test_what_the_server_pushes_arrives_in_order(chromium: Chromium, kind: str, loop: str) -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20, LARGE]
    pushed = [message_of(kind, size) for size in sizes]
    returned: list[str | bytes] = []

    async def push(stream: WebSocketStream) -> None:
        for message in pushed:
            await stream.send(message)
        returned.extend([message async for message in stream])

    async def talk() -> None:
        async with open_page(chromium, push) as (opened, uri):
            # All has to come before the first is sent back.
            ended = await evaluate(
                opened,
                uri,
                f"""
                socket.binaryType = "arraybuffer";
                const all = [];
                for (let i = 0; i < {len(sizes)}; i++) all.push(await next());
                all.forEach(message => socket.send(message));
                socket.close(1000);
                return await ended;
                """,
            )
        assert ended == {"code": 1000, "reason": "", "wasClean": True, "errors": 0}

    run(loop, talk())
    for back, message in zip(returned, pushed, strict=True):
        check_same(back, message)


@HANDLERS
def test_buffered_amount_of_the_page_goes_down_as_we_read(chromium: Chromium, handler: Any) -> None:
    async def talk() -> None:
        async with open_page(chromium, handler, compression=None) as (opened, uri):
            told = await evaluate(
                opened,
                uri,
                """
                await opened;
                socket.binaryType = "arraybuffer";
                const size = 1 << 20, count = 16;
                let sent = 0, most = 0, back = 0;
                // The pattern that every page uses: send while little is waiting.
                const pump = () => {
                  while (sent < count && socket.bufferedAmount < 4 * size) {
                    socket.send(new Uint8Array(size).fill(sent++));
                    most = Math.max(most, socket.bufferedAmount);
                  }
                  if (sent < count) setTimeout(pump, 1);
                };
                pump();
                for (; back < count; back++) {
                  const bytes = new Uint8Array(await next());
                  if (bytes.length !== size || bytes[0] !== back || bytes[size - 1] !== back) break;
                }
                return { back, most, left: socket.bufferedAmount };
                """,
            )
        assert told["back"] == 16
        assert told["left"] == 0
        assert (1 << 20) <= told["most"] < 5 << 20

    run("asyncio", talk())


CODES = [(1000, ""), (3001, "grün 🌱"), (4999, "r" * 123)]


@pytest.mark.parametrize(("code", "reason"), CODES)
@LOOPS
def test_close_of_the_page_reaches_us(chromium: Chromium, code: int, reason: str, loop: str) -> None:
    seen: list[Any] = []

    class Listener(WebSocket):
        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            seen.append((close_code, close_reason, was_clean))

    async def talk() -> None:
        async with open_page(chromium, Listener) as (opened, uri):
            told = await evaluate(
                opened,
                uri,
                f"await opened; socket.close({code}, {json.dumps(reason)}); return await ended;",
            )
        assert told == {"code": code, "reason": "", "wasClean": True, "errors": 0}

    run(loop, talk())
    assert seen == [(code, reason, True)]


@pytest.mark.parametrize(("code", "reason"), [*CODES, (1001, "restart"), (1012, ""), (1013, "later")])
def test_our_close_reaches_the_page(chromium: Chromium, code: int, reason: str) -> None:
    async def close(stream: WebSocketStream) -> None:
        await stream.send("last words")
        await stream.close(code, reason)

    async def talk() -> None:
        async with open_page(chromium, close) as (opened, uri):
            told = await evaluate(opened, uri, "return [await next(), await ended];")
        assert told == ["last words", {"code": code, "reason": reason, "wasClean": True, "errors": 0}]

    run("asyncio", talk())


def test_close_of_the_page_without_a_code_is_1005(chromium: Chromium) -> None:
    seen: list[Any] = []

    async def handler(stream: WebSocketStream) -> None:
        await stream.wait_closed()
        seen.append((stream.close_code, stream.close_reason))

    async def talk() -> None:
        async with open_page(chromium, handler) as (opened, uri):
            told = await evaluate(opened, uri, "await opened; socket.close(); return await ended;")
        assert told == {"code": 1005, "reason": "", "wasClean": True, "errors": 0}

    run("asyncio", talk())
    assert seen == [(1005, "")]


def test_a_page_that_goes_away_closes(chromium: Chromium) -> None:
    seen: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(stream: WebSocketStream) -> None:
        await stream.wait_closed()
        seen.put_nowait(stream.close_code)

    async def talk() -> None:
        async with open_page(chromium, handler) as (opened, uri):
            await evaluate(opened, uri, "window.kept = socket; await opened;")
            await opened.call("Page.navigate", url="about:blank")
            assert await asyncio.wait_for(seen.get(), 10) == 1001

    run("asyncio", talk())


def test_a_message_beyond_our_limit_is_answered_with_1009(chromium: Chromium) -> None:
    async def talk() -> None:
        async with open_page(chromium, max_size=1000) as (opened, uri):
            told = await evaluate(
                opened, uri, 'await opened; socket.send("x".repeat(1001)); return await ended;'
            )
        assert told["code"] == 1009
        assert told["wasClean"]

    run("asyncio", talk())


REFUSED = {"code": 1006, "reason": "", "wasClean": False, "errors": 1}


async def attempt(opened: Page, uri: str) -> Any:
    """How an attempt to connect ends: with the close event, or "open"."""
    return await evaluate(opened, uri, 'return await Promise.race([opened.then(() => "open"), ended]);')


def test_a_page_of_another_origin_is_refused(chromium: Chromium) -> None:
    async def talk() -> None:
        async with open_page(chromium) as (stranger, _), serve(echo, "127.0.0.1", 0) as open_to_all:
            anywhere = open_to_all.sockets[0].getsockname()[1]
            async with serve(echo, "127.0.0.1", 0, origins=["http://127.0.0.1:1"]) as strict:
                port = strict.sockets[0].getsockname()[1]
                assert await attempt(stranger, f"ws://127.0.0.1:{port}/") == REFUSED
            assert await attempt(stranger, f"ws://127.0.0.1:{anywhere}/") == "open"

    run("asyncio", talk())


def test_a_page_of_an_allowed_origin_is_accepted(chromium: Chromium) -> None:
    async def talk() -> None:
        async with open_page(chromium) as (friend, uri):
            origin = "http" + uri.removeprefix("ws").rstrip("/")
            async with serve(echo, "127.0.0.1", 0, origins=[origin]) as strict:
                port = strict.sockets[0].getsockname()[1]
                assert await attempt(friend, f"ws://127.0.0.1:{port}/") == "open"

    run("asyncio", talk())


def test_a_subprotocol_that_we_do_not_know_is_left_out(chromium: Chromium) -> None:
    """The page fails the connection: it asked for a subprotocol and got none (RFC 6455 section 4.1)."""

    async def talk() -> None:
        async with open_page(chromium, subprotocols=None) as (opened, uri):
            body = "return await Promise.race([opened.then(() => socket.protocol), ended]);"
            assert await evaluate(opened, uri, body, ["chat"]) == REFUSED

    run("asyncio", talk())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_our_client_talks_to_the_server_of_chromium(chromium: Chromium, loop: str) -> None:
    """DevTools is a WebSocket server; it compresses nothing and knows text only."""

    async def talk() -> None:
        async with connect(chromium.devtools, max_size=MAX_SIZE) as devtools:
            await devtools.send('{"id": 1, "method": "Browser.getVersion"}')
            assert "Chrom" in json.loads(await devtools.recv())["result"]["product"]
            long = "я" * (1 << 19)
            expression = json.dumps(long)
            await devtools.send(
                '{"id": 2, "method": "Target.createTarget", "params": {"url": "about:blank"}}'
            )
            target = json.loads(await devtools.recv())["result"]["targetId"]
            uri = chromium.devtools.rsplit("/", 2)[0] + f"/page/{target}"
            async with connect(uri, max_size=MAX_SIZE) as tab:
                parameters = {"expression": expression}
                await tab.send(json.dumps({"id": 3, "method": "Runtime.evaluate", "params": parameters}))
                check_same(json.loads(await tab.recv())["result"]["result"]["value"], long)

    run(loop, talk())
