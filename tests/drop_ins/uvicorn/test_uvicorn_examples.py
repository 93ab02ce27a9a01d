"""examples/fastapi_app and examples/channels_app, run by the uvicorn command as their pages say."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio_support import LOOPS
from drop_ins.uvicorn.serving import OURS
from raw_peer import REQUEST, RawPeer
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

EXAMPLES = Path(__file__).parents[3] / "examples"


@asynccontextmanager
async def example(name: str, loop: str) -> AsyncIterator[str]:
    """Run an example; its rooms' address. At the end its clients have been told 1012."""
    page = (EXAMPLES / name / "README.md").read_text()
    command = f"uvicorn app:app --ws {OURS}"
    assert f"$ {command}\n" in page
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", *command.split(), "--port", "0", "--loop", loop],
        cwd=EXAMPLES / name,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    log = ""
    try:
        while not (found := re.search(r"running on http://(127\.0\.0\.1:\d+)", log)):
            line = await asyncio.wait_for(process.stderr.readline(), 20)
            assert line, log
            log += line.decode()
        yield f"ws://{found[1]}/rooms"
        process.send_signal(signal.SIGTERM)
        log += (await asyncio.wait_for(process.stderr.read(), 20)).decode()
        assert await process.wait() == -signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "ERROR" not in log and "Traceback" not in log, log


async def talk_to_fastapi(loop: str) -> None:
    async with example("fastapi_app", loop) as rooms:
        with pytest.raises(InvalidStatus) as denied:
            await connect(f"{rooms}/garden")
        assert denied.value.response.status_code == 401
        assert denied.value.response.body == b"who are you?"
        async with connect(f"{rooms}/garden?name=ada") as ada:
            async with connect(f"{rooms}/garden?name=alan") as alan:
                await ada.send("héllo" * 10_000)
                said = "ada: " + "héllo" * 10_000
                assert [await ada.recv(), await alan.recv()] == [said, said]
                await alan.close(4001)
            assert await ada.recv() == "alan has left (4001)"


async def flood_fastapi(loop: str) -> None:
    """Somebody who reads nothing makes nobody else wait."""
    async with example("fastapi_app", loop) as rooms:
        address, _, _ = rooms.removeprefix("ws://").partition("/")
        host, port = address.split(":")
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer = RawPeer(sock)
            await peer.loop.sock_connect(sock, (host, int(port)))
            await peer.send(REQUEST.replace(b"GET / ", b"GET /rooms/garden?name=carl "))
            assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
            async with connect(f"{rooms}/garden?name=ada") as ada:
                for number in range(500):
                    await ada.send(f"{number} {'x' * 20_000}")
                    assert (await ada.recv()).startswith(f"ada: {number} ")
                await ada.send(b"bytes")
                with pytest.raises(ConnectionClosed):
                    await ada.recv()
                assert ada.close_code == 1003


async def talk_to_channels(loop: str) -> None:
    async with example("channels_app", loop) as rooms:
        with pytest.raises(InvalidStatus) as denied:
            await connect(f"{rooms}/locked")
        assert denied.value.response.status_code == 403
        async with connect(f"{rooms}/garden", subprotocols=["other", "chat"]) as ada:
            assert ada.subprotocol == "chat"
            async with connect(f"{rooms}/garden") as alan:
                said = {"hello": ["wörld"] * 10_000}
                await ada.send(json.dumps(said))
                assert [json.loads(await ada.recv()), json.loads(await alan.recv())] == [said, said]
                await alan.close(4001)
            assert json.loads(await ada.recv()) == {"left": 4001}


async def bother_channels(loop: str) -> None:
    """What is no room, or no JSON, is told so; nothing of it is in the log."""
    async with example("channels_app", loop) as rooms:
        for nowhere in (
            f"{rooms}/a%20b",
            f"{rooms}/{'x' * 100}",
            f"{rooms}/",
            f"{rooms}/garden%0A",
            f"{rooms}s",
        ):
            with pytest.raises(InvalidStatus) as denied:
                await connect(nowhere)
            assert denied.value.response.status_code == 403, nowhere
        for message in ("{", "", b"{}", "[" * 100_000):
            async with connect(f"{rooms}/{'x' * 99}") as carl:
                await carl.send(message)
                with pytest.raises(ConnectionClosed):
                    await carl.recv()
                assert carl.close_code == 1003, message[:9]


async def be_there_at_the_end(name: str, query: str) -> None:
    async with example(name, "asyncio") as rooms:
        client = await connect(f"{rooms}/garden{query}")
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code == 1012


@pytest.mark.parametrize("loop", sorted(LOOPS))
@pytest.mark.parametrize("talk", [talk_to_fastapi, flood_fastapi, talk_to_channels, bother_channels])
def test_example_works_as_its_page_says(talk: Callable[[str], Coroutine[Any, Any, None]], loop: str) -> None:
    asyncio.run(asyncio.wait_for(talk(loop), 60))


@pytest.mark.parametrize(("name", "query"), [("fastapi_app", "?name=ada"), ("channels_app", "")])
def test_clients_are_told_1012_when_the_command_ends(name: str, query: str) -> None:
    asyncio.run(asyncio.wait_for(be_there_at_the_end(name, query), 60))
