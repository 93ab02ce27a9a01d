"""examples/upload: files of any size in bounded memory, and what must not come in."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import platform
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from aio_support import eventually
from examples_support import Program, bounded, finished, program, server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

MIB = 1024 * 1024
# KiB. PyPy itself takes more, and its collector comes later; the file is larger all the same.
MORE_THAN_CPYTHON = 0 if platform.python_implementation() == "CPython" else 80 * 1024


def written(path: Path, size: int) -> str:
    """A file of random bytes; its SHA-256."""
    block = random.Random(size).randbytes(min(size, MIB))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for number in range(-(-size // MIB)):
            part = (number.to_bytes(8, "big") + block)[: min(MIB, size - number * MIB)]
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


async def uploaded(running: Program, path: Path, digest: str) -> int:
    """Have a file uploaded by the client; KiB that the client had in memory at once."""
    peak = 0
    async with program("upload/client.py", path, "--uri", running.uri) as client:
        line = asyncio.create_task(client.line())
        while not line.done():
            peak = client.peak_memory()
            await asyncio.sleep(0.02)
        assert await line == f"{digest} {path.name}"
        assert await client.process.wait() == 0, client.log
    return peak


@pytest.mark.parametrize("size", [0, 1, 300_000, 5 * MIB + 1])
def test_a_file_arrives_as_it_was(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "arrived"
    folder.mkdir()
    source = tmp_path / "some-file.bin"
    digest = written(source, size)

    @bounded
    async def test() -> None:
        async with server("upload/server.py", "--folder", folder) as running:
            assert await finished("upload/client.py", source, "--uri", running.uri) == (
                0,
                f"{digest} some-file.bin\n",
                "",
            )
        assert [path.name for path in folder.iterdir()] == ["some-file.bin"]
        assert (folder / "some-file.bin").read_bytes() == source.read_bytes()

    test()


@bounded
async def test_pages_may_upload_only_if_their_site_is_named(tmp_path: Path) -> None:
    (tmp_path / "setup.py").write_text("ours")

    async def upload(origin: str) -> Any:
        uri = f"{running.uri}setup.py?size=6"
        async with connect(uri, origin=cast("Any", origin), compression=None, proxy=None) as ws:
            await ws.send(b"theirs")
            return json.loads(await ws.recv())["received"]

    async with server(
        "upload/server.py", "--folder", tmp_path, "--origin", "https://ours.example"
    ) as running:
        for stranger in ("https://evil.example", "null"):
            with pytest.raises(InvalidStatus) as refused:
                await upload(stranger)
            assert refused.value.response.status_code == 403
        assert (tmp_path / "setup.py").read_text() == "ours"
        assert await upload("https://ours.example") == 6
    assert (tmp_path / "setup.py").read_text() == "theirs"


@pytest.mark.resident_memory
@pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
def test_a_file_larger_than_memory_would_do(tmp_path: Path) -> None:
    source, folder, size = tmp_path / "large.bin", tmp_path / "arrived", 256 * MIB
    source.touch()
    os.truncate(source, size)
    folder.mkdir()
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))

    @bounded
    async def test() -> None:
        async with server("upload/server.py", "--folder", folder) as running:
            client = await uploaded(running, source, digest.hexdigest())
            # Of what was freed, the C library gives the system back when it sees fit.
            assert running.peak_memory() < 110 * 1024 + MORE_THAN_CPYTHON
            assert client < 60 * 1024 + MORE_THAN_CPYTHON

    test()
    assert (folder / "large.bin").stat().st_size == size


@bounded
async def test_progress_is_told(tmp_path: Path) -> None:
    async with (
        server("upload/server.py", "--folder", tmp_path) as running,
        connect(f"{running.uri}x?size={4 * MIB}", compression=None, proxy=None) as ws,
    ):
        fragments = [bytes(MIB)] * 4
        await ws.send(iter(fragments))
        told = [json.loads(message) async for message in ws]
    received = [each["received"] for each in told]
    assert received == sorted(received) and received[-1] == 4 * MIB and len(received) >= 3
    assert told[-1]["sha256"] == hashlib.sha256(bytes(4 * MIB)).hexdigest()


@bounded
async def test_what_is_not_as_announced_leaves_nothing_behind(tmp_path: Path) -> None:
    async def code(query: str, *fragments: str | bytes) -> int | None:
        async with connect(f"{running.uri}{query}", compression=None, proxy=None) as ws:
            await ws.send(iter(fragments))
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            closed: int | None = ws.close_code
            return closed

    (tmp_path / "folder").mkdir()
    async with server("upload/server.py", "--folder", tmp_path, "--max-size", "100") as running:
        for query, status in (
            ("folder?size=1", 409),
            ("x?size=101", 413),
            ("x", 400),
            ("x?size=-1", 400),
            ("?size=1", 400),
            (".hidden?size=1", 400),
            ("../x?size=1", 400),
            ("a/b?size=1", 400),
            ("/[?size=1", 400),
            ("%2e%2e%2fx?size=1", 400),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"{running.uri}{query}", proxy=None)
            assert refused.value.response.status_code == status, query
        assert await code("x?size=4", b"12", b"345") == 1009
        assert await code("x?size=4", b"12", b"3") == 1008
        assert await code("x?size=4", "1", "234") == 1003
        # One that breaks off in the middle.
        ws = await connect(f"{running.uri}x?size=100", compression=None, proxy=None)

        def half() -> Iterator[bytes]:
            yield b"12"
            ws.transport.abort()
            yield b"34"

        with pytest.raises(ConnectionClosed):
            await ws.send(half())
        await eventually(lambda: os.listdir(tmp_path) == ["folder"], "nothing is left of it")
