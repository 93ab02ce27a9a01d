"""How much the server's opening handshake reads, and in what time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from heads import cuts, fed, refusal, with_lines
from linear import assert_linear
from wire import single_bytes

from fastframe.errors import InvalidRequest
from fastframe.handshake import ServerHandshake


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
