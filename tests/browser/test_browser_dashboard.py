"""examples/dashboard in Chromium, its server in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aio_support import status_of
from browser.chromium import COMMANDS, Chromium
from browser.visiting import ask, visit
from examples_support import bounded, free_port, server
from peers.conversation import page as plain_page
from peers.machine import need

from fastframe import WebSocket, serve

SERVER = "dashboard/server.py"

# Points in the colour of a line: between two rows of points it covers three quarters of each.
INK = """
const ink = (id) => {
  const canvas = document.getElementById(id);
  const colour = getComputedStyle(canvas).color.match(/\\d+/g).map(Number);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] > 120 && colour.every((part, j) => Math.abs(data[i + j] - part) < 24)) count += 1;
  return count;
};
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    need(*COMMANDS)
    browser = Chromium()
    yield browser
    browser.end()


@pytest.mark.parametrize("width", [1280, 390])
@bounded
async def test_plots_move_by_server_push(chromium: Chromium, width: int) -> None:
    async with server(SERVER) as running, visit(chromium, running.uri, width) as opened:
        told: dict[str, Any] = await ask(
            opened,
            INK
            + """
            await until(() => text("state") === "Live" && text("viewers-now") === "1");
            const before = ink("viewers");
            // The line grows to the left, a sample at a time, though the page asks for nothing.
            await until(() => ink("viewers") > before + 10);
            const seen = new Set();
            await until(() => seen.add(text("delay-now")).size >= 3);
            const root = document.documentElement;
            return { wrongs, cpu: text("cpu-now"), drawn: ["cpu", "delay", "viewers"].map(ink),
              wide: root.scrollWidth > root.clientWidth };
            """,
        )
    assert told["wrongs"] == []
    assert told["cpu"].endswith(" %") and float(told["cpu"].split()[0]) >= 0
    assert all(count > 10 for count in told["drawn"])
    assert not told["wide"]


@bounded
async def test_a_later_tab_gets_what_was_before_at_once(chromium: Chromium) -> None:
    async with server(SERVER) as running, visit(chromium, running.uri) as first:
        await ask(first, INK + "await until(() => ink('viewers') > 30);")
        async with visit(chromium, running.uri) as second:
            drawn = await ask(second, INK + "return until(() => text('viewers-now') && ink('delay'));")
            assert drawn > 15
            await ask(second, "await until(() => text('viewers-now') === '2');")
        await ask(first, "await until(() => text('viewers-now') === '1');")


@bounded
async def test_the_page_comes_back_after_the_server_does(chromium: Chromium) -> None:
    port = free_port()
    async with server(SERVER, port=port) as running, visit(chromium, running.uri) as opened:
        await ask(opened, "await until(() => text('state') === 'Live');")
        await running.kill()
        await ask(opened, "await until(() => text('state').startsWith('Lost'));")
        async with server(SERVER, port=port):
            await ask(opened, "await until(() => text('state') === 'Live');")
            # A server that knows nothing of before has a short line.
            await ask(opened, INK + "await until(() => text('viewers-now') === '1' && ink('viewers') > 2);")


@bounded
async def test_no_other_page_and_no_other_name_gets_it(chromium: Chromium) -> None:
    async with (
        server(SERVER) as running,
        serve(WebSocket, "127.0.0.1", 0, process_request=plain_page) as stranger,
    ):
        attempt = f"""new Promise(done => {{
          const socket = new WebSocket({json.dumps(running.uri.replace("http", "ws", 1) + "live")});
          socket.onopen = () => done("open");
          socket.onclose = ({{ code }}) => done(code);
        }})"""
        async with chromium.page(f"http://127.0.0.1:{stranger.sockets[0].getsockname()[1]}/") as opened:
            assert await opened.evaluate(attempt) == 1006
        async with chromium.page(running.uri) as friend:
            assert await friend.evaluate(attempt) == "open"
        name = f"127.0.0.1:{running.port}"
        assert await status_of(running.port, "/", name) == 200
        assert await status_of(running.port, "/", "evil.example") == 421
        assert await status_of(running.port, "/../server.py", name) == 404
