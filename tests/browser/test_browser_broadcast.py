"""One message to many sockets of a browser, among messages to each of them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from browser.chromium import COMMANDS, Chromium
from peers.conversation import MAX_SIZE, page, run
from peers.machine import need

from fastframe import PerMessageDeflate, WebSocketStream, broadcast, prepare, serve

SOCKETS = 6
MESSAGES = 120

# Opens sockets and tells, when all are closed, what each has received.
SCRIPT = """
Promise.all(Array.from({ length: SOCKETS }, () => new Promise(done => {
  const socket = new WebSocket(URI), messages = [];
  socket.onmessage = ({ data }) => messages.push(data);
  socket.onclose = ({ code }) => done({ code, extensions: socket.extensions, messages });
})))
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    need(*COMMANDS)
    browser = Chromium()
    yield browser
    browser.end()


def related(rng: random.Random) -> str:
    """Messages that have much in common with each other: who forgot one in between would notice."""
    parts = [f'"field {number}": "Größe {number * 7919}", ' for number in rng.sample(range(60), 25)]
    return f'{{{"".join(parts)}"price": {rng.random()}}}'


@pytest.mark.parametrize(
    ("wishes", "loop"),
    [
        (PerMessageDeflate(), "asyncio"),
        (PerMessageDeflate(server_max_window_bits=15, memory_level=8, level=9), "uvloop"),
        (PerMessageDeflate(server_max_window_bits=9, threshold=0), "asyncio"),
        (PerMessageDeflate(server_no_context_takeover=True), "uvloop"),
        (None, "asyncio"),
    ],
    ids=["default", "largest-window", "small-window", "no-context", "plain"],
)
def test_unicast_and_broadcast_in_any_order_arrive(
    chromium: Chromium, wishes: PerMessageDeflate | None, loop: str
) -> None:
    rng = random.Random(1)
    expected: dict[Any, list[str]] = {}
    all_open: asyncio.Future[None]

    async def handler(stream: WebSocketStream) -> None:
        expected[stream] = []
        if len(expected) == SOCKETS:
            all_open.set_result(None)
        await stream.wait_closed()

    async def send_all() -> int:
        resets = 0
        again = [(prepare(text), text) for text in ("", "x" * 100_000, related(rng))]
        for number in range(MESSAGES):
            deflates = [stream.connection.deflate for stream in expected]
            before = sum(deflate is not None and deflate.has_context for deflate in deflates)
            step = rng.choice(["one", "all", "again"])
            text = related(rng)
            if step == "one":
                for stream in rng.sample(list(expected), 3):
                    await stream.send(text)
                    expected[stream].append(text)
                continue
            message, text = rng.choice(again) if step == "again" else (prepare(text), text)
            assert broadcast(list(expected), message) == []
            for sent in expected.values():
                sent.append(text)
            resets += before - sum(deflate is not None and deflate.has_context for deflate in deflates)
            if number % 10 == 0:
                await asyncio.sleep(0)
        for stream in list(expected):
            await stream.close()
        return resets

    async def talk() -> tuple[list[Any], int]:
        nonlocal all_open
        all_open = asyncio.get_running_loop().create_future()
        async with serve(
            handler, "127.0.0.1", 0, process_request=page, max_size=MAX_SIZE, compression=wishes
        ) as server:
            address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            script = SCRIPT.replace("SOCKETS", str(SOCKETS)).replace("URI", json.dumps(f"ws://{address}/"))
            async with chromium.page(f"http://{address}/") as opened:
                telling = asyncio.ensure_future(opened.evaluate(script))
                await all_open
                resets = await send_all()
                return await telling, resets

    told, resets = run(loop, talk())
    assert [socket["code"] for socket in told] == [1000] * SOCKETS
    assert all(("permessage-deflate" in socket["extensions"]) is (wishes is not None) for socket in told)
    # The browser counts its sockets as it likes.
    assert sorted(socket["messages"] for socket in told) == sorted(expected.values())
    keeps_context = wishes is not None and not wishes.server_no_context_takeover
    assert resets > 20 if keeps_context else resets == 0
