"""Redirections of the client's opening handshake."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import (
    echo,
    every_loop,
    port_of,
    tls_contexts,
    uri_of,
)

from fastframe import (
    HandshakeError,
    Headers,
    InvalidResponse,
    RejectedByServer,
    Request,
    Response,
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


async def talk(ws: WebSocketStream) -> None:
    await ws.send("a")
    assert await ws.recv() == "a"


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
