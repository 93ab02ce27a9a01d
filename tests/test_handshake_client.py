"""The client's opening handshake: its request, and which answers it takes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from heads import KEY, REQUEST, RESPONSE, URI, cuts, fed, head, rejection, vectors
from linear import assert_linear
from wire import single_bytes

from fastframe._http_response import MAX_INTERIM_RESPONSES
from fastframe.deflate import PerMessageDeflate
from fastframe.errors import InvalidResponse, InvalidURI
from fastframe.handshake import MAX_REJECTION_BODY, PRODUCT, ClientHandshake
from fastframe.http_headers import Headers
from fastframe.uri import parse_uri


def handshake_of_the_rfc(**options: Any) -> ClientHandshake:
    return ClientHandshake(URI, key=KEY, subprotocols=["chat", "superchat"], **options)


def refusal(handshake: ClientHandshake, chunks: Iterable[bytes]) -> str:
    with pytest.raises(InvalidResponse) as caught:
        fed(handshake, chunks)
    assert type(caught.value) is InvalidResponse
    assert handshake.receive(RESPONSE) is None
    assert (handshake.response, handshake.trailing) == (None, b"")
    return str(caught.value)


def fields(request: bytes) -> list[tuple[str, str]]:
    lines = request.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def with_lines(*lines: str, **replace: list[str]) -> bytes:
    return head("response", {"name": "", "append": lines, "replace": replace})


# The request


def test_request_of_the_rfc_is_written_byte_for_byte() -> None:
    handshake = handshake_of_the_rfc(origin="http://example.com", user_agent_header=None)
    assert handshake.request() == REQUEST
    assert handshake.request() == REQUEST
    response = fed(handshake, [RESPONSE])
    assert (response.status, response.reason, response.body) == (101, "Switching Protocols", b"")
    assert handshake.response is response
    assert (handshake.subprotocol, handshake.deflate, handshake.trailing) == ("chat", None, b"")


def test_request_says_no_more_than_it_has_to() -> None:
    handshake = ClientHandshake("ws://example.com", key=KEY)
    assert handshake.request().startswith(b"GET / HTTP/1.1\r\n")
    assert fields(handshake.request()) == [
        ("Host", "example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("User-Agent", PRODUCT),
    ]


@pytest.mark.parametrize(
    ("uri", "target", "host"),
    [
        ("wss://example.com:8443/a?b=ü", "/a?b=%C3%BC", "example.com:8443"),
        ("ws://[::1]:80?a", "/?a", "[::1]"),
        ("wss://user:p@example.com/", "/", "example.com"),
    ],
)
def test_target_and_host_come_from_the_uri(uri: str, target: str, host: str) -> None:
    for given in (uri, parse_uri(uri)):
        handshake = ClientHandshake(given)
        assert handshake.request().startswith(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n".encode())
        assert handshake.uri == parse_uri(uri)


def test_user_information_becomes_basic_authorization() -> None:
    request = ClientHandshake("ws://us%40er:pass@example.com/").request()
    assert ("Authorization", "Basic " + base64.b64encode(b"us@er:pass").decode()) in fields(request)


def test_key_is_random_and_16_bytes() -> None:
    keys = {ClientHandshake(URI).headers["Sec-WebSocket-Key"] for _ in range(100)}
    assert len(keys) == 100
    assert {len(binascii.a2b_base64(key)) for key in keys} == {16}


def test_deflate_and_subprotocols_are_offered() -> None:
    deflate = PerMessageDeflate(server_no_context_takeover=True, client_max_window_bits=None)
    request = ClientHandshake(URI, deflate=deflate, subprotocols=["b", "a"]).request()
    assert ("Sec-WebSocket-Protocol", "b, a") in fields(request)
    assert ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover") in fields(request)


@pytest.mark.parametrize(
    "extra",
    [
        {"Host": "other"},
        {"host": "other"},
        {"User-Agent": "other"},
        {"AUTHORIZATION": "Bearer token"},
        {"Origin": "http://example.com"},
        {"Cookie": "a=b"},
    ],
)
def test_extra_headers_are_sent_instead_of_ours(extra: dict[str, str]) -> None:
    sent = fields(ClientHandshake("ws://user:pass@example.com/", extra_headers=extra).request())
    [(name, value)] = extra.items()
    assert [pair for pair in sent if pair[0].lower() == name.lower()] == [(name, value)]


def test_extra_headers_may_repeat_and_keep_their_bytes() -> None:
    extra = Headers([("X-A", "1"), ("X-A", "\xff")])
    assert b"\r\nX-A: 1\r\nX-A: \xff\r\n\r\n" in ClientHandshake(URI, extra_headers=extra).request()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_headers": {"X-Injected": "a\r\nX: y"}}, "X-Injected"),
        ({"extra_headers": {"X-Injected": "a\nb"}}, "X-Injected"),
        ({"extra_headers": {"X-Injected": "a\0"}}, "X-Injected"),
        ({"extra_headers": {"X-Injected\r\nX": "y"}}, "X-Injected"),
        ({"origin": "http://a\r\nX: y"}, "header Origin "),
        ({"user_agent_header": "a\r\nX: y"}, "header User-Agent "),
        ({"subprotocols": ["chat\r\nX: y"]}, "'chat.* is not a token"),
        ({"subprotocols": ["a, b"]}, "subprotocol 'a, b' is not a token"),
        ({"subprotocols": [""]}, "subprotocol '' is not a token"),
        ({"subprotocols": ["a", "a"]}, "subprotocols must differ from each other, got a, a"),
        ({"extra_headers": {"upgrade": "h2c"}}, "^header upgrade is not for the caller to set$"),
        ({"extra_headers": {"Sec-WebSocket-Key": KEY}}, "^header Sec-WebSocket-Key is not for the caller"),
        ({"extra_headers": {"Content-Length": "5"}}, "^header Content-Length is not for the caller"),
        ({"extra_headers": [("Host", "a"), ("Host", "b")]}, "^header Host is given more than once$"),
        (
            {"origin": "http://a", "extra_headers": [("Origin", "a"), ("origin", "b")]},
            "^header Origin is given more than once$",
        ),
        ({"key": "c2hvcnQ="}, "^Sec-WebSocket-Key 'c2hvcnQ=' is not 16 bytes in Base64$"),
        ({"max_header_size": 0}, "^max_header_size must be positive, got 0$"),
    ],
)
def test_mistakes_of_the_caller_are_refused_naming_them(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClientHandshake(URI, **options)


def test_subprotocols_as_a_string_and_bad_uris_are_refused() -> None:
    with pytest.raises(TypeError, match="^subprotocols must be a sequence of strings, got 'chat'$"):
        ClientHandshake(URI, subprotocols="chat")
    with pytest.raises(InvalidURI):
        ClientHandshake("http://example.com/")


# Acceptance


@pytest.mark.parametrize(("data", "vector"), vectors("response", "accepted"))
def test_proper_answers_are_accepted_however_they_are_cut(data: bytes, vector: dict[str, Any]) -> None:
    for chunks in cuts(data):
        handshake = handshake_of_the_rfc()
        assert fed(handshake, chunks).status == 101
        assert handshake.subprotocol == "chat"
        assert handshake.trailing == b"".join(chunks)[len(data) :]


@pytest.mark.parametrize(("data", "vector"), vectors("response", "hostile"))
def test_hostile_answers_are_refused_however_they_are_cut(data: bytes, vector: dict[str, Any]) -> None:
    for chunks in cuts(data):
        message = refusal(handshake_of_the_rfc(), chunks)
        assert message[: len(vector["message"])] == vector["message"]


def test_answer_may_choose_no_subprotocol() -> None:
    handshake = handshake_of_the_rfc()
    fed(handshake, [with_lines(**{"Sec-WebSocket-Protocol": []})])
    assert handshake.subprotocol is None


def test_subprotocol_without_an_offer_is_refused() -> None:
    message = refusal(ClientHandshake(URI, key=KEY), [RESPONSE])
    assert message == "Sec-WebSocket-Protocol 'chat' was not offered"


def test_trailing_holds_all_that_came_after_the_answer() -> None:
    handshake = handshake_of_the_rfc()
    assert handshake.receive(RESPONSE + b"\x81\x02\r\n") is not None
    assert handshake.receive(b"\x89\x00") is None
    handshake.end_of_data()
    assert handshake.trailing == b"\x81\x02\r\n\x89\x00"


@pytest.mark.parametrize(
    ("answered", "message"),
    [
        ("permessage-deflate", None),
        ("permessage-deflate; server_max_window_bits=10", None),
        ("permessage-deflate; server_max_window_bits=99", "server_max_window_bits=99"),
        ("permessage-deflate; frobnicate", "frobnicate"),
        ("permessage-frob", "extension 'permessage-frob' was not offered"),
        ("permessage-deflate, permessage-deflate", "extension 'permessage-deflate' occurs more than once"),
        ("permessage-deflate, x-other", "extension 'x-other' was not offered"),
    ],
)
def test_answered_extension_is_checked(answered: str, message: str | None) -> None:
    handshake = handshake_of_the_rfc(deflate=PerMessageDeflate())
    data = with_lines(f"Sec-WebSocket-Extensions: {answered}")
    if message is None:
        fed(handshake, [data])
        assert handshake.deflate is not None
    else:
        assert message in refusal(handshake, [data])
        assert handshake.deflate is None


def test_deflate_may_be_declined() -> None:
    handshake = handshake_of_the_rfc(deflate=PerMessageDeflate())
    fed(handshake, [RESPONSE])
    assert handshake.deflate is None


# Interim responses


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("status", [100, 102, 103, 199])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_interim_responses_are_passed_over(status: int, size: int) -> None:
    handshake = handshake_of_the_rfc()
    data = INTERIM.replace(b"103", b"%d" % status) * MAX_INTERIM_RESPONSES + RESPONSE + b"\x81\x02Hi"
    response = fed(handshake, [data[start : start + size] for start in range(0, len(data), size)])
    assert (response.status, "Link" in response.headers, handshake.subprotocol) == (101, False, "chat")
    assert handshake.trailing == b"\x81\x02Hi"


def test_interim_responses_without_end_are_refused() -> None:
    data = INTERIM * (MAX_INTERIM_RESPONSES + 1)
    for chunks in ([data], [INTERIM] * (MAX_INTERIM_RESPONSES + 1), single_bytes(data)):
        assert refusal(handshake_of_the_rfc(), chunks) == "more than 10 interim responses (HTTP status 1xx)"


def test_each_interim_response_has_the_limits_of_a_head_and_no_more() -> None:
    limits = {"max_header_count": 5, "max_headers_bytes": 200}
    assert fed(handshake_of_the_rfc(**limits), [INTERIM * 5 + RESPONSE]).status == 101
    long = INTERIM.replace(b"style", b"style" * 40)
    assert refusal(handshake_of_the_rfc(**limits), [INTERIM + long]) == "HTTP head exceeds 200 bytes"


def test_rejection_may_come_behind_interim_responses() -> None:
    for size in (10_000, 1):
        response = rejection(INTERIM + b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nHello", size=size)
        assert (response.status, response.body) == (404, b"Hello")


# Rejection


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nHello", b"Hello"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nHello, again", b"Hello"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"2\r\nHe\r\n3;a=b\r\nllo\r\n0\r\nX: y\r\n\r\n",
            b"Hello",
        ),
    ],
)
def test_rejection_comes_at_the_end_of_its_body(data: bytes, body: bytes) -> None:
    for size in (len(data), 7, 1):
        assert rejection(data, size=size).body == body


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\nHello", b"Hello"),
        (b"HTTP/1.0 404 Not Found\r\n\r\nHello", b"Hello"),
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n", b""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 50\r\n\r\nHello", b"Hello"),
        (b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nHello", b"Hello"),
    ],
)
def test_body_may_end_with_the_connection(data: bytes, body: bytes) -> None:
    for size in (len(data), 1):
        assert rejection(data, ended=True, size=size).body == body


@pytest.mark.parametrize(
    "rest",
    [
        b"xyz\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\r\n" + b"5;" + b"a" * 5000 + b"\r\nHello\r\n0\r\n\r\n",
        b"3\r\nabc\r\n" + b"5" * 5000,
    ],
)
def test_malformed_body_ends_where_it_is_malformed(rest: bytes) -> None:
    for size in (10_000, 1):
        response = rejection(b"HTTP/1.1 502 Oh\r\nTransfer-Encoding: chunked\r\n\r\n" + rest, size=size)
        assert response.status == 502
        assert response.body == (b"abc" if rest.startswith(b"3") else b"")


@pytest.mark.parametrize(
    ("headers", "piece"),
    [
        (b"", b"x" * 999),
        (b"Content-Length: 10000000\r\n", b"x" * 999),
        (b"Transfer-Encoding: chunked\r\n", b"3\r\nxxx\r\n" * 999),
    ],
)
def test_body_is_read_up_to_64_kib(headers: bytes, piece: bytes) -> None:
    assert MAX_REJECTION_BODY == 65536
    data = b"HTTP/1.1 500 Oh\r\n" + headers + b"\r\n" + piece * 300
    for size in (len(data), 1000):
        assert rejection(data, size=size).body == b"x" * 65536


def test_rejection_has_what_redirects_need() -> None:
    response = rejection(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: wss://b.example/\r\nContent-Length: 0\r\n\r\n"
    )
    assert (response.status, response.reason) == (307, "Temporary Redirect")
    assert response.headers["location"] == "wss://b.example/"


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 101 Switching Protocols\r\n", RESPONSE[:-1], INTERIM, INTERIM + b"HTTP"]
)
def test_end_before_the_end_of_the_head_is_an_error(data: bytes) -> None:
    handshake = handshake_of_the_rfc()
    assert handshake.receive(data) is None
    with pytest.raises(InvalidResponse, match="^server closed the connection before the end of its HTTP"):
        handshake.end_of_data()
    handshake.end_of_data()
    assert handshake.receive(RESPONSE) is None


# Limits


def _last(handshake: ClientHandshake, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        try:
            handshake.receive(chunk)
        except InvalidResponse:
            return


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ({"max_header_size": 50}, b"HTTP/1.1 101 " + b"a" * 39, "status line exceeds 50 bytes"),
        ({"max_header_size": 50}, with_lines("X: " + "a" * 48), "HTTP header exceeds 50 bytes"),
        ({"max_header_count": 3}, RESPONSE, "more than 3 HTTP headers"),
        ({"max_headers_bytes": 100}, RESPONSE, "HTTP head exceeds 100 bytes"),
        ({}, b"HTTP/1.1 101 Ok\r\n" + b"X: y\r\n" * 129, "more than 128 HTTP headers"),
        ({}, b"a" * 8194, "status line exceeds 8192 bytes"),
        ({}, b"HTTP/1.1 101 Ok\r\n" + b"a" * 8194, "HTTP header exceeds 8192 bytes"),
    ],
)
def test_limits_hold_for_answers(options: dict[str, int], data: bytes, message: str) -> None:
    for chunks in ([data], single_bytes(data)):
        assert refusal(handshake_of_the_rfc(**options), chunks) == message


def test_answers_at_the_limits_are_read() -> None:
    lines = RESPONSE.count(b"\r\n") - 2
    longest = max(map(len, RESPONSE.split(b"\r\n")))
    limits = {
        "max_header_count": lines,
        "max_header_size": longest,
        "max_headers_bytes": len(RESPONSE),
    }
    assert fed(handshake_of_the_rfc(**limits), [RESPONSE]).status == 101
    for option, limit in limits.items():
        refusal(handshake_of_the_rfc(**{**limits, option: limit - 1}), [RESPONSE])


CHUNKED = b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda n: [with_lines("X:" + " " * n + "\0")], id="spaces-then-nul"),
        pytest.param(lambda n: single_bytes(with_lines("X: " + "a" * n)), id="trickled"),
        pytest.param(lambda n: [b"HTTP/1.1 404 Oh\r\n\r\n", *single_bytes(b"x" * n)], id="trickled-body"),
        # h11 alone takes quadratic time for these two.
        pytest.param(lambda n: [CHUNKED + b"5;" + b" " * n + b"\n" + b" " * n + b"\r\n"], id="chunk-header"),
        pytest.param(lambda n: [CHUNKED + b"0\r\nX:" + b" " * n + b"\0\r\n\r\n"], id="trailer"),
        pytest.param(lambda n: [CHUNKED + b"1\r\nx\r\n" * (n // 6)], id="small-chunks"),
        pytest.param(lambda n: [RESPONSE, *[b"\x89\x00"] * n], id="trailing"),
        pytest.param(lambda n: [INTERIM * n], id="interim-responses"),
    ],
)
def test_time_is_linear(shape: Callable[[int], list[bytes]]) -> None:
    limits = {"max_header_count": 10**6, "max_header_size": 10**7, "max_headers_bytes": 10**7}

    def taking(n: int) -> Callable[[], object]:
        chunks = shape(n)
        return lambda: _last(handshake_of_the_rfc(**limits), chunks)

    assert_linear(taking, 4_000)
