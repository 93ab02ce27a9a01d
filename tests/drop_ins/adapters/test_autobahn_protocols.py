"""What an application does to its protocol of autobahn's while messages come: it holds for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import pytest
from drop_ins.adapters.driver import frame

from fastframe import adapters
from fastframe.adapters.autobahn import _HOOKS

SECONDS = 20
MESSAGES = [b"first", b"second", b"third"]
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

React = Callable[[Any, list[str]], None]


async def told_of(react: React, payloads: list[bytes], validates: bool) -> list[str]:
    """What a protocol tells of messages that come in one read; `react` is called at the first."""
    import_module("txaio").use_asyncio()
    library = import_module("autobahn.asyncio.websocket")
    told: list[str] = []
    closed = asyncio.Event()

    class Protocol(library.WebSocketServerProtocol):  # type: ignore[name-defined, misc]
        def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
            told.append(payload.decode("latin-1"))
            if len(told) == 1:
                react(self, told)

        def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
            told.append(f"closed: {reason}")
            closed.set()

    factory = library.WebSocketServerFactory()
    factory.protocol = Protocol
    factory.setProtocolOptions(closeHandshakeTimeout=0.1, utf8validateIncoming=validates)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(REQUEST)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"".join(frame(1, payload, masked=True) for payload in payloads))
    writer.write(frame(8, b"\x03\xe8bye", masked=True))
    await closed.wait()
    writer.close()
    server.close()
    return told


def both_ways(react: React, payloads: list[bytes], *, validates: bool = True) -> tuple[list[str], list[str]]:
    """What is told without the adapter and with it."""

    def run(depth: str | None) -> list[str]:
        with adapters.install("autobahn", depth=depth, strict=True) if depth else nullcontext():
            return asyncio.run(asyncio.wait_for(told_of(react, payloads, validates), SECONDS))

    return run(None), run("frame")


@pytest.mark.parametrize("name", [name for name in _HOOKS if name not in ("fire", "onMessageFrame")])
def test_hook_of_one_protocol_is_called(name: str) -> None:
    def react(protocol: Any, told: list[str]) -> None:
        original = getattr(protocol, name)

        def hook(*arguments: Any) -> Any:
            told.append(name)
            return original(*arguments)

        setattr(protocol, name, hook)

    without, with_it = both_ways(react, MESSAGES)
    assert with_it == without
    assert with_it.count(name) >= 2


LIMITS = {
    "maxMessagePayloadSize": (5, b"second"),
    "maxFramePayloadSize": (5, b"second"),
    "utf8validateIncoming": (True, b"\xff"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limit_holds_from_the_next_message_on(name: str) -> None:
    value, refused = LIMITS[name]

    def react(protocol: Any, _: list[str]) -> None:
        setattr(protocol, name, value)

    without, with_it = both_ways(react, [b"first", b"2nd", refused, b"third"], validates=False)
    assert with_it == without
    assert with_it[:2] == ["first", "2nd"]
    assert refused.decode("latin-1") not in with_it
