"""The server's opening handshake: what it accepts and refuses, pages beside the socket, its time."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import h11
import pytest
from aio_support import (
    Recorder,
    clock,
    collect,
    echo,
    eventually,
    every_loop,
    logged,
    simulated,
    spin,
    uri_of,
)
from pages import GET, answer_to, page
from raw_peer import REQUEST, raw_client
from wire import data_frame

from fastframe import (
    InvalidRequest,
    RejectedByServer,
    Request,
    Response,
    Role,
    State,
    WebSocketStream,
    connect,
    serve,
)
from fastframe._http_head import HeadReader
from fastframe.aio.server import _ServerOpening
from fastframe.handshake import ServerHandshake

# The handshake.


@every_loop
async def test_connection_knows_its_request_and_response() -> None:
    seen: list[WebSocketStream] = []

    async def handler(ws: WebSocketStream) -> None:
        seen.append(ws)

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connect(uri_of(server, "/chat?a=1"), extra_headers={"Cookie": "a=b"}) as ws:
            await ws.wait_closed()
        request, response = seen[0].request, seen[0].response
        assert request is not None and response is not None
        assert request.path == "/chat?a=1" and request.headers["Cookie"] == "a=b"
        assert response.status == 101


@pytest.mark.parametrize("form", [echo, Recorder])
@every_loop
async def test_nothing_of_the_opening_outlives_it(form: Any) -> None:
    async def opened(protocol: Any, request: Request) -> None:
        await spin(1)

    async with serve(form, "127.0.0.1", 0, process_request=opened) as server:
        before = _openings()
        async with raw_client(server), raw_client(server) as peer:
            await peer.send(data_frame(Role.SERVER, 1, b"a"))
            await eventually(lambda: len(server.connections) == 2, "both are open")
            await spin(5)
            collect()
            assert _openings() == before


def _openings() -> int:
    kinds = (ServerHandshake, HeadReader, h11.Connection, h11.Event, _ServerOpening)
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (REQUEST.replace(b"Version: 13", b"Version: 8"), 426),
        (REQUEST.replace(b"GET", b"POST"), 405),
        (REQUEST.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
        (REQUEST.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 200 + b"\r\n"), 431),
        (REQUEST.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 20_000 + b"\r\n\r\n"), 431),
        (GET, 426),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
    ],
    ids=["version", "method", "key", "http-1.0", "count", "size", "no-upgrade", "tls", "nonsense"],
)
@every_loop
async def test_wrong_request_gets_an_http_error_and_the_end(request_bytes: bytes, status: int) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        head, body = await answer_to(server, request_bytes)
        assert head.startswith(b"HTTP/1.1 %d " % status), head
        assert re.search(rb"(?im)^connection: close", head)
        assert b"content-length: %d" % len(body) in head.lower()
        assert (b"sec-websocket-version: 13" in head.lower()) is (status == 426)
        await eventually(lambda: not server.connections, "the connection is gone")


@pytest.mark.parametrize(
    ("origins", "origin", "accepted"),
    [
        (None, b"http://evil.test", True),
        (["http://good.test"], b"http://good.test", True),
        (["http://good.test"], b"http://evil.test", False),
        (["http://good.test"], None, False),
        (["http://good.test", None], None, True),
        ([re.compile(r"http://\w+\.good\.test")], b"http://a.good.test", True),
        ([re.compile(r"http://\w+\.good\.test")], b"http://a.good.test.evil.test", False),
    ],
)
@every_loop
async def test_origins_decide_who_may_connect(origins: Any, origin: bytes | None, accepted: bool) -> None:
    request = (
        REQUEST if origin is None else REQUEST.replace(b"\r\n\r\n", b"\r\nOrigin: " + origin + b"\r\n\r\n")
    )
    async with serve(echo, "127.0.0.1", 0, origins=origins) as server:
        if accepted:
            async with raw_client(server, request):
                pass
        else:
            head, _ = await answer_to(server, request)
            assert head.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("ours", "offered", "chosen"),
    [
        (["chat", "superchat"], ["superchat", "chat"], "chat"),
        (["chat"], ["other"], None),
        (None, ["chat"], None),
        (["chat"], None, None),
    ],
)
@every_loop
async def test_subprotocol_is_chosen_in_the_servers_order(
    ours: Any, offered: Any, chosen: str | None
) -> None:
    async with (
        serve(echo, "127.0.0.1", 0, subprotocols=ours) as server,
        connect(uri_of(server), subprotocols=offered) as ws,
    ):
        assert ws.subprotocol == chosen
        [theirs] = server.connections
        assert theirs.subprotocol == chosen


@every_loop
async def test_select_subprotocol_may_choose_or_refuse() -> None:
    def select(offered: Any) -> str | None:
        if not offered:
            raise InvalidRequest("a subprotocol is needed", 400)
        return str(offered[-1])

    async with serve(echo, "127.0.0.1", 0, select_subprotocol=select) as server:
        async with connect(uri_of(server), subprotocols=["a", "b"]) as ws:
            assert ws.subprotocol == "b"
        with pytest.raises(RejectedByServer, match="400"):
            await connect(uri_of(server))


@every_loop
async def test_select_subprotocol_that_fails_gives_500() -> None:
    async with serve(echo, "127.0.0.1", 0, select_subprotocol=lambda offered: "not offered") as server:
        head, _ = await answer_to(server, REQUEST)
        assert head.startswith(b"HTTP/1.1 500 ")
        assert len(logged()) == 1


@pytest.mark.parametrize("by_function", [True, False])
@every_loop
async def test_extra_headers_are_in_the_response(by_function: bool) -> None:
    fields = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    extra: Any = (lambda request: [("X-Path", request.path), *fields]) if by_function else fields
    async with (
        serve(echo, "127.0.0.1", 0, extra_headers=extra, server_header="mine") as server,
        connect(uri_of(server, "/p")) as ws,
    ):
        assert ws.response is not None
        assert ws.response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert ws.response.headers.get("X-Path") == ("/p" if by_function else None)
        assert ws.response.headers["Server"] == "mine"


@pytest.mark.parametrize("fields", [{"A": "b\r\nEvil: 1"}, {"A\r\n": "b"}, {"Sec-WebSocket-Accept": "x"}])
@every_loop
async def test_impossible_extra_headers_give_500(fields: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, extra_headers=lambda request: fields) as server:
        head, _ = await answer_to(server, REQUEST)
        assert head.startswith(b"HTTP/1.1 500 ") and b"Evil" not in head
        assert len(logged()) == 1


@pytest.mark.parametrize("cuts", [1, 7, 40])
@every_loop
async def test_request_may_come_in_pieces(cuts: int) -> None:
    async with serve(echo, "127.0.0.1", 0) as server, raw_client(server, b"") as peer:
        for start in range(0, len(REQUEST), cuts):
            await peer.send(REQUEST[start : start + cuts])
            await spin(1)
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")


@every_loop
async def test_frames_sent_before_the_answer_are_not_lost() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, raw_client(server, b"") as peer:
        await peer.send(REQUEST + data_frame(Role.SERVER, 1, b"early") + data_frame(Role.SERVER, 9, b"p"))
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        assert {(await peer.frame()).payload for _ in range(2)} == {b"early", b"p"}


@every_loop
async def test_frames_sent_while_process_request_waits_are_not_lost() -> None:
    released = asyncio.Event()

    async def process_request(protocol: Any, request: Request) -> None:
        await released.wait()

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        raw_client(server, b"") as peer,
    ):
        await peer.send(REQUEST + data_frame(Role.SERVER, 1, b"early"))
        await spin(5)
        await peer.send(data_frame(Role.SERVER, 1, b"later"))
        await spin(5)
        released.set()
        assert (await peer.head()).startswith(b"HTTP/1.1 101 ")
        assert [(await peer.frame()).payload for _ in range(2)] == [b"early", b"later"]


# process_request.


@pytest.mark.parametrize("asynchronous", [True, False])
@every_loop
async def test_one_port_serves_a_page_and_the_socket(asynchronous: bool) -> None:
    async def later(protocol: Any, request: Request) -> Response | None:
        await spin(3)
        return page(protocol, request)

    async with serve(echo, "127.0.0.1", 0, process_request=later if asynchronous else page) as server:
        head, body = await answer_to(server, GET)
        assert head.startswith(b"HTTP/1.1 200 ") and b"text/html" in head and body == b"<p>hello"
        async with connect(uri_of(server)) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"


@every_loop
async def test_page_for_a_client_that_sends_no_more_arrives_whole() -> None:
    body = bytes(range(256)) * 8192

    def large(protocol: Any, request: Request) -> Response:
        return Response(200, (), body)

    async with serve(echo, "127.0.0.1", 0, process_request=large) as server:
        assert (await answer_to(server, GET, half_close=True))[1] == body


@pytest.mark.parametrize("asynchronous", [True, False])
@every_loop
async def test_process_request_may_refuse(asynchronous: bool) -> None:
    def refuse(protocol: Any, request: Request) -> Response:
        return Response(401, {"WWW-Authenticate": "Basic"}, b"who are you?")

    async def refuse_later(protocol: Any, request: Request) -> Response:
        return refuse(protocol, request)

    async with serve(
        echo, "127.0.0.1", 0, process_request=refuse_later if asynchronous else refuse
    ) as server:
        with pytest.raises(RejectedByServer, match="401") as caught:
            await connect(uri_of(server))
        assert caught.value.response.headers["WWW-Authenticate"] == "Basic"
        assert caught.value.response.body == b"who are you?"


def _raising(protocol: Any, request: Request) -> Response | None:
    raise ZeroDivisionError


def _cancelled(protocol: Any, request: Request) -> Response | None:
    future: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future.result()


MISTAKES: dict[str, Callable[[Any, Request], Any]] = {
    "exception": _raising,
    "cancelled": _cancelled,
    "text": lambda protocol, request: Response(200, {}, cast("Any", "OK\n")),
    "content-length": lambda protocol, request: Response(200, {"Content-Length": "1"}, b"a"),
    "status-101": lambda protocol, request: Response(101),
    "body-with-204": lambda protocol, request: Response(204, (), b"a"),
    "no-response": lambda protocol, request: (200, b"a"),
}


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("mistake", MISTAKES)
@every_loop
async def test_mistake_in_process_request_gives_500(mistake: str, asynchronous: bool) -> None:
    process_request: Any = MISTAKES[mistake]

    async def later(protocol: Any, request: Request) -> Any:
        return process_request(protocol, request)

    async with serve(
        echo, "127.0.0.1", 0, process_request=later if asynchronous else process_request
    ) as server:
        async with raw_client(server, b"") as peer:
            await peer.send(REQUEST)
            head = await asyncio.wait_for(peer.head(), 2)
            assert head.startswith(b"HTTP/1.1 500 "), head
            await peer.rest()
        assert len(logged()) == 1


# open_timeout.


@pytest.mark.parametrize("sent", [b"", b"GET / HT", REQUEST[:-2]], ids=["nothing", "a-little", "nearly-all"])
@simulated
async def test_slow_handshake_gets_408_after_open_timeout(sent: bytes) -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=3) as server, raw_client(server, b"") as peer:
        await peer.send(sent)
        before = clock().time()
        assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
        assert await peer.rest() == b"Request Timeout\n"
        assert clock().time() - before == pytest.approx(3, abs=0.1)
        peer.close()
        await eventually(lambda: not server.connections, "the connection is gone")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="a task does not tell whether it was cancelled")
@every_loop
async def test_process_request_that_is_cancelled_with_the_program_is_no_failure() -> None:
    waiting: list[asyncio.Task[Any]] = []

    async def process_request(protocol: Any, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        waiting.append(task)
        await asyncio.Event().wait()

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        raw_client(server, b"") as peer,
    ):
        await peer.send(REQUEST)
        await eventually(lambda: waiting, "it waits")
        waiting[0].cancel()  # as `asyncio.run` does at its end
        await asyncio.wait(waiting)
        assert waiting[0].cancelled()
    assert logged() == []


@every_loop
async def test_client_that_has_left_is_not_accepted_by_whoever_overlooks_it() -> None:
    begun: list[Any] = []

    async def process_request(protocol: Any, request: Request) -> None:
        begun.append(protocol)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def handler(ws: WebSocketStream) -> None:
        raise AssertionError("there is nobody")

    async with serve(handler, "127.0.0.1", 0, process_request=process_request) as server:
        async with raw_client(server, b"") as peer:
            await peer.send(REQUEST)
            await eventually(lambda: begun, "it is asked")
            peer.reset()
            # Reading is paused meanwhile, so that nothing tells of it.
            begun[0].transport.abort()
            await spin(10)
        assert (logged(), begun[0].ready_state) == ([], State.CONNECTING)


@simulated
async def test_slow_process_request_gets_408_and_is_cancelled() -> None:
    cancelled = []

    async def process_request(protocol: Any, request: Request) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with (
        serve(echo, "127.0.0.1", 0, open_timeout=3, process_request=process_request) as server,
        raw_client(server, b"") as peer,
    ):
        await peer.send(REQUEST)
        assert (await peer.head()).startswith(b"HTTP/1.1 408 ")
        await eventually(lambda: cancelled, "process_request was cancelled")


@simulated
async def test_client_that_stays_after_a_refusal_is_dropped_at_open_timeout() -> None:
    async with serve(echo, "127.0.0.1", 0, open_timeout=3) as server, raw_client(server, b"") as peer:
        before = clock().time()
        await peer.send(GET)
        await peer.head()
        await eventually(lambda: not server.connections, "the connection is gone")
        assert clock().time() - before == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("half_close", [True, False])
@simulated
async def test_client_that_does_not_read_its_page_is_dropped(half_close: bool) -> None:
    def large(protocol: Any, request: Request) -> Response:
        return Response(200, (), bytes(30_000_000))

    async with (
        serve(echo, "127.0.0.1", 0, open_timeout=3, process_request=large) as server,
        raw_client(server, b"", receive_buffer=4096) as peer,
    ):
        before = clock().time()
        await peer.send(GET)
        if half_close:
            peer.half_close()
        await eventually(lambda: server.connections, "the connection is there")
        await eventually(lambda: not server.connections or clock().time() > before + 60, "time goes on")
        assert not server.connections, "the connection is still there after 60 s"
