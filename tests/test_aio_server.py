"""The server: its handlers, where it listens, its options."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from aio_support import (
    echo,
    eventually,
    every_loop,
    logged,
    port_of,
    spin,
    tls_contexts,
    uri_of,
)
from pages import GET, answer_to

import fastframe.aio.server
from fastframe import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Server,
    State,
    WebSocketStream,
    connect,
    serve,
)

# Handlers.


@every_loop
async def test_connection_is_closed_when_the_handler_returns() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send("goodbye")

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        assert await ws.recv() == "goodbye"
        with pytest.raises(ConnectionClosedOK) as caught:
            await ws.recv()
        assert caught.value.received == Close(1000)


@every_loop
async def test_exception_in_the_handler_closes_with_1011_and_is_logged() -> None:
    async def handler(ws: WebSocketStream) -> None:
        raise ZeroDivisionError

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await ws.recv()
        [line] = logged()
        assert "handler" in line and "ZeroDivisionError" in line


@every_loop
async def test_handler_that_meets_the_peers_end_is_no_failure() -> None:
    async def handler(ws: WebSocketStream) -> None:
        while True:
            await ws.recv()

    async with serve(handler, "127.0.0.1", 0) as server:
        ws = await connect(uri_of(server))
        await ws.close(4000, "enough")
        assert logged() == []


@every_loop
async def test_the_end_of_another_connection_is_a_failure_of_the_handler() -> None:
    async def crashing(ws: WebSocketStream) -> None:
        ws.transport.abort()

    async def gateway(ws: WebSocketStream) -> None:
        async with connect(uri_of(upstream)) as other:
            await ws.send(await other.recv())

    async with (
        serve(crashing, "127.0.0.1", 0) as upstream,
        serve(gateway, "127.0.0.1", 0) as server,
        connect(uri_of(server)) as ws,
    ):
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await ws.recv()
        assert "handler" in "".join(logged())


class Group(Exception):
    """What a group of tasks raises, as the libraries before Python 3.11 have it."""

    def __init__(self, *exceptions: Exception) -> None:
        super().__init__(f"{len(exceptions)} of a group")
        self.exceptions = exceptions


@every_loop
async def test_the_peers_end_in_a_group_of_tasks_is_no_failure() -> None:
    failures: list[Exception] = []

    async def handler(ws: WebSocketStream) -> None:
        try:
            await ws.recv()
        except ConnectionClosed as end:
            group = Group(end, Group(end, *failures))
        raise group

    async with serve(handler, "127.0.0.1", 0) as server:
        await (await connect(uri_of(server))).close()
        await eventually(lambda: not server.connections, "it is gone")
        assert logged() == []
        failures.append(ZeroDivisionError())
        await (await connect(uri_of(server))).close()
        await eventually(lambda: not server.connections, "it is gone")
        assert "handler" in "".join(logged())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell whether it was cancelled")
@every_loop
async def test_handler_that_meets_the_cancellation_of_another_task_has_failed() -> None:
    async def handler(ws: WebSocketStream) -> None:
        other = asyncio.ensure_future(asyncio.sleep(60))
        await ws.send("last")
        other.cancel()
        await other

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        assert await ws.recv() == "last"
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await ws.recv()
        [line] = logged()
        assert "handler" in line and "CancelledError" in line


@every_loop
async def test_cancelled_handler_drops_its_connection() -> None:
    tasks: list[Any] = []

    async def handler(ws: WebSocketStream) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        await eventually(lambda: tasks, "the handler runs")
        tasks.pop().cancel()
        with pytest.raises(ConnectionClosedError):
            await ws.recv()


@every_loop
async def test_handler_may_be_anything_that_gives_an_awaitable() -> None:
    def handler(ws: WebSocketStream) -> asyncio.Future[None]:
        return asyncio.ensure_future(ws.send("from a future"))

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        assert await ws.recv() == "from a future"
        await ws.wait_closed()
        assert ws.close_code == 1000


@every_loop
async def test_handler_that_cannot_even_be_called_closes_with_1011() -> None:
    def handler() -> None:
        pass

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:  # type: ignore[arg-type]
        await ws.wait_closed()
        assert ws.close_code == 1011
        [line] = logged()
        assert "handler" in line and "TypeError" in line


# Running.


@every_loop
async def test_serve_forever_serves_until_cancelled() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    serving = asyncio.ensure_future(server.serve_forever())
    async with connect(uri_of(server)) as ws:
        await ws.send("a")
        assert await ws.recv() == "a"
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await server.close()


@pytest.mark.parametrize("accepts_itself", [True, False])
@pytest.mark.parametrize("secure", [True, False])
@pytest.mark.parametrize("how", ["cancelled", "closed"])
@every_loop
async def test_serve_forever_ends_though_clients_are_connected(
    how: str, secure: bool, accepts_itself: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not accepts_itself:  # as where there is no epoll
        monkeypatch.setattr(fastframe.aio.server, "accepts_for", lambda loop: False)
    theirs, ours = tls_contexts() if secure else (None, None)
    ended: list[str] = []

    async def run_server() -> None:
        async with serve(echo, "127.0.0.1", 0, ssl=theirs) as server:
            started.set_result(server)
            try:
                await server.serve_forever()
            finally:
                ended.append("serve_forever")

    started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(run_server())
    server = await started
    uri = uri_of(server, scheme="wss" if secure else "ws")
    async with connect(uri, ssl=ours) as ws:
        if how == "cancelled":
            serving.cancel()
        else:
            await server.close()
        with pytest.raises(ConnectionClosedOK, match="1001"):
            await ws.recv()
        assert ended == ["serve_forever"]
    with pytest.raises(asyncio.CancelledError):
        await serving


@every_loop
async def test_connections_are_those_that_are_there() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        assert server.connections == set()
        async with connect(uri_of(server)), connect(uri_of(server)):
            assert len(server.connections) == 2
            assert {ws.ready_state for ws in server.connections} == {State.OPEN}
        await eventually(lambda: not server.connections, "they are gone")


# Where to listen.


@every_loop
async def test_tls_carries_messages_of_all_sizes() -> None:
    server_tls, client_tls = tls_contexts()
    async with (
        serve(echo, "127.0.0.1", 0, ssl=server_tls, compression=None, max_size=None) as server,
        connect(uri_of(server, scheme="wss"), ssl=client_tls, compression=None, max_size=None) as ws,
    ):
        for size in (0, 1, 125, 16_383, 16_385, 65_536, 1_000_000, 5_000_000):
            message = bytes([size % 251]) * size
            await ws.send(message)
            assert await ws.recv() == message


@every_loop
async def test_tls_records_that_come_together_are_all_read() -> None:
    server_tls, client_tls = tls_contexts()
    received = []

    async def handler(ws: WebSocketStream) -> None:
        while True:
            received.append(await ws.recv())

    async with serve(handler, "127.0.0.1", 0, ssl=server_tls, compression=None) as server:
        messages = [bytes([number % 256]) * (number * 37 % 9000) for number in range(400)]
        async with connect(uri_of(server, scheme="wss"), ssl=client_tls, compression=None) as ws:
            for message in messages:
                await ws.send(message)
        await eventually(lambda: received, "the handler is done")
        assert received == messages


@pytest.mark.parametrize("closer", ["server", "client"])
@every_loop
async def test_close_over_tls_does_not_truncate_the_last_message(closer: str) -> None:
    server_tls, client_tls = tls_contexts()
    message = bytes(range(256)) * 20_000
    received = []

    async def handler(ws: WebSocketStream) -> None:
        if closer == "server":
            sending = asyncio.ensure_future(ws.send(message))
            await spin(1)
            await ws.close()
            await asyncio.wait([sending])
            sending.exception()
        else:
            received.append(await ws.recv())

    options: dict[str, Any] = {"compression": None, "max_size": None}
    async with serve(handler, "127.0.0.1", 0, ssl=server_tls, **options) as server:
        async with connect(uri_of(server, scheme="wss"), ssl=client_tls, **options) as ws:
            if closer == "server":
                received.append(await ws.recv())
                with pytest.raises(ConnectionClosedOK):
                    await ws.recv()
            else:
                sending = asyncio.ensure_future(ws.send(message))
                await spin(1)
                await ws.close()
                await asyncio.wait([sending])
                sending.exception()
        await eventually(lambda: not server.connections, "the connection is gone")
    assert received == [message]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@every_loop
async def test_unix_socket_serves(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with serve(echo, path=path) as server:
        async with connect("ws://localhost/", path=path) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"
            assert "WebSocketStream OPEN" in repr(ws)
        assert len(server.sockets) == 1


@every_loop
async def test_given_socket_serves() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with serve(echo, sock=sock) as server, connect(uri_of(server)) as ws:
        await ws.send("a")
        assert await ws.recv() == "a"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@every_loop
async def test_ipv6_serves() -> None:
    async with serve(echo, "::1", 0) as server, connect(f"ws://[::1]:{port_of(server)}/") as ws:
        await ws.send("a")
        assert await ws.recv() == "a"
        assert ws.remote_address[0] == "::1"


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
@every_loop
async def test_reuse_port_lets_two_servers_listen() -> None:
    async with serve(echo, "127.0.0.1", 0, reuse_port=True) as server:
        with pytest.raises(OSError, match="in use"):
            await serve(echo, "127.0.0.1", port_of(server))
        async with serve(echo, "127.0.0.1", port_of(server), reuse_port=True) as second:
            assert port_of(second) == port_of(server)


TIMES = ("open_timeout", "ping_interval", "ping_timeout", "close_timeout")
WRONG_FOR_BOTH: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"compression": "gzip"}, ValueError),
    *[
        ({name: value}, kind)
        for name in ("max_size", "max_fragments", "max_queue", "write_limit")
        for value, kind in ((1.5, TypeError), ("1", TypeError), (True, TypeError), (-1, ValueError))
    ],
    ({"max_fragments": 0}, ValueError),
    ({"max_queue": None}, TypeError),
    ({"write_limit": None}, TypeError),
    *[
        ({name: value}, kind)
        for name in TIMES
        for value, kind in (
            ("20", TypeError),
            (True, TypeError),
            (-1, ValueError),
            (math.nan, ValueError),
            (math.inf, ValueError),
        )
    ],
    *[({name: 0}, ValueError) for name in TIMES if name != "close_timeout"],
    ({"close_timeout": None}, TypeError),
    ({"port": 70000}, ValueError),
    ({"port": -1}, ValueError),
    ({"subprotocols": "chat"}, TypeError),
    ({"subprotocols": ["a b"]}, ValueError),
    ({"extra_headers": {"A": "b\r\nc"}}, ValueError),
    ({"extra_headers": {"Sec-WebSocket-Accept": "b"}}, ValueError),
]
WRONG_FOR_SERVE: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"handler": 5}, TypeError),
    ({"handler": None}, TypeError),
    ({"process_request": 5}, TypeError),
    ({"select_subprotocol": "chat"}, TypeError),
    ({"backlog": -1}, ValueError),
    ({"backlog": None}, TypeError),
    ({"origins": "http://a.test"}, TypeError),
    ({"server_header": "b\r\nc"}, ValueError),
]


WRONG_FOR_CONNECT: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"websocket_class": int}, TypeError),
    ({"origin": "a\r\nb"}, ValueError),
    ({"user_agent_header": "a\r\nb"}, ValueError),
    ({"server_hostname": "a.test"}, ValueError),
]


def named(options: dict[str, Any]) -> str:
    """How what is wrong is called."""
    [(name, value)] = options.items()
    if name == "extra_headers":
        return f"(?i){next(iter(value))}"
    return f"(?i){name.removesuffix('s').removesuffix('_header').replace('_agent', '.agent')}"


@pytest.mark.parametrize(("options", "kind"), WRONG_FOR_BOTH + WRONG_FOR_SERVE, ids=repr)
def test_impossible_option_is_refused_at_once(options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=named(options)):
        serve(**{"handler": echo, "host": "127.0.0.1", "port": 0} | options)


@pytest.mark.parametrize(("options", "kind"), WRONG_FOR_BOTH + WRONG_FOR_CONNECT, ids=repr)
def test_impossible_option_of_a_client_is_refused_at_once(options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=named(options)):
        connect("ws://127.0.0.1:1/", **options)


def test_tls_is_for_wss_uris() -> None:
    with pytest.raises(ValueError, match="^ssl and server_hostname are for wss:// URIs$"):
        connect("ws://127.0.0.1:1/", ssl=ssl.create_default_context())


@every_loop
async def test_a_server_is_not_closed_with_a_code_that_may_not_be_sent() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        for wrong, kind in ((1006, ValueError), ("1001", TypeError)):
            with pytest.raises(kind, match="^close_code "):
                await server.close(cast("Any", wrong))
        await ws.send("still there")
        assert await ws.recv() == "still there"


@every_loop
async def test_limits_may_be_as_low_as_they_go() -> None:
    limits: Any = {"max_size": 0, "max_fragments": 1, "max_queue": 0, "write_limit": 0, "backlog": 1}
    async with serve(echo, "127.0.0.1", 0, **limits) as server, connect(uri_of(server)) as ws:
        await ws.send("")
        assert await ws.recv() == ""


# DEBUG.


@every_loop
async def test_debug_logging_breaks_nothing() -> None:
    logger = logging.getLogger("fastframe")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with serve(echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
            for message in ("a\r\nb", "ü" * 1000, b"\0\xff" * 1000, "", b""):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping(b"\0\xff"))
            head, _ = await answer_to(server, GET)
            assert b" 426 " in head
    finally:
        logger.setLevel(before)
        lines = logged()
    assert any("refused" in line for line in lines)
