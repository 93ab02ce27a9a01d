from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from heads import ACCEPT, KEY, REQUEST, RESPONSE, cuts, head, vectors
from linear import assert_linear
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response as PeerResponse
from websockets.typing import Subprotocol
from websockets.uri import parse_uri as peer_uri
from wire import single_bytes

from fastframe.deflate import PerMessageDeflate
from fastframe.errors import InvalidRequest
from fastframe.handshake import PRODUCT, Request, ServerHandshake, accept_key
from fastframe.http_headers import Headers


def fed(handshake: ServerHandshake, chunks: Iterable[bytes]) -> Request:
    """The request, which has to come out exactly once."""
    results = [handshake.receive(chunk) for chunk in chunks]
    [request] = [result for result in results if result is not None]
    return request


def refusal(handshake: ServerHandshake, chunks: Iterable[bytes]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        fed(handshake, chunks)
    return caught.value


def with_lines(*lines: str, **replace: list[str]) -> bytes:
    return head("request", {"name": "", "append": lines, "replace": replace})


def answer(data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, header fields and body."""
    lines, _, body = data.partition(b"\r\n\r\n")
    status, *fields = lines.split(b"\r\n")
    pairs = (field.decode("latin-1").partition(": ") for field in fields)
    return status, {name: value for name, _, value in pairs}, body


# The request and its answer


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


def test_header_names_keep_their_case_and_values_their_bytes() -> None:
    request = fed(ServerHandshake(), [with_lines("x-CaSe:  a\xff \tb\t")])
    assert request.headers.items()[-1] == ("x-CaSe", "a\xff \tb")


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


# Limits


def filled(size: int, line: bytes = b"X: ") -> bytes:
    return line + b"a" * (size - len(line))


@pytest.mark.parametrize(
    ("option", "limit", "data", "status", "message"),
    [
        pytest.param(
            "max_header_size",
            100,
            lambda size: b"GET /" + b"a" * (size - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            414,
            "request line exceeds 100 bytes",
            id="request-line",
        ),
        pytest.param(
            "max_header_size",
            100,
            lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n" + filled(size) + b"\r\n\r\n",
            431,
            "HTTP header exceeds 100 bytes",
            id="last-header",
        ),
        pytest.param(
            "max_header_size",
            100,
            lambda size: b"GET / HTTP/1.1\r\n" + filled(size) + b"\r\nHost: a\r\n\r\n",
            431,
            "HTTP header exceeds 100 bytes",
            id="first-header",
        ),
        pytest.param(
            "max_header_count",
            7,
            lambda count: b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * (count - 1) + b"\r\n",
            431,
            "more than 7 HTTP headers",
            id="headers",
        ),
        pytest.param(
            "max_headers_bytes",
            200,
            lambda size: b"GET / HTTP/1.1\r\nHost: a\r\n" + filled(size - 29) + b"\r\n\r\n",
            431,
            "HTTP head exceeds 200 bytes",
            id="all",
        ),
    ],
)
def test_limits_are_kept_to_the_byte(
    option: str, limit: int, data: Callable[[int], bytes], status: int, message: str
) -> None:
    for chunks in cuts(data(limit)):
        assert fed(ServerHandshake(**{option: limit}), chunks).headers["Host"] == "a"  # type: ignore[arg-type]
    for chunks in cuts(data(limit + 1)):
        error = refusal(ServerHandshake(**{option: limit}), chunks)  # type: ignore[arg-type]
        assert (error.status, str(error)) == (status, message)


@pytest.mark.parametrize(
    ("piece", "status", "last"),
    [
        (b"a", 414, 8194),
        (b"GET / HTTP/1.1\r\n" + b"a" * 65536, 431, 16 + 8194),
        (b"X: y\r\n", 431, 130 * 6),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 100, 431, 65537),
    ],
)
def test_heads_without_an_end_are_refused_once_a_limit_is_passed(
    piece: bytes, status: int, last: int
) -> None:
    endless = piece * (2 * 1024 * 1024 // len(piece))
    for size in (len(endless), 1000, 1):
        handshake = ServerHandshake()
        for start in range(0, len(endless), size):
            try:
                handshake.receive(endless[start : start + size])
            except InvalidRequest as error:
                assert error.status == status
                assert start < last <= start + size
                break
        else:
            pytest.fail("never refused")


@pytest.mark.parametrize("option", ["max_header_count", "max_header_size", "max_headers_bytes"])
def test_limits_must_be_positive(option: str) -> None:
    with pytest.raises(ValueError, match=f"^{option} must be positive, got 0$"):
        ServerHandshake(**{option: 0})  # type: ignore[arg-type]


def _last(handshake: ServerHandshake, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        try:
            handshake.receive(chunk)
        except InvalidRequest:
            return


@pytest.mark.parametrize(
    "shape",
    [
        # h11 alone takes quadratic time for this one.
        pytest.param(lambda n: [with_lines("X:" + " " * n + "\0")], id="spaces-then-nul"),
        pytest.param(lambda n: [with_lines("X:" + " " * n + "y" + " " * n + "\x7f")], id="more-spaces"),
        pytest.param(lambda n: [with_lines("X:" + " " * n + "\xff" + " " * n)], id="spaces"),
        pytest.param(lambda n: [with_lines("X" * n + " : y")], id="long-name"),
        pytest.param(lambda n: [with_lines(*["X: y"] * (n // 8))], id="many-headers"),
        pytest.param(lambda n: single_bytes(with_lines("X: " + "a" * n)), id="trickled"),
        pytest.param(lambda n: single_bytes(b"X: y\r\n" * (n // 6)), id="trickled-headers"),
        pytest.param(lambda n: [b"\r"] * n, id="trickled-cr"),
        pytest.param(lambda n: [with_lines("Connection: " + "," * n)], id="commas"),
        pytest.param(lambda n: [with_lines("Sec-WebSocket-Extensions: b" + " " * n + "x")], id="ws-cve-2021"),
        pytest.param(lambda n: [with_lines('Sec-WebSocket-Extensions: a; b="' + "\\a" * n)], id="cve-2020"),
        pytest.param(lambda n: [with_lines("Sec-WebSocket-Extensions: " + "a;" * n)], id="parameters"),
        pytest.param(lambda n: [with_lines("Upgrade: " + " ,x" * n)], id="upgrades"),
    ],
)
def test_time_is_linear(shape: Callable[[int], list[bytes]]) -> None:
    limits: dict[str, Any] = {
        "max_header_count": 10**6,
        "max_header_size": 10**7,
        "max_headers_bytes": 10**7,
    }

    def taking(n: int) -> Callable[[], object]:
        chunks = shape(n)
        return lambda: _last(ServerHandshake(**limits), chunks)

    assert_linear(taking, 4_000)


# Origin


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (None, "http://evil.example", True),
        (None, None, True),
        ([], "http://example.com", False),
        ([], None, False),
        (["http://example.com"], "http://example.com", True),
        (["http://example.com"], "http://example.com.evil.example", False),
        (["http://example.com"], "http://example.com:80", False),
        (["http://example.com"], "https://example.com", False),
        (["http://example.com"], "HTTP://EXAMPLE.COM", False),
        (["http://example.com"], "null", False),
        (["http://example.com"], None, False),
        (["http://example.com"], "", False),
        (["http://example.com", None], None, True),
        ([None], "http://example.com", False),
        (["null"], "null", True),
        ([re.compile(r"https://[a-z]+\.example\.com")], "https://a.example.com", True),
        ([re.compile(r"https://[a-z]+\.example\.com")], "https://a.example.com.evil", False),
        ([re.compile(r"https://[a-z]+\.example\.com")], "xhttps://a.example.com", False),
        ([re.compile(r"https://[a-z]+\.example\.com")], None, False),
        ([re.compile(".*"), None], None, True),
    ],
)
def test_origins_decide_who_may_connect(
    origins: Sequence[str | re.Pattern[str] | None] | None, origin: str | None, allowed: bool
) -> None:
    data = with_lines(Origin=[] if origin is None else [f"Origin: {origin}"])
    handshake = ServerHandshake(origins=origins)
    if allowed:
        assert fed(handshake, [data]).is_upgrade
    else:
        error = refusal(handshake, [data])
        shown = "without Origin" if origin is None else f"from origin {origin!r}"
        assert (error.status, str(error)) == (403, f"request {shown} is not allowed")


@pytest.mark.parametrize("option", ["origins", "subprotocols"])
def test_string_instead_of_a_sequence_of_strings_is_refused(option: str) -> None:
    with pytest.raises(TypeError, match=f"^{option} must be a sequence of strings, got 'chat'$"):
        ServerHandshake(**{option: "chat"})  # type: ignore[arg-type]


# Subprotocol


@pytest.mark.parametrize(
    ("ours", "offered", "chosen"),
    [
        (None, "chat, superchat", None),
        ([], "chat", None),
        (["chat"], None, None),
        (["chat"], "superchat", None),
        (["chat"], "Chat", None),
        (["superchat", "chat"], "chat, superchat", "superchat"),
        (["other", "chat"], " ,chat ,, superchat", "chat"),
    ],
)
def test_first_of_our_subprotocols_that_is_offered_is_chosen(
    ours: list[str] | None, offered: str | None, chosen: str | None
) -> None:
    field = [] if offered is None else [f"Sec-WebSocket-Protocol: {offered}"]
    handshake = ServerHandshake(subprotocols=ours)
    request = fed(handshake, [with_lines(**{"Sec-WebSocket-Protocol": field})])
    _, fields, _ = answer(handshake.accept(request))
    assert fields.get("Sec-WebSocket-Protocol") == handshake.subprotocol == chosen


def test_function_chooses_the_subprotocol_and_sees_what_is_offered() -> None:
    seen: list[list[str]] = []

    def select(offered: Sequence[str]) -> str | None:
        seen.append(list(offered))
        return offered[-1] if offered else None

    for field, chosen in ((["Sec-WebSocket-Protocol: chat, superchat"], "superchat"), ([], None)):
        handshake = ServerHandshake(subprotocols=["chat"], select_subprotocol=select)
        handshake.accept(fed(handshake, [with_lines(**{"Sec-WebSocket-Protocol": field})]))
        assert handshake.subprotocol == chosen
    assert seen == [["chat", "superchat"], []]


def test_function_may_refuse_the_offers() -> None:
    def select(offered: Sequence[str]) -> str:
        raise InvalidRequest("speak mega or go", 400)

    handshake = ServerHandshake(select_subprotocol=select)
    request = fed(handshake, [REQUEST])
    with pytest.raises(InvalidRequest, match="^speak mega or go$"):
        handshake.accept(request)
    assert handshake.reject(400).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("chosen", ["mega", "Chat", ""])
def test_choosing_a_subprotocol_that_is_not_offered_is_refused(chosen: str) -> None:
    for handshake, options in (
        (ServerHandshake(select_subprotocol=lambda offered: chosen), {}),
        (ServerHandshake(), {"subprotocol": chosen}),
    ):
        request = fed(handshake, [REQUEST])
        with pytest.raises(ValueError, match=f"^subprotocol '{chosen}' is not one that the client offers "):
            handshake.accept(request, **options)  # type: ignore[arg-type]
        assert handshake.response is None


def test_subprotocol_of_accept_takes_the_place_of_the_options() -> None:
    for given in ("superchat", None):
        handshake = ServerHandshake(subprotocols=["chat"])
        _, fields, _ = answer(handshake.accept(fed(handshake, [REQUEST]), subprotocol=given))
        assert fields.get("Sec-WebSocket-Protocol") == handshake.subprotocol == given


@pytest.mark.parametrize("subprotocols", [["a b"], [""], ["a,b"], ["chat\r\nX: y"], ["a", "b", "a"]])
def test_subprotocols_must_be_different_tokens(subprotocols: list[str]) -> None:
    with pytest.raises(ValueError, match="is not a token|must differ"):
        ServerHandshake(subprotocols=subprotocols)


# Extensions


@pytest.mark.parametrize(
    ("deflate", "offer", "agreed"),
    [
        (None, "permessage-deflate", None),
        (PerMessageDeflate(), None, None),
        (PerMessageDeflate(), "x-other, x-more; a=b", None),
        (PerMessageDeflate(), "permessage-deflate; server_max_window_bits=99", None),
        (
            PerMessageDeflate(),
            "x-other, permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
    ],
)
def test_deflate_is_agreed_on_or_declined(
    deflate: PerMessageDeflate | None, offer: str | None, agreed: str | None
) -> None:
    lines = [] if offer is None else [f"Sec-WebSocket-Extensions: {offer}"]
    handshake = ServerHandshake(deflate=deflate)
    _, fields, _ = answer(handshake.accept(fed(handshake, [with_lines(*lines)])))
    assert fields.get("Sec-WebSocket-Extensions") == agreed
    assert (handshake.deflate is None) == (agreed is None)


def test_offers_in_several_headers_are_one_list() -> None:
    handshake = ServerHandshake(deflate=PerMessageDeflate())
    lines = ("Sec-WebSocket-Extensions: x-other", "Sec-WebSocket-Extensions: permessage-deflate")
    request = fed(handshake, [with_lines(*lines)])
    assert [extension.name for extension in request.extensions] == ["x-other", "permessage-deflate"]
    handshake.accept(request)
    assert handshake.deflate is not None


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


# websockets as the client


def test_websockets_connects_with_subprotocol_and_deflate() -> None:
    peer = ClientProtocol(
        peer_uri("ws://example.com:8765/a?b"),
        subprotocols=[Subprotocol("chat"), Subprotocol("superchat")],
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
    )
    peer.send_request(peer.connect())
    handshake = ServerHandshake(subprotocols=["superchat"], deflate=PerMessageDeflate())
    request = fed(handshake, peer.data_to_send())
    assert request.path == "/a?b"
    peer.receive_data(handshake.accept(request))
    [response] = peer.events_received()
    assert isinstance(response, PeerResponse)
    assert response.status_code == 101
    assert peer.handshake_exc is None
    assert peer.state.name == "OPEN"
    assert peer.subprotocol == handshake.subprotocol == "superchat"
    assert [extension.name for extension in peer.extensions] == ["permessage-deflate"]
    assert handshake.deflate is not None
    text = b"all work and no play " * 20
    compressed = handshake.deflate.compress(text)
    assert len(compressed) < len(text)
    size = len(compressed)
    assert size < 126
    peer.receive_data(bytes([0xC0 | Opcode.TEXT, size]) + compressed)
    [frame] = peer.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.data) == (Opcode.TEXT, text)


def test_websockets_sends_early_frames_into_trailing() -> None:
    peer = ClientProtocol(peer_uri("ws://example.com/"))
    peer.send_request(peer.connect())
    [request_bytes] = peer.data_to_send()
    handshake = ServerHandshake()
    request = fed(handshake, [request_bytes + bytes([0x80 | Opcode.BINARY, 0x80, 0, 0, 0, 0])])
    peer.receive_data(handshake.accept(request))
    assert peer.state.name == "OPEN"
    assert handshake.trailing == b"\x82\x80\0\0\0\0"


@pytest.mark.parametrize(("status", "body"), [(403, b"no"), (301, b""), (503, b"x" * 100_000)])
def test_websockets_reads_our_rejection(status: int, body: bytes) -> None:
    peer = ClientProtocol(peer_uri("ws://example.com/"))
    peer.send_request(peer.connect())
    handshake = ServerHandshake()
    fed(handshake, peer.data_to_send())
    peer.receive_data(handshake.reject(status, {"Location": "ws://example.org/"}, body))
    peer.receive_eof()
    response = peer.events_received()[0]
    assert isinstance(response, PeerResponse)
    assert (response.status_code, bytes(response.body or b"")) == (status, body)
    assert response.headers["Location"] == "ws://example.org/"
