"""``python -m fastframe serve`` echoes for everybody: the clients of the peers, each in its own words."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from browser.chromium import COMMANDS, Chromium
from cli_support import LIMIT, serving
from peers.machine import need
from peers.messages import message_of
from peers.node_modules import node_modules

MESSAGES: list[str | bytes] = [
    message_of(kind, size) for kind in ("binary", "cjk") for size in (0, 1, 125, 126, 65_536, 1_000_000)
]
MAX_SIZE = 16 * 1024 * 1024

# Prints how many of the messages came back as they were sent.
NODE = """
const { WebSocket } = require(process.argv[1] + "/node_modules/ws");
const blobs = [0, 1, 126, 1_000_000].map(size => Buffer.alloc(size, 7));
const sent = ["", "a", "äöü".repeat(30_000), ...blobs];
const socket = new WebSocket(process.argv[2]);
let same = 0, at = 0;
socket.on("open", () => sent.forEach(each => socket.send(each)));
socket.on("message", (data, isBinary) => {
  const each = sent[at++];
  same += typeof each === "string" ? !isBinary && data.toString() === each : isBinary && data.equals(each);
  if (at === sent.length) socket.close(1000);
});
socket.on("close", code => console.log(JSON.stringify([same, sent.length, code])));
"""

PAGE = """
new Promise((done, failed) => {
  const socket = new WebSocket(URI);
  const blobs = [0, 126, 1000000].map(size => new Uint8Array(size).fill(7));
  const sent = ["", "a", "äöü".repeat(30000), ...blobs];
  const same = (one, other) => typeof one === "string" ? one === other
    : one.length === other.byteLength && new Uint8Array(other).every((byte, index) => byte === one[index]);
  let count = 0, at = 0;
  socket.binaryType = "arraybuffer";
  socket.onopen = () => sent.forEach(each => socket.send(each));
  socket.onmessage = ({ data }) => {
    count += same(sent[at++], data);
    if (at === sent.length) socket.close(1000);
  };
  socket.onclose = ({ code, wasClean }) => done([count, sent.length, code, wasClean]);
})
"""


async def with_websockets(uri: str) -> list[str | bytes]:
    from websockets.asyncio.client import connect

    async with connect(uri, max_size=MAX_SIZE, proxy=None) as ws:
        return [await _answer(ws.send(message), ws.recv) for message in MESSAGES]


async def with_aiohttp(uri: str) -> list[str | bytes]:
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(uri, max_msg_size=MAX_SIZE, compress=15) as ws,
    ):
        received = []
        for message in MESSAGES:
            await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
            received.append((await ws.receive()).data)
        return received


async def with_tornado(uri: str) -> list[str | bytes]:
    from tornado.websocket import websocket_connect

    ws: Any = await websocket_connect(uri, max_message_size=MAX_SIZE, compression_options={})
    received = []
    for message in MESSAGES:
        await ws.write_message(message, binary=isinstance(message, bytes))
        received.append(await ws.read_message())
    ws.close()
    return received


async def with_picows(uri: str) -> list[str | bytes]:
    import picows

    answers: asyncio.Queue[str | bytes] = asyncio.Queue()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type is picows.WSMsgType.TEXT:
                answers.put_nowait(frame.get_payload_as_utf8_text())
            elif frame.msg_type is picows.WSMsgType.BINARY:
                answers.put_nowait(frame.get_payload_as_bytes())

    transport, _ = await picows.ws_connect(Listener, uri, max_frame_size=MAX_SIZE)
    received = []
    for message in MESSAGES:
        kind = picows.WSMsgType.TEXT if isinstance(message, str) else picows.WSMsgType.BINARY
        transport.send(kind, message.encode() if isinstance(message, str) else message)
        received.append(await answers.get())
    transport.disconnect()
    await transport.wait_disconnected()
    return received


async def with_websocket_client(uri: str) -> list[str | bytes]:
    import websocket

    def talk() -> list[str | bytes]:
        ws = websocket.create_connection(uri, timeout=LIMIT)
        try:
            received = []
            for message in MESSAGES:
                ws.send(message) if isinstance(message, str) else ws.send_binary(message)
                received.append(ws.recv())
            return received
        finally:
            ws.close()

    return await asyncio.to_thread(talk)


async def _answer(sending: Awaitable[None], receive: Callable[[], Awaitable[str | bytes]]) -> str | bytes:
    await sending
    return await receive()


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with serving("--max-size", str(MAX_SIZE)) as served:
        yield served


@pytest.mark.parametrize(
    "talk", [with_websockets, with_aiohttp, with_tornado, with_picows, with_websocket_client]
)
def test_serve_echoes_for_the_clients_of_other_libraries(
    uri: str, talk: Callable[[str], Awaitable[list[str | bytes]]]
) -> None:
    received = asyncio.run(asyncio.wait_for(talk(uri), LIMIT))
    assert received == MESSAGES


def test_serve_echoes_for_node(uri: str) -> None:
    need("npm")
    command = [need("node"), "-e", NODE, str(node_modules()), uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert json.loads(done.stdout or "null") == [7, 7, 1000], done.stderr


class _EmptyPage(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>a page</title>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def page_uri() -> Iterator[str]:
    """A page of somebody else's server. Loading it also waits for Chromium's network to be up, which a socket
    that is opened at once does not: it fails before anything has left."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EmptyPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_serve_echoes_for_chromium(uri: str, page_uri: str) -> None:
    need(*COMMANDS)
    chromium = Chromium()

    async def talk() -> Any:
        async with chromium.page(page_uri) as page:
            return await page.evaluate(PAGE.replace("URI", json.dumps(uri)))

    try:
        assert asyncio.run(asyncio.wait_for(talk(), LIMIT)) == [6, 6, 1000, True]
    finally:
        chromium.end()
