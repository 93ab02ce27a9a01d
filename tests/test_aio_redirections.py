"""Redirections, and how the client comes back."""

from __future__ import annotations

import asyncio
import platform
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from aio_support import (
    clock,
    collect,
    echo,
    eventually,
    every_loop,
    port_of,
    simulated,
    spin,
    tls_contexts,
    uri_of,
)
from raw_peer import (
    raw_server,
)
from wire import data_frame

from fastframe import (
    HandshakeError,
    Headers,
    InvalidResponse,
    RejectedByServer,
    Request,
    Response,
    Role,
    Server,
    WebSocketStream,
    connect,
    serve,
)
from fastframe.uri import basic_authorization


@asynccontextmanager
async def redirecting(
    location: Any, status: int = 302, seen: list[Request] | None = None
) -> AsyncIterator[Server]:
    """A server that sends every request elsewhere; `location` may be a list, to be sent as several fields."""

    def process_request(protocol: Any, request: Request) -> Response:
        if seen is not None:
            seen.append(request)
        values = location if isinstance(location, list) else [location]
        return Response(status, Headers([("Location", value) for value in values]))

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        yield server


async def opened_by_iteration(uri: str) -> None:
    """Iterate until the first connection, and leave by an exception."""
    async for _ in connect(uri):
        raise ConnectionResetError("the body's own")


async def talk(ws: WebSocketStream) -> None:
    await ws.send("a")
    assert await ws.recv() == "a"


# Redirections.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["ws", "http"])
@every_loop
async def test_redirection_to_another_server_is_followed(status: int, scheme: str) -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as target,
        redirecting(uri_of(target, "/new", scheme), status) as server,
        connect(uri_of(server)) as ws,
    ):
        await talk(ws)
        [theirs] = target.connections
        assert theirs.request is not None and theirs.request.path == "/new"


@pytest.mark.parametrize(
    ("path", "location", "expected"),
    [("/a/b", "/c", "/c"), ("/a/b", "c?d=e", "/a/c?d=e"), ("/a/b", "//{host}/c", "/c"), ("/", "?x", "/?x")],
)
@pytest.mark.parametrize("scheme", ["ws", "WS"])
@every_loop
async def test_relative_redirection_is_followed(scheme: str, path: str, location: str, expected: str) -> None:
    paths = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        paths.append(request.path)
        if len(paths) > 1:
            return None
        target = location.format(host=f"127.0.0.1:{port_of(server)}")
        return Response(302, Headers({"Location": target}))

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(uri_of(server, path, scheme)) as ws,
    ):
        await talk(ws)
    assert paths == [path, expected]


@every_loop
async def test_redirections_in_a_circle_come_to_an_end() -> None:
    seen: list[Request] = []
    async with redirecting("/again", seen=seen) as server:
        with pytest.raises(InvalidResponse, match="redirections"):
            await connect(uri_of(server))
        assert 5 <= len(seen) <= 21


@pytest.mark.parametrize(
    "location",
    [
        "ftp://127.0.0.1/",
        "ws://",
        "javascript:alert(1)",
        "ws://127.0.0.1:99999/",
        ["/a", "/b"],
        "ws://ho st/",
    ],
)
@every_loop
async def test_redirection_to_nowhere_is_an_error_of_the_server(location: Any) -> None:
    async with redirecting(location) as server:
        with pytest.raises(HandshakeError):
            await connect(uri_of(server))


@every_loop
async def test_redirection_without_location_is_a_refusal() -> None:
    async with redirecting([]) as server:
        with pytest.raises(RejectedByServer, match="302"):
            await connect(uri_of(server))


@pytest.mark.parametrize("scheme", ["ws", "http"])
@every_loop
async def test_redirection_away_from_tls_is_refused(scheme: str) -> None:
    server_tls, client_tls = tls_contexts()
    reached: list[Request] = []

    def note(protocol: Any, request: Request) -> None:
        reached.append(request)

    def process_request(protocol: Any, request: Request) -> Response:
        return Response(302, Headers({"Location": uri_of(insecure, scheme=scheme)}))

    async with (
        serve(echo, "127.0.0.1", 0, process_request=note) as insecure,
        serve(echo, "127.0.0.1", 0, ssl=server_tls, process_request=process_request) as server,
    ):
        with pytest.raises(InvalidResponse, match="insecure"):
            await connect(uri_of(server, scheme="wss"), ssl=client_tls)
    assert not reached


@pytest.mark.parametrize("same_host", [True, False])
@every_loop
async def test_credentials_are_kept_for_their_own_server(same_host: bool) -> None:
    reached: list[Request] = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        if request.path == "/new":
            reached.append(request)
            return None
        target = server if same_host else other
        return Response(302, Headers({"Location": uri_of(target, "/new")}))

    fields = [
        ("Authorization", "Bearer secret"),
        ("cookie", "a=b"),
        ("Proxy-Authorization", "Basic x"),
        ("X-Harmless", "c"),
    ]
    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as other,
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(uri_of(server), extra_headers=fields) as ws,
    ):
        await talk(ws)
    [request] = reached
    assert {
        name: name in request.headers for name in ("Authorization", "Cookie", "Proxy-Authorization")
    } == dict.fromkeys(("Authorization", "Cookie", "Proxy-Authorization"), same_host)
    assert request.headers["X-Harmless"] == "c"


@pytest.mark.parametrize(
    "location", ["/new", "http://{host}/new", "ws://{host}/new", "ws://you:too@{host}/new"]
)
@every_loop
async def test_user_and_password_of_the_uri_are_kept_for_its_server(location: str) -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        seen.append(request)
        host = f"127.0.0.1:{port_of(server)}"
        return Response(302, {"Location": location.format(host=host)}) if request.path == "/" else None

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(f"ws://me:secret@127.0.0.1:{port_of(server)}/") as ws,
    ):
        await talk(ws)
    first, second = (request.headers["Authorization"] for request in seen)
    assert first == basic_authorization("me", "secret")
    assert second == (basic_authorization("you", "too") if "you" in location else first)


@every_loop
async def test_an_authorization_of_the_caller_s_stays_when_redirected() -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        seen.append(request)
        target = uri_of(server, "/new")
        return Response(302, {"Location": target}) if request.path == "/" else None

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(
            f"ws://me:secret@127.0.0.1:{port_of(server)}/", extra_headers={"Authorization": "Bearer x"}
        ) as ws,
    ):
        await talk(ws)
    assert [request.headers.get_all("Authorization") for request in seen] == [["Bearer x"]] * 2


@pytest.mark.parametrize("same_host", [True, False])
@every_loop
async def test_a_host_of_the_caller_s_is_for_its_own_server(same_host: bool) -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        seen.append(request)
        target = uri_of(server if same_host else other, "/new")
        return Response(302, {"Location": target}) if request.path == "/" else None

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as other,
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(uri_of(server), extra_headers={"Host": "internal.example"}) as ws,
    ):
        await talk(ws)
        expected = "internal.example" if same_host else f"127.0.0.1:{port_of(other)}"
    assert [request.headers["Host"] for request in seen] == ["internal.example", expected]


@every_loop
async def test_extra_headers_that_can_be_read_once_are_sent_each_time() -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> Response | None:
        seen.append(request)
        return Response(302, {"Location": "/new"}) if request.path == "/" else None

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(uri_of(server), extra_headers=iter([("X-Token", "a")])) as ws,
    ):
        await talk(ws)
    assert [request.headers.get("X-Token") for request in seen] == ["a", "a"]


@every_loop
async def test_user_and_password_of_the_uri_are_not_sent_elsewhere() -> None:
    reached: list[Request] = []

    def note(protocol: Any, request: Request) -> None:
        reached.append(request)

    async with (
        serve(echo, "127.0.0.1", 0, process_request=note) as other,
        redirecting(uri_of(other)) as server,
        connect(f"ws://me:secret@127.0.0.1:{port_of(server)}/"),
    ):
        pass
    assert "Authorization" not in reached[0].headers


@every_loop
async def test_redirection_elsewhere_does_not_stay_at_the_given_address() -> None:
    """It either goes where it was sent or is refused: it must not ask the first server again."""
    seen: list[Request] = []
    async with serve(echo, "127.0.0.1", 0) as target, redirecting(uri_of(target), seen=seen) as server:
        try:
            async with connect("ws://example.test/", host="127.0.0.1", port=port_of(server)) as ws:
                await talk(ws)
        except InvalidResponse:
            pass
        assert len(seen) == 1


@pytest.mark.parametrize("relative", [True, False])
@every_loop
async def test_redirection_of_a_given_socket_is_refused(relative: bool) -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as target,
        redirecting("/again" if relative else uri_of(target)) as server,
    ):
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        with pytest.raises(InvalidResponse):
            await connect(f"ws://127.0.0.1:{port_of(server)}/", sock=sock)


# Connecting again.


@simulated
async def test_iteration_connects_again_after_each_connection() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send("hello")

    async with serve(handler, "127.0.0.1", 0) as server:
        before, count = clock().time(), 0
        async for ws in connect(uri_of(server)):
            assert [message async for message in ws] == ["hello"]
            count += 1
            if count == 4:
                break
        assert clock().time() - before < 1
        del ws
        await spin(20)


@simulated
async def test_iteration_waits_longer_and_longer_with_jitter() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        attempts: list[float] = []

        async def reconnect() -> None:
            async for _ in connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/"):
                raise AssertionError("nobody is there")

        loop = clock()
        create_connection = loop.create_connection

        def noting(*arguments: Any, **options: Any) -> Any:
            attempts.append(loop.time())
            return create_connection(*arguments, **options)

        loop.create_connection = noting  # type: ignore[method-assign]
        task = asyncio.ensure_future(reconnect())
        await asyncio.sleep(600)
        task.cancel()
        await asyncio.wait([task])
        loop.create_connection = create_connection  # type: ignore[method-assign]
    gaps = [after - before for before, after in pairwise(attempts)]
    assert 10 < len(gaps) < 50
    assert all(gap <= 60.5 for gap in gaps) and 0.4 < gaps[0] < 1.1
    assert sum(gaps[-5:]) > 5 * sum(gaps[:3])
    assert len({round(gap, 2) for gap in gaps[-6:]}) > 1, "jitter"


@pytest.mark.parametrize("failure", ["500", "502", "503", "504", "refused", "reset", "end", "timeout"])
@simulated
async def test_iteration_survives_what_may_pass(failure: str) -> None:
    failures = 0

    async with raw_server() as server:

        async def play() -> None:
            nonlocal failures
            for _ in range(2):
                async with server.peer() as peer:
                    await peer.head()
                    failures += 1
                    if failure == "timeout":
                        await peer.rest()
                    elif failure == "reset":
                        peer.reset()
                    elif failure != "end":
                        status = 503 if failure == "refused" else int(failure)
                        await peer.send(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            async with server.accepted() as peer:
                await peer.send(data_frame(Role.CLIENT, 1, b"at last"))
                await peer.rest()

        playing = asyncio.ensure_future(play())
        try:
            async for ws in connect(server.uri, open_timeout=5, close_timeout=1):
                assert await ws.recv() == "at last"
                break
            del ws
            await spin(5)
            assert failures == 2
        finally:
            playing.cancel()
            await asyncio.wait([playing])


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 426])
@simulated
async def test_iteration_raises_what_will_not_pass(status: int) -> None:
    def process_request(protocol: Any, request: Request) -> Response:
        return Response(status, Headers())

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(RejectedByServer, match=str(status)):
            await opened_by_iteration(uri_of(server))


@simulated
async def test_iteration_raises_for_a_server_that_does_not_speak_websocket() -> None:
    async with raw_server() as server:

        async def play() -> None:
            async with server.peer() as peer:
                await peer.head()
                await peer.send(b"220 smtp.example.test ESMTP\r\n\r\n")
                await peer.gone()

        playing = asyncio.ensure_future(play())
        with pytest.raises(InvalidResponse):
            await opened_by_iteration(server.uri)
        await playing


@simulated
async def test_exception_in_the_body_leaves_the_iteration() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectionResetError, match="the body's own"):
            await opened_by_iteration(uri_of(server))
        if platform.python_implementation() != "CPython":
            collect()  # nobody refers to the iteration any more, which only CPython sees at once
        await spin(20)
        await eventually(lambda: not server.connections, "the connection was closed")
