"""What it takes to cut the head of a request into its fields: ``python -m bench.request_heads``.

Each parser gets the same heads and has to give method, target and the list of
fields: ours by both of its ways, h11, and httptools if it is installed (it
does what it does in C, and calls back for each piece). The short way judges
what it cuts; before all others, `HeadReader` does, and is timed by itself.
What a handshake takes in all, from the bytes of the request to those of the
answer, stands beside them.
"""

from __future__ import annotations

import contextlib
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import h11

from fastframe._http_head import HeadLimits, HeadReader
from fastframe._http_request import RequestHead, check_request, cut_plain, cut_request
from fastframe.deflate import PerMessageDeflate
from fastframe.errors import InvalidRequest
from fastframe.handshake import ServerHandshake

ROUNDS = 15
CALLS = 2000

_PLAIN = """\
GET /chat HTTP/1.1
Host: server.example.com
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

"""
_BROWSER = """\
GET /chat?room=1 HTTP/1.1
Host: server.example.com
Connection: Upgrade
Pragma: no-cache
Cache-Control: no-cache
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0
Upgrade: websocket
Origin: https://server.example.com
Sec-WebSocket-Version: 13
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
Cookie: session=0123456789abcdef0123456789abcdef; theme=dark
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits

"""
HEADS = {
    name: text.replace("\n", "\r\n").encode() for name, text in (("plain", _PLAIN), ("browser's", _BROWSER))
}

Pieces = tuple[bytes, bytes, list[tuple[bytes, bytes]]]


LIMITS = HeadLimits(128, 8192, 65536)


def the_short_way(head: bytes) -> RequestHead:
    found = cut_plain(head, LIMITS)
    assert found is not None
    check_request(found[0])
    return found[0]


def the_long_way(head: bytes) -> RequestHead:
    parsed = cut_request(head)
    check_request(parsed)
    return parsed


def pieces_of(parsed: RequestHead) -> Pieces:
    return parsed.method.encode(), parsed.target.encode(), parsed.headers.raw()


def with_h11(head: bytes) -> Pieces:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head))
    parser.receive_data(head)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    return event.method, event.target, event.headers.raw_items()


class _Callbacks:
    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def httptools_parser() -> Callable[[bytes], Pieces] | None:
    """None if it is not installed."""
    try:
        httptools: Any = importlib.import_module("httptools")
    except ImportError:
        return None

    def with_httptools(head: bytes) -> Pieces:
        callbacks = _Callbacks()
        parser = httptools.HttpRequestParser(callbacks)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(head)
        return parser.get_method(), callbacks.target, callbacks.fields

    return with_httptools


def judged(head: bytes) -> bytes:
    found = HeadReader(LIMITS, "request line", InvalidRequest).receive(head)
    assert found == head
    return found


_SERVER = ServerHandshake(deflate=PerMessageDeflate())


def handshake(head: bytes) -> bytes:
    """All of it."""
    own = _SERVER.another()
    request = own.receive(head)
    assert request is not None
    return own.accept(request)


def microseconds(call: Callable[[bytes], object], head: bytes) -> list[float]:
    """Of one call, in each round."""
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call(head)
        found.append((time.perf_counter() - start) / CALLS * 1e6)
    return found


def main() -> None:
    """Print the table."""
    calls: dict[str, Callable[[bytes], object] | None] = {
        "judged and cut by fastframe": the_short_way,
        "cut by fastframe": the_long_way,
        "cut by h11": with_h11,
        "cut by httptools": httptools_parser(),
        "judged before that": judged,
        "whole handshake": handshake,
    }
    for name, head in HEADS.items():
        expected = pieces_of(the_short_way(head))
        print(f"a {name} head, {len(head)} bytes, {len(expected[2])} fields")
        assert pieces_of(the_long_way(head)) == expected
        for what, call in calls.items():
            if call is None:
                print(f"  {what:27} not installed")
                continue
            if what in ("cut by h11", "cut by httptools"):
                assert call(head) == expected, what
            print(f"  {what:27} {statistics.median(microseconds(call, head)):6.1f} us")


if __name__ == "__main__":
    main()
