"""The names of aiohttp and picows in docs/migration.md exist in the releases that the peers run with."""

from __future__ import annotations

from types import SimpleNamespace

import aiohttp
import picows
from aiohttp import web
from migration import Library, columns, missing


def test_names_of_aiohttp_exist() -> None:
    connections = (web.WebSocketResponse, aiohttp.ClientWebSocketResponse)
    library = Library((aiohttp, SimpleNamespace(web=web)), connections)
    assert missing(columns("aiohttp")[0], library) == []
    assert missing(["web.WebSocketResponse(max_msg_size=1)"], library)


def test_names_of_picows_exist() -> None:
    library = Library((picows,), ())
    assert missing(columns("picows")[0], library) == []
    assert missing(["WSListener.on_message"], library)
