"""The names in docs/migration.md: ours, and those of websockets; tests/peers has the others."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import websockets
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.exceptions
import websockets.server
import websockets.sync.client
from migration import OURS, Library, columns, missing

WEBSOCKETS = Library(
    (SimpleNamespace(websockets=websockets), websockets, websockets.asyncio.server, websockets.exceptions),
    (websockets.asyncio.server.ServerConnection,),
)


@pytest.mark.parametrize("library", ["websockets", "aiohttp", "picows"])
def test_our_names_exist(library: str) -> None:
    _, ours = columns(library)
    assert missing([name for name in ours if name != "..."], OURS) == []


def test_names_of_websockets_exist() -> None:
    theirs, _ = columns("websockets")
    # The newest for Python 3.10 is 16.1.
    is_older = int(websockets.__version__.split(".")[0]) < 17
    assert missing(theirs, WEBSOCKETS) == (["connect(reconnect_delays=)"] if is_older else [])


@pytest.mark.parametrize(
    "name",
    [
        "servo",
        "ws.receive",
        "serve(maximum=)",
        "serve(max_size=4096)",
        "ConnectionClosed.recieved",
        "Opcode.TEX",
    ],
)
def test_what_does_not_exist_is_found_out(name: str) -> None:
    assert missing([name], OURS) == [name]
