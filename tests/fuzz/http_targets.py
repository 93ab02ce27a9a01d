"""The opening handshake of both roles, what it is made of, URIs and proxies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h11
from fuzz.choices import Choices
from heads import KEY, REQUEST, RESPONSE, URI
from test_http_request import compare

from fastframe._http_head import HeadLimits, HeadReader
from fastframe._http_request import check_request, cut_plain, cut_request
from fastframe.deflate import PerMessageDeflate
from fastframe.errors import (
    HandshakeError,
    InvalidProxy,
    InvalidRequest,
    InvalidResponse,
    InvalidURI,
    ProxyError,
)
from fastframe.handshake import ClientHandshake, Request, Response, ServerHandshake, parse_uri
from fastframe.http_headers import Extension, Headers, build_extensions, parse_extensions, parse_token_list
from fastframe.proxies import HTTPTunnel, Proxy, parse_proxy
from fastframe.uri import split_host_and_port

DEFLATE = PerMessageDeflate(server_max_window_bits=12)
SUBPROTOCOLS = ["chat", "superchat"]

NAMES = [
    "Host",
    "Upgrade",
    "Connection",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Accept",
    "Origin",
    "Content-Length",
    "Transfer-Encoding",
    "X-Any",
]
VALUES = [
    "websocket",
    "Upgrade",
    "keep-alive, Upgrade",
    KEY,
    "13",
    "chat",
    "superchat, chat",
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
    'x; y="a\\"b", permessage-deflate',
    "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    "a.example:80",
    "[::1]:80",
    "0",
    "5",
    "0, 0",
    "chunked",
    "gzip, chunked",
    "",
]
SPACES = ["", " ", "\t", " \t "]
STATUSES = ["101", "200", "100", "301", "404", "503", "204", "999", "1010", "abc", ""]


def _line(choices: Choices) -> str:
    """A header line, mostly a proper one."""
    name, value = choices.pick(NAMES), choices.pick(VALUES)
    kind = choices.byte()
    if kind < 0x90:
        return f"{name}: {value}"
    if kind < 0xA0:
        return choices.take(kind % 16).decode("latin-1")
    if kind < 0xC0:
        name = choices.take(kind % 4).decode("latin-1")
    if kind >= 0xB0:
        value += choices.take(kind % 8).decode("latin-1")
    colon = choices.pick([":", ":", ":", ": ", " :", "", "::"])
    return name + colon + choices.pick(SPACES) + value + choices.pick(SPACES)


def head(choices: Choices, first_lines: Callable[[Choices], str], good: bytes) -> bytes:
    """Raw bytes; a proper head with lines put in or left out; or one of a grammar; more may follow it."""
    kind = choices.byte()
    if kind < 0x20:
        return choices.rest()
    lines = good.decode("latin-1").split("\r\n")[:-2]
    if kind < 0x60:
        lines = [first_lines(choices)]
    for _ in range(kind % 6):
        place = choices.below(len(lines) + 1)
        if choices.rarely():
            del lines[place : place + 1]
        elif choices.flag() and 0 < place < len(lines):
            lines[place] = _line(choices)
        else:
            lines.insert(max(place, 1), _line(choices))
    end = "\r\n" if not choices.rarely() else choices.pick(["\n", "\r", "\r\n ", "\r\r\n"])
    data = end.join([*lines, "", ""]).encode("latin-1")
    if choices.rarely() and data:
        place = choices.below(len(data))
        data = data[:place] + choices.take(2) + data[place + choices.below(3) :]
    return data + choices.take(choices.below(12))


def _request_line(choices: Choices) -> str:
    method = choices.pick(["GET", "GET", "GET", "HEAD", "POST", choices.take(4).decode("latin-1")])
    target = choices.pick(["/", "/chat?room=1", "*", "http://a/", "/#", choices.take(6).decode("latin-1")])
    version = choices.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1", "HTTP/11", ""])
    return choices.pick([" ", " ", " ", "  ", "\t"]).join([method, target, version])


def _status_line(choices: Choices) -> str:
    version = choices.pick(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "ICY"])
    return f"{version} {choices.pick(STATUSES)} {choices.take(choices.below(8)).decode('latin-1')}"


def http_request(data: bytes) -> None:
    """A request's head means the same to us and to h11, or is refused."""
    choices = Choices(data)
    compare(head(choices, _request_line, REQUEST))


def _read(data: list[bytes], limits: HeadLimits) -> tuple[bytes, bytes] | HandshakeError | None:
    """The head and what followed it; None where it is not at its end; or the refusal."""
    reader = HeadReader(limits, "request line", InvalidRequest)
    for place, chunk in enumerate(data):
        try:
            found = reader.receive(chunk)
        except InvalidRequest as error:
            return error
        if found is not None:
            return found, reader.rest + b"".join(data[place + 1 :])
    return None


def http_head(data: bytes) -> None:
    """However a head is cut, it is taken or refused alike, and nothing of it is lost."""
    choices = Choices(data)
    size = choices.pick([8192, 8192, 1, 20, 60, 200])
    limits = HeadLimits(
        choices.pick([128, 0, 1, 3, 6]) or 1, size, choices.pick([65536, 65536, 60, 200, 400])
    )
    cuts = Choices(choices.take(16))
    wire = head(choices, _request_line, REQUEST)
    whole = _read([wire], limits)
    for chunks in (cuts.cut(wire), cuts.cut(wire), [wire[i : i + 1] for i in range(len(wire))]):
        found = _read([chunk for chunk in chunks if chunk], limits)
        assert isinstance(found, InvalidRequest) == isinstance(whole, InvalidRequest), (whole, found)
        if not isinstance(found, InvalidRequest):
            assert found == whole
    plain = cut_plain(wire, limits)
    if plain is not None:
        assert isinstance(whole, tuple) and plain == (cut_request(whole[0]), whole[1])
    if isinstance(whole, tuple):
        assert whole[0] + whole[1] == wire and whole[0].endswith(b"\r\n\r\n")
        assert b"\r\n\r\n" not in whole[0][:-4]


def _server(choices: Choices) -> ServerHandshake:
    return ServerHandshake(
        origins=choices.pick([None, None, ["https://a.example", None]]),
        subprotocols=choices.pick([None, SUBPROTOCOLS]),
        deflate=choices.pick([None, DEFLATE]),
    )


def server_handshake(data: bytes) -> None:
    """Every request is answered properly, and however it is cut, in the same way."""
    choices = Choices(data)
    options = choices.take(3)
    cuts = Choices(choices.take(12))
    wire = head(choices, _request_line, REQUEST)
    answers = {_served(_server(Choices(options)), chunks) for chunks in ([wire], cuts.cut(wire))}
    assert len(answers) == 1, answers


def _served(handshake: ServerHandshake, chunks: list[bytes]) -> tuple[object, ...]:
    request: Request | None = None
    try:
        for chunk in chunks:
            if chunk:
                request = handshake.receive(chunk) or request
    except InvalidRequest as error:
        assert 400 <= error.status <= 499
        _check_answer(handshake.reject(error.status, error.headers, b"no"), error.status, handshake)
        # Cut differently, another fault of the same head may be met first.
        return ("refused",)
    if request is None:
        return ("unfinished",)
    if not request.is_upgrade:
        _check_answer(handshake.reject(404, (), b"nothing here"), 404, handshake)
        return ("answered", handshake.trailing)
    try:
        answer = handshake.accept(request)
    except InvalidRequest as error:
        _check_answer(handshake.reject(error.status, error.headers), error.status, handshake)
        return ("not accepted", str(error))
    client = ClientHandshake(
        URI, subprotocols=SUBPROTOCOLS, key=request.headers["Sec-WebSocket-Key"], deflate=None
    )
    if "Sec-WebSocket-Extensions" not in Headers(
        handshake.response.headers.items() if handshake.response else ()
    ):
        accepted = client.receive(answer)
        assert accepted is not None and accepted.status == 101
        assert client.subprotocol == handshake.subprotocol
    return ("accepted", answer, handshake.trailing)


def _check_answer(answer: bytes, status: int, handshake: ServerHandshake) -> None:
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    http.send(h11.EndOfMessage())
    http.receive_data(answer)
    event = http.next_event()
    assert isinstance(event, h11.Response) and event.status_code == status
    assert handshake.response is not None and handshake.response.status == status


def _answered(options: bytes, chunks: list[bytes]) -> tuple[object, ...]:
    choices = Choices(options)
    client = ClientHandshake(
        URI, key=KEY, subprotocols=choices.pick([None, SUBPROTOCOLS]), deflate=choices.pick([None, DEFLATE])
    )
    response: Response | None = None
    try:
        for chunk in chunks:
            if chunk:
                response = client.receive(chunk) or response
        client.end_of_data()
    except InvalidResponse as error:
        found: Response | None = getattr(error, "response", None)
        assert client.response is None or found is None
        # Cut differently, another fault of the same head may be met first.
        return (type(error).__name__, found and (found.status, found.headers.items(), found.body))
    assert response is not None and response.status == 101
    return "accepted", client.trailing, client.subprotocol, str(client.deflate)


def client_handshake(data: bytes) -> None:
    """A server may answer anything: accepted, or refused by the exception for it, however it is cut."""
    choices = Choices(data)
    options = choices.take(2)
    cuts = Choices(choices.take(12))
    wire = head(choices, _status_line, RESPONSE)
    outcomes = [_answered(options, chunks) for chunks in ([wire], cuts.cut(wire))]
    assert outcomes[0] == outcomes[1], outcomes


def http_lists(data: bytes) -> None:
    """Lists of tokens and of extensions: read or refused; what is read can be written, and read again."""
    choices = Choices(data)
    text = _list_text(choices)
    for parse in (parse_token_list, parse_extensions):
        try:
            found: Any = parse(text)
        except ValueError:
            continue
        if parse is parse_extensions:
            assert parse_extensions(build_extensions(found)) == found
        else:
            assert parse_token_list(", ".join(found)) == found
    try:
        fields = Headers([(text, "a"), ("a", text)])
    except ValueError:
        return
    assert Headers(fields.items()) == fields
    cut = cut_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields.serialize() + b"\r\n")
    assert cut.headers.items()[1:] == fields.items()


PIECES = [
    "permessage-deflate",
    "client_max_window_bits",
    "server_max_window_bits",
    "server_no_context_takeover",
    "client_no_context_takeover",
    "x",
    "=",
    ";",
    ",",
    " ",
    "\t",
    '"',
    "\\",
    "8",
    "15",
    "7",
    "16",
    "08",
    "1000000000",
]


def _list_text(choices: Choices) -> str:
    if choices.rarely():
        return choices.rest().decode("latin-1")
    pieces: list[str] = []
    while choices and len(pieces) < 60:
        kind = choices.byte()
        pieces.append(PIECES[kind % 32] if kind % 32 < len(PIECES) else choices.take(1).decode("latin-1"))
    return "".join(pieces)


def negotiation(data: bytes) -> None:
    """Any offer is answered or declined.

    Any answer confirmed or refused; both sides agree with each other.
    """
    choices = Choices(data)
    client, server = _wishes(choices), _wishes(choices)
    accepted = server.accept(parse_extensions(client.offer()))
    if accepted is not None:
        [element] = parse_extensions(accepted[0])
        ours, theirs = client.confirm(element), accepted[1]
        # A server may know limits of the client's that its answer does not repeat.
        for message in (b"x" * 300, b"abc" * 9, choices.payload()):
            assert theirs.inflate(ours.compress(message), len(message)) == message
            assert ours.inflate(theirs.compress(message), len(message)) == message
    try:
        extensions = parse_extensions(_list_text(choices))
    except ValueError:
        return
    answer = server.accept(extensions)
    if answer is not None:
        assert any(extension.name == "permessage-deflate" for extension in extensions)
        [element] = parse_extensions(answer[0])
        assert isinstance(element, Extension)
    for extension in extensions:
        try:
            codec = client.confirm(extension)
        except InvalidResponse:
            continue
        assert extension.name == "permessage-deflate"
        assert codec.inflate(codec.compress(b""), 0) == b""


def _wishes(choices: Choices) -> PerMessageDeflate:
    return PerMessageDeflate(
        server_no_context_takeover=choices.flag(),
        client_no_context_takeover=choices.flag(),
        server_max_window_bits=choices.pick([None, 8, 9, 12, 15]),
        client_max_window_bits=choices.pick([True, None, 8, 9, 12, 15]),
        level=choices.pick([1, 6, 9]),
        memory_level=choices.pick([1, 5, 9]),
    )


URI_PIECES = [
    "ws://",
    "wss://",
    "http://",
    "socks5://",
    "socks4a://",
    "socks5h://",
    "https://",
    "user:pass@",
    "%41",
    "@",
    ":",
    "/",
    "?",
    "#",
    "[::1]",
    "[fe80::1%25eth0]",
    "a.example",
    "例え.jp",
    "80",
    "65536",
    "0",
    "%",
    "%zz",
    " ",
    "\\",
]


def _uri_text(choices: Choices) -> str:
    if choices.rarely():
        return choices.rest().decode("utf-8", "surrogateescape")
    pieces: list[str] = []
    while choices and len(pieces) < 30:
        kind = choices.byte()
        pieces.append(URI_PIECES[kind % 32] if kind % 32 < len(URI_PIECES) else choices.text())
    return "".join(pieces)


def uri(data: bytes) -> None:
    """A URI is read or refused; what is read makes a request that any server can read."""
    text = _uri_text(Choices(data))
    try:
        parsed = parse_uri(text)
    except InvalidURI:
        return
    assert 0 < parsed.port < 65536 and parsed.host == parsed.host.lower()
    assert split_host_and_port(parsed.host_header)[1] in (parsed.port, None)
    assert parsed.resource_name.startswith("/") and parsed.resource_name.isascii()
    request = ClientHandshake(parsed, key=KEY).request()
    assert ServerHandshake().receive(request) is not None
    check_request(cut_request(request))


def proxies(data: bytes) -> None:
    """A proxy's URL is read or refused; its answer opens the way or raises ProxyError, however it is cut."""
    choices = Choices(data)
    cuts = Choices(choices.take(8))
    wire = head(choices, _status_line, b"HTTP/1.1 200 OK\r\nVia: a\r\n\r\n")
    proxy = Proxy("http", "proxy.example", 3128)
    outcomes = []
    for chunks in ([wire], cuts.cut(wire)):
        tunnel = HTTPTunnel(proxy, "a.example", 443, None)
        is_open: bool | str = False
        try:
            for chunk in chunks:
                if chunk and not is_open:
                    is_open = tunnel.receive(chunk)
        except ProxyError:
            is_open = "refused"
        outcomes.append(is_open)
    # What follows the answer is seen only where it comes with it.
    assert outcomes[0] == outcomes[1] or outcomes == ["refused", True], outcomes
    try:
        parsed = parse_proxy(_uri_text(choices))
    except InvalidProxy:
        return
    assert 0 < parsed.port < 65536
    if parsed.scheme in ("http", "https"):
        assert HTTPTunnel(parsed, "a.example", 80, None).request().endswith(b"\r\n\r\n")


TARGETS = {
    "http-request": http_request,
    "http-head": http_head,
    "server-handshake": server_handshake,
    "client-handshake": client_handshake,
    "http-lists": http_lists,
    "negotiation": negotiation,
    "uri": uri,
    "proxies": proxies,
}
