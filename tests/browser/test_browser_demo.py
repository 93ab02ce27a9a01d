"""The live demo in Chromium: what a visitor does, and what nobody may do."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.chromium import COMMANDS, Chromium
from browser.visiting import ask, visit
from peers.conversation import page as plain_page
from peers.conversation import run
from peers.machine import need

from fastframe import WebSocket, serve
from fastframe.demo import Demo, open_demo
from fastframe.demo.pictures import painted


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    need(*COMMANDS)
    browser = Chromium()
    yield browser
    browser.end()


OPEN = "await until(() => text('state') === 'Open');"


def in_demo(talk: Any) -> None:
    async def talking() -> None:
        async with open_demo() as demo:
            await talk(demo)

    run("asyncio", talking())


@pytest.mark.parametrize("width", [1440, 390, 320])
def test_it_opens_exchanges_and_shows_its_handshake(chromium: Chromium, width: int) -> None:
    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url, width, 844) as opened:
            told = await ask(
                opened,
                OPEN
                + """
                await until(() => Number(text("rtt")) > 0 && Number(text("rate-out")) > 5);
                await until(() => document.querySelectorAll("#feed .entry").length >= 5);
                await until(() => document.querySelector("#feed img")?.naturalWidth === 320);
                await until(() => text("cost-verdict").includes("times as much"));
                await until(() => document.querySelector("#anatomy .bits"));
                const root = document.documentElement;
                return { wrongs, accept: text("accept"), chosen: text("subprotocols"),
                  extensions: text("extensions"), request: text("request"),
                  wide: root.scrollWidth > root.clientWidth,
                  backend: text("server"), frames: text("frame-list") };
                """,
            )
        assert told["wrongs"] == []
        assert not told["wide"]
        assert "✓ is what the server answered" in told["accept"]
        assert "fastframe-demo.v1chosen" in told["chosen"]
        assert told["extensions"].startswith("permessage-deflate")
        assert "Sec-WebSocket-Protocol: fastframe-demo.v2, fastframe-demo.v1, echo" in told["request"]
        assert "FIN RSV1 MASK" in told["frames"]
        assert "Backendcompiled" in told["backend"]

    in_demo(talk)


def test_two_tabs_see_each_other(chromium: Chromium) -> None:
    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as first, visit(chromium, demo.url) as second:
            await ask(second, OPEN + "await until(() => text('here').startsWith('With you: '));")
            await ask(first, OPEN + "await until(() => text('here').startsWith('With you: '));")
            post = """document.getElementById("text").value = "<b>from the second</b>";
                document.getElementById("composer").requestSubmit();"""
            await ask(second, post)
            seen = """
                const entry = await until(() => [...document.querySelectorAll("#feed .text")]
                  .find(({ textContent }) => textContent === "<b>from the second</b>"));
                return entry.children.length;"""
            assert await ask(first, seen) == 0
            assert await ask(second, seen) == 0

    in_demo(talk)


@pytest.mark.parametrize(
    ("who", "code", "received", "sent"),
    [("page", 1000, "first", "then"), ("page", 4000, "first", "then"), ("server", 1013, "then", "first")],
)
def test_it_closes_with_the_chosen_code_and_both_sides_say_so(
    chromium: Chromium, who: str, code: int, received: str, sent: str
) -> None:
    said = "received" if who == "page" else "sent"

    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as opened:
            told = await ask(
                opened,
                OPEN
                + f"""
                await until(() => text("request"));
                const set = (id, value) => {{
                  const field = document.getElementById(id);
                  field.value = value;
                  field.dispatchEvent(new Event("change"));
                }};
                set("close-who", "{who}"); set("close-code", "{code}"); set("close-reason", "grün");
                document.getElementById("close-form").requestSubmit();
                await until(() => text("state").startsWith("Closed") && /^\\d+$/.test(text("sent-code")));
                return ["page-code", "page-clean", "received-code", "received-order",
                        "sent-code", "sent-order", "{said}-reason", "state"].map(text);
                """,
            )
        assert told == [
            str(code), "clean", str(code), received, str(code), sent, "grün", f"Closed with {code}",
        ]  # fmt: skip

    in_demo(talk)


def test_it_comes_back_after_the_server_does(chromium: Chromium) -> None:
    async def talk() -> None:
        async with contextlib.AsyncExitStack() as stack:
            async with open_demo() as demo:
                opened = await stack.enter_async_context(visit(chromium, demo.url))
                await ask(opened, OPEN)
                port = demo.server.sockets[0].getsockname()[1]
            told = await ask(
                opened, "await until(() => text('state').startsWith('Lost')); return text('page-code');"
            )
            assert told == "1001"
            async with open_demo("127.0.0.1", port):
                await ask(opened, OPEN + "await until(() => Number(text('rtt')) > 0);")

    run("asyncio", talk())


def test_a_picture_of_16_mib_goes_there_and_back(chromium: Chromium) -> None:
    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as opened:
            size = 16 * 1024 * 1024
            told = await ask(
                opened,
                OPEN
                + f"""
                await until(() => document.querySelector("#feed img")?.naturalWidth === 320);
                const canvas = Object.assign(document.createElement("canvas"), {{ width: 8, height: 8 }});
                canvas.getContext("2d").fillRect(0, 0, 8, 8);
                const png = await new Promise(done => canvas.toBlob(done, "image/png"));
                // What follows the end of a PNG is not looked at.
                const noise = new Uint8Array({size} - png.size);
                for (let i = 0; i < noise.length; i += 65536)
                  crypto.getRandomValues(noise.subarray(i, i + 65536));
                const file = new File([png, noise], "large.png", {{ type: "image/png" }});
                const transfer = new DataTransfer();
                transfer.items.add(file);
                document.dispatchEvent(new DragEvent("drop", {{ dataTransfer: transfer, cancelable: true }}));
                await until(() => document.querySelector("#feed img")?.naturalWidth === 8);
                return [document.querySelector("#feed .entry").textContent, wrongs];
                """,
            )
        assert "PNG, binary, 16.0 MiB" in told[0]
        assert told[1] == []

    in_demo(talk)


def test_a_picture_can_be_pasted_and_picked(chromium: Chromium, tmp_path: Path) -> None:
    def png(size: int) -> bytes:
        return painted(size, size)

    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as opened, visit(chromium, demo.url) as other:
            ready = OPEN + "await until(() => document.querySelector('#feed img')?.naturalWidth === 320);"
            await ask(other, ready)
            await ask(
                opened,
                ready
                + f"""
                const coded = atob("{base64.b64encode(png(24)).decode()}");
                const bytes = Uint8Array.from(coded, (byte) => byte.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], "pasted.png", {{ type: "image/png" }}));
                document.dispatchEvent(new ClipboardEvent("paste",
                  {{ clipboardData: transfer, bubbles: true, cancelable: true }}));
                """,
            )
            shown = "await until(() => document.querySelector('#feed img')?.naturalWidth === %d);"
            for page in (opened, other):
                await ask(page, shown % 24)
            # As the file chooser does it.
            file = tmp_path / "picked.png"
            file.write_bytes(png(40))
            root = (await opened.call("DOM.getDocument"))["root"]["nodeId"]
            found = await opened.call("DOM.querySelector", nodeId=root, selector="#picture")
            await opened.call("DOM.setFileInputFiles", files=[str(file)], nodeId=found["nodeId"])
            for page in (opened, other):
                assert await ask(page, shown % 40 + "return wrongs;") == []

    in_demo(talk)


def test_a_page_of_another_origin_gets_no_socket(chromium: Chromium) -> None:
    async def talk(demo: Demo) -> None:
        async with serve(WebSocket, "127.0.0.1", 0, process_request=plain_page) as stranger:
            port = stranger.sockets[0].getsockname()[1]
            for path in ("live", "frames", "echo"):
                uri = json.dumps(demo.url.replace("http", "ws", 1) + path)
                attempt = f"""new Promise(done => {{
                  const socket = new WebSocket({uri});
                  socket.onopen = () => done("open");
                  socket.onclose = ({{ code }}) => done(code);
                }})"""
                async with chromium.page(f"http://127.0.0.1:{port}/") as opened:
                    assert await opened.evaluate(attempt) == 1006
                async with chromium.page(demo.url) as friend:
                    assert await friend.evaluate(attempt) == "open"

    in_demo(talk)


def test_a_post_of_nothing_but_depth_is_shown_as_it_came(chromium: Chromium) -> None:
    posts = {
        "json": "[" * 4000 + "0" + ",0" * 3000 + "]" * 4000,
        "xml": "<a>" * 2000 + "x" + "</a>" * 2000,
    }

    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as opened:
            for kind, text in posts.items():
                told = await ask(
                    opened,
                    OPEN
                    + f"""
                    document.querySelector("[value={kind}]").checked = true;
                    const before = document.querySelectorAll("#feed pre").length;
                    document.getElementById("text").value = {json.dumps(text)};
                    document.getElementById("composer").requestSubmit();
                    await until(() => document.querySelectorAll("#feed pre").length > before);
                    const shown = [...document.querySelectorAll("#feed pre")];
                    return Math.max(...shown.map(pre => pre.textContent.length));
                    """,
                )
                assert told <= max(map(len, posts.values())), kind

    in_demo(talk)


def test_html_of_a_visitor_runs_nothing(chromium: Chromium) -> None:
    async def talk(demo: Demo) -> None:
        async with visit(chromium, demo.url) as opened:
            told = await ask(
                opened,
                OPEN
                + """
                document.querySelector("[value=html]").checked = true;
                document.getElementById("text").value =
                  "<script>parent.hacked = top.hacked = 1</script><img src=x onerror='top.hacked = 1'>";
                document.getElementById("composer").requestSubmit();
                const frame = await until(() => document.querySelector("#feed iframe"));
                await new Promise(done => setTimeout(done, 500));
                return [frame.getAttribute("sandbox"), window.hacked ?? null];
                """,
            )
        assert told == ["", None]

    in_demo(talk)
