"""examples/market_data: the client leaves out no update, whatever the network and the server do."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import defaultdict
from typing import Any

import pytest
from aio_support import eventually
from examples_support import Program, bounded, finished, free_port, program, server
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

SERVER, CLIENT = "market_data/server.py", "market_data/client.py"
FAST = ("--interval", "0.01")


class Seen:
    """What a client has printed, and that it has left out nothing."""

    def __init__(self, client: Program) -> None:
        self.latest: dict[str, int] = {}
        self.snapshots: defaultdict[str, int] = defaultdict(int)
        self._client = client

    async def updates(self, count: int) -> None:
        """Take so many more; each symbol's numbers follow upon each other, but for snapshots."""
        for _ in range(count):
            symbol, number, price, kind = (await self._client.line()).split()
            assert float(price) > 0
            if kind == "snapshot":
                self.snapshots[symbol] += 1
            else:
                assert int(number) == self.latest[symbol] + 1
            self.latest[symbol] = int(number)


@bounded
async def test_lost_updates_are_found_and_asked_for() -> None:
    async with (
        server(SERVER, *FAST, "--lose", "7") as feed,
        program(CLIENT, "ACME", "INIT", "--uri", feed.uri) as client,
    ):
        seen = Seen(client)
        await seen.updates(400)
        assert client.log.count("gap from") >= 20
        assert seen.snapshots == {"ACME": 1, "INIT": 1}
        await client.kill()


@bounded
async def test_it_goes_on_after_the_server_was_killed_and_started_again() -> None:
    port = free_port()
    async with (
        server(SERVER, *FAST, port=port) as feed,
        program(CLIENT, "ACME", "HOOL", "--uri", feed.uri) as client,
    ):
        seen = Seen(client)
        await seen.updates(100)
        assert seen.latest.keys() == {"ACME", "HOOL"}
        await feed.kill()
        await client.logged("no connection, again in")
        # Another run: its numbers begin anew, and so does the client, with a snapshot of each.
        async with server(SERVER, *FAST, port=port):
            while dict(seen.snapshots) != {"ACME": 2, "HOOL": 2}:
                await seen.updates(1)
            await seen.updates(100)
            assert client.log.count("connected") == 2
            await client.kill()


@bounded
async def test_it_resumes_where_it_was_when_the_connection_alone_was_lost() -> None:
    """A relay between the two is cut: the server is the same, so what was missed is sent and no snapshot."""
    pipes: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async with server(SERVER, *FAST) as feed:

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", feed.port)
            writers.extend((writer, back))
            pipes.update(
                {asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(there, writer))}
            )

        relaying = await asyncio.start_server(relay, "127.0.0.1", 0)
        uri = f"ws://127.0.0.1:{relaying.sockets[0].getsockname()[1]}/"
        async with program(CLIENT, "UMBR", "--uri", uri) as client:
            seen = Seen(client)
            await seen.updates(50)
            for writer in writers:
                writer.transport.abort()
            await client.logged("connected", 2)
            await seen.updates(150)
            assert seen.snapshots == {"UMBR": 1}
            await client.kill()
        relaying.close()
        await asyncio.gather(*pipes, return_exceptions=True)


@bounded
async def test_a_server_that_accepts_and_hangs_up_is_not_hammered() -> None:
    came: list[float] = []

    async def hang_up(_: ServerConnection) -> None:
        came.append(time.monotonic())

    async with serve(hang_up, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        async with program(CLIENT, "ACME", "--uri", f"ws://127.0.0.1:{port}/") as client:
            await eventually(lambda: came, "it has come")
            await client.logged("no connection, again in", 4)
            await client.kill()
    waits = [later - earlier for earlier, later in itertools.pairwise(came)]
    # Half of each wait at least: 0.5 s, 1 s, 2 s.
    assert len(waits) == 3 and all(wait >= least for wait, least in zip(waits, (0.25, 0.5, 1), strict=True))


@bounded
async def test_waits_start_over_once_data_has_come() -> None:
    async def one_price(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"type": "hello", "run": "the same", "symbols": ["ACME"]}))
        latest = json.loads(await connection.recv())["subscribe"]["ACME"]
        update = {"type": "update", "symbol": "ACME", "number": latest + 1, "price": 1}
        await connection.send(json.dumps(update))

    async with serve(one_price, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        async with program(CLIENT, "ACME", "--uri", f"ws://127.0.0.1:{port}/") as client:
            await client.logged("again in", 4)
            waits = [float(wait) for wait in re.findall(r"again in ([\d.]+) s", client.log)]
            assert all(wait <= 0.5 for wait in waits), waits
            await client.kill()


@bounded
async def test_what_another_attempt_cannot_change_ends_it() -> None:
    async with server(SERVER) as feed:
        status, output, log = await finished(CLIENT, "NONE", "ACME", "--uri", feed.uri)
        assert (status, output) == (1, "") and "there is no NONE in this feed" in log.splitlines()[-1]

    async def refuse(connection: ServerConnection, _: Any) -> Any:
        return connection.respond(401, "no\n")

    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        status, _, log = await finished(CLIENT, "ACME", "--uri", f"ws://127.0.0.1:{port}/")
    assert status == 1 and "401" in log and "Traceback" not in log


@pytest.mark.parametrize(
    "said",
    [
        "no JSON",
        "[]",
        '{"subscribe": {"NONE": 0}}',
        '{"subscribe": 1}',
        '{"subscribe": {"ACME": 1e999}}',
        "[" * 100_000,
    ],
    ids=lambda said: said[:40],
)
@bounded
async def test_the_server_closes_on_nonsense(said: str) -> None:
    async with server(SERVER) as feed:
        async with connect(feed.uri, proxy=None) as ws:
            assert json.loads(await ws.recv())["type"] == "hello"
            await ws.send(said)
            with pytest.raises(ConnectionClosed):
                await ws.recv()
        assert ws.close_code == 1008
