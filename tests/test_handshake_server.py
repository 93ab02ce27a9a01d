"""The server's opening handshake: which requests it takes, and how it answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from heads import ACCEPT, KEY, REQUEST, RESPONSE, answer, cuts, fed, refusal, vectors, with_lines
from hypothesis import given
from hypothesis import strategies as st

from fastframe.errors import InvalidRequest
from fastframe.handshake import PRODUCT, Request, Response, ServerHandshake, accept_key
from fastframe.http_headers import Headers

# Requests


def test_handshake_of_the_rfc_is_answered_byte_for_byte() -> None:
    handshake = ServerHandshake(subprotocols=["chat"], server_header=None)
    request = fed(handshake, [REQUEST])
    assert handshake.accept(request) == RESPONSE
    assert handshake.subprotocol == "chat"
    assert handshake.trailing == b""
    assert request.path == "/chat"
    assert request.subprotocols == ("chat", "superchat")
    assert request.headers.items()[0] == ("Host", "server.example.com")
    assert handshake.request is request
    assert handshake.response is not None
    assert (handshake.response.status, handshake.response.reason) == (101, "Switching Protocols")
    assert handshake.response.headers["Sec-WebSocket-Accept"] == ACCEPT


@pytest.mark.parametrize(("data", "vector"), vectors("request", "accepted"))
def test_proper_requests_are_accepted_however_they_are_cut(data: bytes, vector: dict[str, Any]) -> None:
    for chunks in cuts(data):
        handshake = ServerHandshake(server_header=None)
        request = fed(handshake, chunks)
        assert request.is_upgrade
        _, fields, _ = answer(handshake.accept(request))
        assert fields == {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": vector.get("accept", ACCEPT),
        }
        assert handshake.trailing == b"".join(chunks)[len(data) :]


@pytest.mark.parametrize(("data", "vector"), vectors("request", "hostile"))
def test_hostile_requests_are_refused_however_they_are_cut(data: bytes, vector: dict[str, Any]) -> None:
    for chunks in cuts(data):
        handshake = ServerHandshake()
        error = refusal(handshake, chunks)
        assert (error.status, str(error)[: len(vector["message"])]) == (vector["status"], vector["message"])
    status, fields, body = answer(handshake.reject(error.status, error.headers, b"why"))
    assert status.startswith(b"HTTP/1.1 %d " % vector["status"])
    assert fields["Connection"].split(", ")[0] == "close"
    assert fields["Content-Length"] == "3"
    assert body == (b"" if vector["name"] == "method-head" else b"why")
    assert fields.get("Allow") == ("GET" if vector["status"] == 405 else None)
    upgrade = "websocket" if vector["status"] == 426 else None
    assert (fields.get("Upgrade"), fields.get("Sec-WebSocket-Version")) == (upgrade, upgrade and "13")


@pytest.mark.parametrize(("data", "vector"), vectors("request", "no_upgrade"))
def test_requests_for_something_else_are_returned_but_not_accepted(
    data: bytes, vector: dict[str, Any]
) -> None:
    for chunks in cuts(data):
        handshake = ServerHandshake(origins=[])
        request = fed(handshake, chunks)
        assert not request.is_upgrade
        with pytest.raises(InvalidRequest, match="^not a request for a WebSocket connection$") as caught:
            handshake.accept(request)
        assert caught.value.status == 426
        status, fields, _ = answer(handshake.reject(426, caught.value.headers))
        assert status == b"HTTP/1.1 426 Upgrade Required"
        assert fields["Connection"] == "close, Upgrade"
        assert (fields["Upgrade"], fields["Sec-WebSocket-Version"]) == ("websocket", "13")


@pytest.mark.parametrize("target", ["/", "//a", "/a?b=c/d", "/%20", "/a?#"[:-1], "/a:b@c", "/{}|^"])
def test_path_is_the_target_as_sent(target: str) -> None:
    request = fed(ServerHandshake(), [with_lines(GET=[f"GET {target} HTTP/1.1"])])
    assert request.path == target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://server.example.com/chat?a=b", "/chat?a=b"),
        ("hTTps://SERVER.example.com//a/http://b", "//a/http://b"),
        ("http://server.example.com", "/"),
        ("http://server.example.com?a=/b", "/?a=/b"),
    ],
)
def test_path_is_what_follows_the_authority(target: str, path: str) -> None:
    request = fed(ServerHandshake(), [with_lines(GET=[f"GET {target} HTTP/1.1"])])
    assert (request.path, request.headers["Host"]) == (path, "server.example.com")


def test_long_target_is_shown_in_part() -> None:
    for target in (f"a{'b' * 5000}", f"http://{'h' * 5000}/"):
        error = refusal(ServerHandshake(), [with_lines(GET=[f"GET {target} HTTP/1.1"])])
        assert len(str(error)) < 300


def test_header_names_keep_their_case_and_values_their_bytes() -> None:
    request = fed(ServerHandshake(), [with_lines("x-CaSe:  a\xff \tb\t")])
    assert request.headers.items()[-1] == ("x-CaSe", "a\xff \tb")


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=4),
            st.text(st.sampled_from("a:, \t\x80\x85\xa0\xff\x00\x0b\x1c\x7f"), max_size=6),
        ),
        max_size=3,
    )
)
def test_no_header_comes_in_that_could_not_be_sent(fields: list[tuple[str, str]]) -> None:
    lines = [f"{name}:{value}" for name, value in fields]
    try:
        request = fed(ServerHandshake(), [with_lines(*lines)])
    except InvalidRequest:
        return
    # They are not checked again when they come in.
    assert Headers(request.headers.items()) == request.headers
    written = [(name, value.strip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
    assert request.headers.items()[len(request.headers) - len(lines) :] == written


def test_another_handshake_has_the_options_and_nothing_else() -> None:
    first = ServerHandshake(origins=["http://a.test"], subprotocols=["chat"], server_header="mine")
    refusal(first, [REQUEST])
    first.reject(403)
    second = first.another()
    assert (second.request, second.response) == (None, None)
    request = fed(second, [with_lines(Origin=["Origin: http://a.test"])])
    assert b"\r\nServer: mine\r\n" in second.accept(request)
    assert second.subprotocol == "chat"
    refusal(second.another(), [REQUEST])


def test_nothing_is_returned_before_the_empty_line() -> None:
    handshake = ServerHandshake()
    for place in range(len(REQUEST) - 1):
        assert handshake.receive(REQUEST[place : place + 1]) is None
    assert handshake.request is None
    assert isinstance(handshake.receive(REQUEST[-1:]), Request)


def test_trailing_holds_all_that_came_after_the_request() -> None:
    handshake = ServerHandshake()
    assert handshake.receive(REQUEST + b"\x00\r\n\r\n") is not None
    assert handshake.receive(b"\x01") is None
    assert handshake.receive(b"") is None
    assert handshake.receive(b"\r\n") is None
    assert handshake.trailing == b"\x00\r\n\r\n\x01\r\n"


@pytest.mark.parametrize("data", [b"\x16", b"GET / HTTP/1.0\r\n\r\n", with_lines(Origin=["Origin: evil"])])
def test_what_comes_after_a_failure_is_dropped(data: bytes) -> None:
    handshake = ServerHandshake(origins=["http://example.com"])
    refusal(handshake, [data])
    assert handshake.receive(REQUEST) is None
    assert handshake.trailing == b""


def test_reader_of_a_refused_origin_can_log_the_request() -> None:
    handshake = ServerHandshake(origins=[])
    refusal(handshake, [REQUEST])
    assert handshake.request is not None
    assert handshake.request.path == "/chat"


# Our own header fields


def test_extra_headers_are_sent_with_the_acceptance() -> None:
    handshake = ServerHandshake()
    extra = [("Set-Cookie", "a=b"), ("Set-Cookie", "c=d\xff")]
    data = handshake.accept(fed(handshake, [REQUEST]), extra_headers=extra)
    assert b"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\xff\r\n" in data
    assert data.endswith(f"\r\nServer: {PRODUCT}\r\n\r\n".encode())


@pytest.mark.parametrize("name", ["Server", "SERVER"])
def test_server_header_of_the_caller_takes_the_place_of_ours(name: str) -> None:
    for data in (
        (accepting := ServerHandshake()).accept(fed(accepting, [REQUEST]), extra_headers={name: "other"}),
        ServerHandshake().reject(404, {name: "other"}),
    ):
        assert re.findall(rb"(?i)server: (.*)\r\n", data) == [b"other"]
    assert b"Server" not in ServerHandshake(server_header=None).reject(404)


@pytest.mark.parametrize(
    "field",
    [
        ("X-Injected", "a\r\nSet-Cookie: b"),
        ("X-Injected", "a\nb"),
        ("X-Injected", "a\rb"),
        ("X-Injected", "a\0b"),
        ("X-Injected", "\u20ac"),
        ("X-Injected\r\nX", "a"),
        ("X-Injected: a\r\nX", "a"),
        ("X-Injected ", "a"),
    ],
)
def test_header_injection_is_refused_naming_the_header(field: tuple[str, str]) -> None:
    handshake = ServerHandshake()
    request = fed(handshake, [REQUEST])
    with pytest.raises(ValueError, match="X-Injected"):
        handshake.accept(request, extra_headers=[field])
    with pytest.raises(ValueError, match="X-Injected"):
        handshake.reject(404, [field])
    assert handshake.response is None


def test_server_header_cannot_inject() -> None:
    with pytest.raises(ValueError, match="header Server "):
        ServerHandshake(server_header="a\r\nX: y").reject(404)


@pytest.mark.parametrize(
    "name", ["Connection", "UPGRADE", "sec-websocket-protocol", "Content-Length", "Transfer-Encoding"]
)
def test_headers_of_the_handshake_are_not_the_callers_to_set(name: str) -> None:
    handshake = ServerHandshake()
    with pytest.raises(ValueError, match=f"^header {name} is not for the caller to set$"):
        handshake.accept(fed(handshake, [REQUEST]), extra_headers={name: "chat"})


# Ordinary answers


def test_ordinary_answer_carries_status_headers_and_body() -> None:
    handshake = ServerHandshake(server_header="test")
    fed(handshake, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
    data = handshake.reject(200, {"Content-Type": "text/html", "Date": "now"}, b"<p>hello\r\n\r\n")
    assert data == (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 12\r\nContent-Type: text/html\r\n"
        b"Date: now\r\nServer: test\r\n\r\n<p>hello\r\n\r\n"
    )
    assert handshake.response is not None
    assert (handshake.response.status, handshake.response.body) == (200, b"<p>hello\r\n\r\n")


def test_body_is_plain_text_unless_said_otherwise_and_the_answer_is_dated() -> None:
    _, fields, body = answer(ServerHandshake().reject(503, (), "später".encode()))
    assert fields["Content-Type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", fields["Date"])
    assert (fields["Content-Length"], body.decode()) == ("7", "später")


@pytest.mark.parametrize(("status", "length"), [(204, None), (304, None), (404, "0"), (599, "0")])
def test_answer_without_a_body_says_so(status: int, length: str | None) -> None:
    line, fields, body = answer(ServerHandshake().reject(status))
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert (fields.get("Content-Length"), fields.get("Content-Type"), body) == (length, None, b"")


@pytest.mark.parametrize("fields", [[("A", "b")], {"A": "b"}, iter([("A", "b")]), Headers({"A": "b"})])
def test_response_takes_headers_in_any_form(fields: Any) -> None:
    response = Response(200, fields, b"body")
    assert response.headers == Headers({"A": "b"})
    assert response == Response(200, {"a": "b"}, b"body", "")
    with pytest.raises(ValueError, match="X-Injected"):
        Response(200, [("X-Injected", "a\r\nb")])


def test_impossible_answers_are_refused() -> None:
    for status in (100, 101, 199, 600):
        with pytest.raises(ValueError, match=f"^status must be in 200..599, got {status}$"):
            ServerHandshake().reject(status)
    with pytest.raises(ValueError, match="^an answer with status 204 has no body$"):
        ServerHandshake().reject(204, (), b"x")
    for name in ("Connection", "content-length", "Transfer-Encoding"):
        with pytest.raises(ValueError, match=f"^header {name} is not for the caller to set$"):
            ServerHandshake().reject(200, {name: "5"})


def test_request_is_answered_once() -> None:
    handshake = ServerHandshake()
    request = fed(handshake, [REQUEST])
    handshake.accept(request)
    with pytest.raises(RuntimeError, match="^the request is answered already, with status 101$"):
        handshake.reject(500)
    with pytest.raises(RuntimeError, match="^the request is answered already, with status 101$"):
        handshake.accept(request)


# Keys


def test_accept_key_is_that_of_the_rfc() -> None:
    assert accept_key(KEY) == ACCEPT


@pytest.mark.parametrize(
    "key", ["", KEY[:-1], KEY + "=", KEY + "\n", f" {KEY}", KEY.replace("G", "-"), KEY * 2, "\xff"]
)
def test_accept_key_wants_16_bytes_in_base64(key: str) -> None:
    with pytest.raises(ValueError, match="is not 16 bytes in Base64$"):
        accept_key(key)


def test_request_made_by_hand_can_be_accepted() -> None:
    request = Request("/", Headers({"Sec-WebSocket-Key": KEY}), is_upgrade=True)
    _, fields, _ = answer(ServerHandshake().accept(request))
    assert fields["Sec-WebSocket-Accept"] == ACCEPT
