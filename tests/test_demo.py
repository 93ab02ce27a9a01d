"""The live demo without a browser: who gets the page and its sockets, and what a visitor may send."""

from __future__ import annotations

import json
import logging
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aio_support import every_loop, status_of
from cli_support import command, complaint, line_with, output, running

from fastframe import ConnectionClosed, RejectedByServer, Role, connect
from fastframe.aio.frame_log import LOGGERS
from fastframe.demo import Demo, open_demo
from fastframe.demo.limits import MAX_POST, MAX_SOCKETS, Allowance
from fastframe.demo.pictures import kind_of, painted
from fastframe.demo.site import origins_of

EXAMPLES = Path(__file__).parents[1] / "examples"
STATIC = resources.files("fastframe.demo").joinpath("static")


@asynccontextmanager
async def visitor(demo: Demo, path: str = "live", **options: Any) -> AsyncIterator[Any]:
    uri = demo.url.replace("http", "ws", 1) + path
    defaults: dict[str, Any] = {"origin": demo.url.rstrip("/"), "max_size": 1 << 25}
    async with connect(uri, **defaults | options) as ws:
        yield ws


async def told(ws: Any, kind: str) -> Any:
    """The next message of this type."""
    async for message in ws:
        if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
            return found
    raise AssertionError(f"no {kind}")


@every_loop
async def test_a_stranger_is_refused() -> None:
    async with open_demo() as demo:
        for options, status in (
            ({"origin": "http://evil.example"}, 403),
            ({"origin": None}, 403),
        ):
            with pytest.raises(RejectedByServer) as caught:
                async with visitor(demo, **options):
                    pass
            assert caught.value.response.status == status
        with pytest.raises(RejectedByServer) as caught:
            async with visitor(demo, "other"):
                pass
        assert caught.value.response.status == 404


@every_loop
async def test_a_request_by_another_name_is_misdirected() -> None:
    """DNS rebinding: the name of somebody else's site, which leads here."""
    async with open_demo() as demo:
        port = urlsplit(demo.url).port
        assert port is not None
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {demo.url.rstrip('/')}\r\n"
        )
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1",
            f"127.0.0.1.evil.example:{port}",
        ):
            assert await status_of(port, "/live", host) == 421, host
            assert await status_of(port, "/live", host, upgrade) == 421, host
        for host in (f"127.0.0.1:{port}", f"LOCALHOST:{port}"):
            assert await status_of(port, "/live", host) == 404, host
            assert await status_of(port, "/live", host, upgrade) == 101, host


@every_loop
async def test_further_origins_may_be_written_in_any_case() -> None:
    async with open_demo(origins=["https://Demo.Example"]) as demo:
        port = urlsplit(demo.url).port
        assert port is not None
        assert await status_of(port, "/live", "demo.example") == 404
        async with visitor(demo, origin="https://demo.example"):
            pass


@every_loop
async def test_no_more_sockets_than_there_is_room_for() -> None:
    async with open_demo() as demo:
        uri, origin = demo.url.replace("http", "ws", 1) + "echo", demo.url.rstrip("/")
        held = [await connect(uri, origin=origin) for _ in range(MAX_SOCKETS)]
        with pytest.raises(RejectedByServer) as caught:
            await connect(uri, origin=origin)
        assert caught.value.response.status == 503
        for ws in held:
            await ws.close()
        await (await connect(uri, origin=origin)).close()


@every_loop
async def test_nonsense_is_refused_and_the_conversation_goes_on() -> None:
    nonsense: list[str | bytes] = [
        "no JSON", "[" * 5000, "[]", "{}", '{"type": "update", "n": -1}',
        '{"type": "update", "n": 1, "x": NaN, "y": 0}', '{"type": "update", "n": true, "x": 0, "y": 0}',
        '{"type": "post", "format": "svg", "text": ""}',
        json.dumps({"type": "post", "format": "text", "text": "x" * (MAX_POST + 1)}),
        f'{{"type": "update", "n": 1, "x": Infinity, "y": {"1" * 400}}}',
        '{"type": "post", "format": "text", "text": "half of an emoji: \\ud83d"}',
        '{"type": "close", "code": 1005, "reason": ""}', b"<svg/>", b"",
    ]  # fmt: skip
    async with open_demo() as demo, visitor(demo) as ws:
        for message in nonsense:
            await ws.send(message)
            assert (await told(ws, "refused"))["why"]
        await ws.send(f'{{"type": "update", "n": 6, "x": {"1" * 400}, "y": 0.5}}')
        assert (await told(ws, "echo"))["n"] == 6
        await ws.send('{"type": "update", "n": 7, "x": 2, "y": 0.5}')
        assert (await told(ws, "echo"))["n"] == 7
        assert (await told(ws, "room"))["visitors"][0]["at"] == [1.0, 0.5]


@every_loop
async def test_frames_are_shown_to_whoever_has_the_token_alone() -> None:
    async with open_demo() as demo, visitor(demo, subprotocols=["fastframe-demo.v1"]) as ws:
        hello = await told(ws, "hello")
        async with visitor(demo, "frames?token=guessed") as guesser:
            with pytest.raises(ConnectionClosed):
                await guesser.recv()
            assert guesser.close_code == 1008
        async with visitor(demo, f"frames?token={hello['token']}") as watcher:
            assert (await told(watcher, "handshake"))["chosen"] == "fastframe-demo.v1"
            await ws.send('{"type": "close", "code": 4321, "reason": "enough"}')
            # What the room has posted since comes first: left in the queue, it keeps the close frame out.
            with suppress(ConnectionClosed):
                while True:
                    await ws.recv()
            seen = []
            while True:
                message = json.loads(await watcher.recv())
                if message["type"] == "closed":
                    break
                seen += message["frames"]
            assert message["sent"] == {"code": 4321, "reason": "enough"}
            assert message["received"]["code"] == 4321
            # The close frame as it went out: its header, and its payload's code.
            closes = [frame for frame in seen if frame["header"].startswith("88")]
            assert closes[0]["way"] == "out" and closes[0]["payload"].startswith("10e1")


@every_loop
async def test_pictures_are_not_compressed_again() -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage().partition(" ")[2])

    handler, logger = Lines(), LOGGERS[Role.CLIENT]
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        async with open_demo() as demo, visitor(demo) as ws:
            assert ws.extensions.startswith("permessage-deflate")
            # What follows the end of a PNG is not looked at, and compresses well.
            picture = painted() + bytes(200_000)
            await ws.send(picture)
            async for message in ws:
                if message == picture:
                    break
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    received = [line for line in lines if line.startswith("< BINARY")]
    assert f"< BINARY fin, {len(picture)} bytes" in [line.partition(":")[0] for line in received]
    assert not any("compressed" in line for line in received)
    # Texts are.
    assert any(line.startswith("< TEXT fin rsv1") for line in lines)


def test_who_sends_many_has_to_wait() -> None:
    allowance = Allowance(2, 0.05)
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    time.sleep(0.06)
    assert allowance.take()


def test_origins_are_those_of_the_address() -> None:
    assert origins_of("127.0.0.1", "127.0.0.1", 81) == ["http://127.0.0.1:81", "http://localhost:81"]
    assert origins_of("::1", "::1", 80) == ["http://[::1]", "http://localhost"]
    assert origins_of("192.0.2.1", "192.0.2.1", 8000) == ["http://192.0.2.1:8000"]
    with pytest.raises(ValueError, match="--origin"):
        origins_of("0.0.0.0", "0.0.0.0", 80)


def test_pictures_are_known_by_their_bytes() -> None:
    assert kind_of(painted()) == "image/png"
    assert kind_of(b"RIFF\0\0\0\0WEBPVP8 ") == "image/webp"
    assert kind_of(b"\0\0\0\x20ftypavif") == "image/avif"
    assert kind_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>") is None


# WCAG 2.2: 1.4.3 for what is read, 1.4.11 for what shows that something is a control or a plot.
READ, SHOWN = 4.5, 3.0
PAIRS = {
    "ink": {"paper": READ, "raised": READ, "sunk": READ, "tint": READ},
    "soft": {"paper": READ, "raised": READ, "sunk": READ, "tint": READ},
    "accent": {"paper": READ, "raised": READ, "sunk": READ, "tint": READ},
    "on-accent": {"accent": READ},
    "edge": {"paper": SHOWN, "raised": SHOWN, "sunk": SHOWN},
}
DASHBOARD = {"ink": {"paper": READ}, "soft": {"paper": READ}, "line": {"paper": SHOWN}}
# Lines between things that are told apart without them.
DECORATION = {"rule"}


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("sheet", "pairs"),
    [(STATIC / "style.css", PAIRS), (EXAMPLES / "dashboard" / "style.css", DASHBOARD)],
    ids=["demo", "dashboard"],
)
def test_colours_have_the_contrast_that_reading_needs(
    sheet: Any, pairs: dict[str, dict[str, float]], theme: int
) -> None:
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", sheet.read_text("utf-8"))
    colours = {name: both[theme] for name, *both in found}
    surfaces = {surface for each in pairs.values() for surface in each}
    assert colours.keys() == pairs.keys() | surfaces | DECORATION
    for name, grounds in pairs.items():
        for ground, least in grounds.items():
            assert contrast(colours[name], colours[ground]) >= least, (name, ground)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    # The least grey that passes on white, as the standard's techniques have it.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_colours_are_named_in_one_place() -> None:
    text = (STATIC / "style.css").read_text("utf-8")
    _, _, rules = text.partition("}")
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?=[ ;,)])|\brgba?\(|\bhsla?\(|\boklch\(", rules)


def test_the_page_needs_nothing_from_elsewhere_and_makes_no_markup_of_text() -> None:
    for file in STATIC.iterdir():
        text = file.read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/)", text), file.name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text
        )
        assert not re.search(r"<[^>]+ (style|on[a-z]+)=", text) or file.name == "messages.js"


def test_it_prints_its_url_and_ends_by_itself() -> None:
    finished = command("demo", "--port", "0", "--seconds", "0.2")
    assert (finished.returncode, finished.stderr) == (0, b"")
    assert re.match(rb"http://127\.0\.0\.1:\d+/ ", finished.stdout)


def test_an_interrupt_ends_it() -> None:
    with running("demo", "--port", "0") as process:
        line_with(output(process), "http://")
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_port_that_is_taken_is_one_line_if_it_was_asked_for() -> None:
    with running("demo", "--port", "0") as process:
        port = line_with(output(process), "http://").split("/")[2].split(":")[1]
        assert "address already in use" in complaint(command("demo", "--port", port), 1)
