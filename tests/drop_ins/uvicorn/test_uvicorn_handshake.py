"""The opening handshake under uvicorn: what the application is told, and what the client gets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aio_support import eventually, every_loop, tls_contexts
from drop_ins.uvicorn.serving import (
    OURS,
    UVICORNS,
    Application,
    Event,
    Receive,
    Send,
    accept,
    dialled,
    echo,
    opened,
    serving,
)
from raw_peer import REQUEST
from websockets.asyncio.client import connect, unix_connect
from wire import data_frame

import fastframe
from fastframe import Role

WITH = b"\r\n\r\n"


def request(*lines: bytes, target: bytes = b"/") -> bytes:
    """A request with further header lines."""
    asked = REQUEST.replace(b"GET / ", b"GET " + target + b" ")
    return asked.replace(WITH, b"\r\n" + b"\r\n".join(lines) + WITH)


async def told(running_request: bytes, **options: Any) -> dict[str, Any]:
    """The scope that an application gets."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scopes.append(dict(scope))
        await echo(scope, receive, send)

    async with serving(app, **options) as running, opened(running, running_request) as peer:
        [scope] = scopes
        scope["client_here"] = peer.sock.getsockname()
        scope["server_here"] = ("127.0.0.1", running.port)
    return scope


# The scope.


@pytest.mark.parametrize("http", ["h11", "httptools"])
@every_loop
async def test_scope_has_every_field(http: str) -> None:
    lines = [b"X-Value: gr\xfc\xdfe", b"X-Twice: 1", b"X-Twice: 2", b"Sec-WebSocket-Protocol: a, b"]
    scope = await told(request(*lines, target=b"/caf%C3%A9/%2Fx?a=%20&b=c"), http=http)
    headers = scope.pop("headers")
    client, server = scope.pop("client_here"), scope.pop("server_here")
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": server,
        "client": client,
        "root_path": "",
        "path": "/café//x",
        "raw_path": b"/caf%C3%A9/%2Fx",
        "query_string": b"a=%20&b=c",
        "subprotocols": ["a", "b"],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }
    assert (b"x-value", b"gr\xfc\xdfe") in headers
    assert [value for name, value in headers if name == b"x-twice"] == [b"1", b"2"]
    assert (b"host", b"localhost") in headers


@pytest.mark.parametrize("http", ["h11", "httptools"])
@every_loop
async def test_scope_has_the_path_of_a_whole_uri(http: str) -> None:
    scope = await told(request(target=b"http://localhost/caf%C3%A9?a=%20"), http=http)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/café", b"/caf%C3%A9", b"a=%20")
    assert (b"host", b"localhost") in scope["headers"]


@every_loop
async def test_scope_has_the_root_path_before_the_path() -> None:
    scope = await told(request(target=b"/a%20b"), root_path="/api")
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/a b", b"/api/a%20b")


@every_loop
async def test_scope_has_a_copy_of_the_lifespans_state() -> None:
    shared: list[int] = []
    states = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"].update(shared=shared, name="one")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        states.append(dict(scope["state"]))
        scope["state"]["name"] = "changed"
        await echo(scope, receive, send)

    async with serving(app, lifespan="on") as running:
        for _ in range(2):
            async with opened(running):
                pass
    assert states == [{"shared": shared, "name": "one"}] * 2
    assert states[0]["shared"] is states[1]["shared"]


@pytest.mark.parametrize(
    ("options", "client", "scheme"),
    [
        ({}, ("203.0.113.7", 0), "wss"),
        ({"proxy_headers": False}, None, "ws"),
        ({"forwarded_allow_ips": "192.0.2.1"}, None, "ws"),
    ],
    ids=["trusted", "switched-off", "not-trusted"],
)
@every_loop
async def test_proxy_headers_are_believed_as_uvicorn_is_told(
    options: dict[str, Any], client: Any, scheme: str
) -> None:
    lines = [b"X-Forwarded-For: 203.0.113.7", b"X-Forwarded-Proto: https"]
    scope = await told(request(*lines), **options)
    assert scope["client"] == (client or scope["client_here"])
    assert scope["scheme"] == scheme


@every_loop
async def test_scope_of_a_connection_through_tls_says_wss() -> None:
    server_context, client_context = tls_contexts()
    scopes = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with (
        serving(app, tls=server_context) as running,
        # websockets leaves its transport to Python 3.10's garbage collector, which complains.
        fastframe.connect(running.uri(scheme="wss"), ssl=client_context) as ws,
    ):
        for size in (1, 300_000):
            await ws.send(bytes(size))
            assert await ws.recv() == bytes(size)
    assert scopes[0]["scheme"] == "wss"


@every_loop
async def test_scope_of_a_connection_through_a_unix_socket_has_no_client(tmp_path: Path) -> None:
    scopes = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    path = str(tmp_path / "socket")
    for protocol in (OURS, UVICORNS):
        async with (
            serving(app, uds=path, ws=protocol) as running,
            unix_connect(path, "ws://localhost/") as ws,
        ):
            await ws.send("x")
            assert await ws.recv() == "x"
            assert any('"WebSocket /" [accepted]' in line for line in running.log.lines)
    ours, uvicorns = ((scope["client"], scope["server"]) for scope in scopes)
    assert ours == uvicorns
    # Older releases of uvicorn name no server then.
    assert ours in [(None, (path, None)), (None, None)]


# Acceptance.


def accepting(**event: Any) -> Application:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"} | event)
        await receive()

    return app


async def answer(app: Application, sent: bytes = REQUEST, **options: Any) -> tuple[int, list[bytes], bytes]:
    """Status, header lines and body of the answer; the connection ends with it unless it accepts."""
    async with serving(app, **options) as running, dialled(running, sent) as peer:
        status_line, *lines = (await peer.head()).split(b"\r\n")
        status = int(status_line.split()[1])
        return status, lines, b"" if status == 101 else await peer.rest()


@every_loop
async def test_acceptance_has_the_servers_and_the_applications_headers() -> None:
    app = accepting(headers=[(b"x-one", b"1"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=\xe4")])
    status, lines, _ = await answer(app, headers=[("X-All", "yes")])
    assert status == 101
    assert {b"server: uvicorn", b"x-all: yes", b"x-one: 1"} <= {line.lower() for line in lines}
    assert [line for line in lines if line.startswith(b"set-cookie")] == [
        b"set-cookie: a=b",
        b"set-cookie: c=\xe4",
    ]
    assert len([line for line in lines if line.lower().startswith(b"date:")]) == 1
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in lines
    assert not [line for line in lines if line.lower().startswith(b"sec-websocket-protocol")]


@pytest.mark.parametrize("subprotocol", ["chat", "superchat"])
@every_loop
async def test_subprotocol_of_the_applications_choice(subprotocol: str) -> None:
    sent = request(b"Sec-WebSocket-Protocol: chat", b"Sec-WebSocket-Protocol: superchat")
    status, lines, _ = await answer(accepting(subprotocol=subprotocol), sent)
    assert status == 101
    assert b"Sec-WebSocket-Protocol: " + subprotocol.encode() in lines


@pytest.mark.parametrize(
    "event",
    [
        {"subprotocol": "never offered"},
        {"headers": [(b"sec-websocket-protocol", b"chat")]},
        {"headers": [(b"x-split", b"a\r\nb: c")]},
        {"headers": [(b"connection", b"close")]},
    ],
    ids=["subprotocol", "handshake-header", "line-break", "connection"],
)
@every_loop
async def test_acceptance_that_cannot_be_sent_is_the_applications_error(event: dict[str, Any]) -> None:
    async with serving(accepting(**event)) as running, dialled(running) as peer:
        assert (await peer.head()).startswith(b"HTTP/1.1 500 ")
        assert await peer.rest() == b"Internal Server Error"
        [error] = running.errors()
        assert "ValueError" in error


@pytest.mark.parametrize(("enabled", "agreed"), [(True, True), (False, False)])
@every_loop
async def test_compression_is_agreed_on_as_the_option_says(enabled: bool, agreed: bool) -> None:
    async with (
        serving(echo, ws_per_message_deflate=enabled) as running,
        connect(running.uri(), compression="deflate") as ws,
    ):
        assert bool(ws.protocol.extensions) is agreed
        await ws.send("x" * 1000)
        assert await ws.recv() == "x" * 1000


@every_loop
async def test_messages_sent_before_the_acceptance_are_received_after_it() -> None:
    go = asyncio.Event()
    received = []

    async def slow(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await go.wait()
        await accept(receive, send)
        received.extend([(await receive())["bytes"] for _ in range(3)])

    early = data_frame(Role.SERVER, 2, bytes(100_000))
    async with serving(slow) as running, dialled(running) as peer:
        await running.taken_over()
        sending = asyncio.create_task(peer.send(early * 3))
        await eventually(lambda: running.protocol._reading_paused, "no more is taken before it accepts")
        go.set()
        await eventually(lambda: len(received) == 3, "all have come")
        await sending
        await peer.rest()
    assert received == [bytes(100_000)] * 3


# Denials.


def denying(*events: Event) -> Application:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        for event in events:
            await send({"type": f"websocket.http.response.{event.pop('kind')}"} | event)
        assert await receive() == {"type": "websocket.disconnect", "code": 1006}

    return app


START = {"kind": "start", "status": 401, "headers": [(b"content-type", b"text/html"), (b"x", b"y")]}


@every_loop
async def test_denial_has_status_headers_and_body_of_the_application() -> None:
    parts: list[Event] = [
        {"kind": "body", "body": b"<p>", "more_body": True},
        {"kind": "body", "more_body": True},
        {"kind": "body", "body": b"no"},
    ]
    status, lines, body = await answer(denying(dict(START), *parts))
    assert (status, body) == (401, b"<p>no")
    assert {b"content-type: text/html", b"x: y", b"Content-Length: 5", b"Connection: close"} <= set(lines)


@pytest.mark.parametrize("length", [b"0", b"5", b"999"])
@every_loop
async def test_length_of_a_denial_is_that_of_its_body(length: bytes) -> None:
    """Whatever the application says of it: a wrong length is what requests are smuggled with."""
    headers = [
        (b"Content-Length", length),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"keep-alive"),
    ]
    start = {"kind": "start", "status": 404, "headers": headers}
    _, lines, body = await answer(denying(start, {"kind": "body", "body": b"gone!"}))
    ours = [
        line for line in lines if line.lower().startswith((b"content-length", b"transfer", b"connection"))
    ]
    assert sorted(ours) == [b"Connection: close", b"Content-Length: 5"]
    assert body == b"gone!"


@pytest.mark.parametrize("status", [204, 304])
@every_loop
async def test_denial_whose_status_has_no_body_has_none(status: int) -> None:
    start = {"kind": "start", "status": status}
    got, lines, body = await answer(denying(start, {"kind": "body", "body": b"not sent"}))
    assert (got, body) == (status, b"")
    assert not [line for line in lines if line.lower().startswith(b"content-length")]


@every_loop
async def test_closing_before_the_acceptance_is_403() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        assert await receive() == {"type": "websocket.disconnect", "code": 1006}

    status, _, body = await answer(app)
    assert (status, body) == (403, b"")


def failing(*events: Event) -> Application:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        for event in events:
            await send(event)
        raise LookupError("as the test wants it")

    return app


RESPONSE = "websocket.http.response"


@pytest.mark.parametrize(
    ("events", "status", "error"),
    [
        ([], 500, "LookupError"),
        ([{"type": "websocket.send", "text": "early"}], 500, "Expected ASGI message"),
        ([{"type": f"{RESPONSE}.body", "body": b""}], 500, "Expected ASGI message"),
        ([{"type": f"{RESPONSE}.start", "status": 101}], 500, "101"),
        ([{"type": f"{RESPONSE}.start", "status": 200, "headers": [(b"x", b"a\nb")]}], 500, "ValueError"),
        ([{"type": f"{RESPONSE}.start", "status": 404}], 404, "LookupError"),
        ([{"type": f"{RESPONSE}.start", "status": 404}, {"type": "websocket.accept"}], 404, "but got"),
        (
            [
                {"type": f"{RESPONSE}.start", "status": 404},
                {"type": f"{RESPONSE}.body", "body": b"half", "more_body": True},
            ],
            500,
            "LookupError",
        ),
    ],
    ids=["at-once", "send", "body-first", "status", "header", "start-alone", "accept-late", "half-a-body"],
)
@every_loop
async def test_application_that_fails_before_it_has_answered(
    events: list[Event], status: int, error: str
) -> None:
    async with serving(failing(*events)) as running, dialled(running) as peer:
        head = await peer.head()
        assert int(head.split()[1]) == status
        assert await peer.rest() == (b"Internal Server Error" if status == 500 else b"")
        await eventually(lambda: running.log.errors, "it is logged")
        [logged] = running.errors()
        assert error in logged


@every_loop
async def test_application_that_returns_without_an_answer_is_500() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()

    async with serving(app) as running, dialled(running) as peer:
        assert (await peer.head()).startswith(b"HTTP/1.1 500 ")
        await eventually(lambda: running.log.errors, "it is logged")
        [logged] = running.errors()
        assert "before it had answered" in logged


@pytest.mark.parametrize(
    "answer_with",
    [{"type": "websocket.close"}, {"type": f"{RESPONSE}.start", "status": 400}],
    ids=["close", "response"],
)
@every_loop
async def test_nothing_may_follow_a_denial(answer_with: Event) -> None:
    outcome = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send(answer_with)
        if answer_with["type"] != "websocket.close":
            await send({"type": f"{RESPONSE}.body"})
        try:
            await send({"type": "websocket.send", "text": "late"})
        except RuntimeError as error:
            outcome.append(str(error))

    async with serving(app) as running, dialled(running) as peer:
        await peer.head()
        await eventually(lambda: outcome, "it was told")
    assert "after the handshake was answered" in outcome[0]


@every_loop
async def test_a_denial_arrives_although_the_client_goes_on_sending() -> None:
    """A reset, which closing with bytes unread would cause, must not overtake it."""

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": f"{RESPONSE}.start", "status": 429})
        await send({"type": f"{RESPONSE}.body", "body": b"z" * 1_000_000})

    async with serving(app) as running, dialled(running) as peer:
        sending = asyncio.create_task(peer.send(bytes(3_000_000)))
        assert (await peer.head()).startswith(b"HTTP/1.1 429 ")
        assert await peer.rest() == b"z" * 1_000_000
        await sending


@every_loop
async def test_shutdown_does_not_wait_for_a_client_that_was_turned_away() -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    loop = asyncio.get_running_loop()
    async with serving(app) as running, dialled(running) as peer:
        assert (await peer.head()).startswith(b"HTTP/1.1 403 ")
        began = loop.time()
        running.server.should_exit = True
        await eventually(lambda: not running.connections, "it is gone")
        # Otherwise it has 10 seconds to leave by itself.
        assert loop.time() - began < 5


# Requests that ask in a wrong way.


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (REQUEST.replace(b"Version: 13", b"Version: 12"), 426),
        (REQUEST.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (request(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
        (request(b"X: " + b"a" * 9000), 431),
        (request(b"Sec-WebSocket-Extensions: ;"), 400),
        (request(target=b"http://elsewhere/"), 400),
    ],
    ids=["version", "no-key", "key", "two-keys", "long-header", "extensions", "another-host"],
)
@every_loop
async def test_request_that_is_wrong_never_reaches_the_application(sent: bytes, status: int) -> None:
    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        raise AssertionError("it has")

    got, lines, _ = await answer(app, sent)
    assert got == status
    if status == 426:
        assert b"Sec-WebSocket-Version: 13" in lines


@every_loop
async def test_client_that_leaves_before_the_acceptance_is_reported() -> None:
    events = []
    outcome = []

    async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        events.extend([await receive(), await receive()])
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            outcome.append(type(error).__name__)
            raise

    async with serving(app) as running:
        async with dialled(running) as peer:
            await running.taken_over()
            peer.close()
        await eventually(lambda: outcome, "it has noticed")
    assert events == [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}]
    assert outcome == ["ClientDisconnected"]


# The access log.


@pytest.mark.parametrize(
    "make",
    [
        accepting,
        lambda: denying({"kind": "start", "status": 418}, {"kind": "body", "body": b""}),
        lambda: failing({"type": "websocket.close"}),
    ],
    ids=["accept", "denial", "close"],
)
@every_loop
async def test_access_log_has_uvicorns_own_lines(make: Callable[[], Application]) -> None:
    logs = []
    for protocol in (OURS, UVICORNS):
        async with serving(make(), ws=protocol) as running:
            async with dialled(running, request(target=b"/caf%C3%A9?q=1")) as peer:
                await peer.head()
                port = peer.sock.getsockname()[1]
            running.errors()
        lines = [line for line in running.log.lines if '"WebSocket ' in line]
        lines = [line.replace(str(port), "PORT") for line in lines]
        # Older releases of uvicorn write the address as it is, where the scope has it.
        logs.append([line.replace("('127.0.0.1', PORT)", "127.0.0.1:PORT") for line in lines])
    assert len(logs[0]) == 1
    assert logs[0] == logs[1]


@every_loop
async def test_options_of_uvicorn_for_the_date_and_server_headers_are_followed() -> None:
    _, lines, _ = await answer(accepting(), server_header=False, date_header=False)
    assert not [line for line in lines if line.lower().startswith((b"server", b"date"))]
