"""Sockets in the callback form, each with a peer that is played by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import Recorder
from raw_peer import RawPeer, raw_client, raw_server

from fastframe import Role, connect, serve


@asynccontextmanager
async def served(form: type[Recorder], **options: Any) -> AsyncIterator[tuple[RawPeer, Any]]:
    """A server's socket in the callback form, and a client that is played by hand."""
    made: list[Any] = []

    class Noted(form):  # type: ignore[misc, valid-type]
        def __init__(self, owner: Any) -> None:
            super().__init__(owner)
            made.append(self)

    async with (
        serve(Noted, "127.0.0.1", 0, **({"compression": None} | options)) as server,
        raw_client(server) as peer,
    ):
        try:
            yield peer, made[0]
        finally:
            # CPython 3.13 without the GIL keeps every class for ever once a thread was started.
            made.clear()


@asynccontextmanager
async def connected(form: type[Recorder], **options: Any) -> AsyncIterator[tuple[RawPeer, Any]]:
    """A client's socket in the callback form, and a server that is played by hand."""
    async with raw_server() as server:

        async def open_it() -> Any:
            return await connect(server.uri, form, **({"compression": None} | options))

        opening = asyncio.ensure_future(open_it())
        async with server.accepted() as peer:
            ws = await opening
            yield peer, ws
            peer.close()
            await ws.closed


SIDES = {Role.SERVER: served, Role.CLIENT: connected}
BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
