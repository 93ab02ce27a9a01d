"""The head of a request, beside h11: what that refuses is refused, what is taken means the same to both."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from heads import VECTORS, head
from hypothesis import event, example, given
from hypothesis import strategies as st
from linear import assert_linear

from fastframe._http_head import HeadLimits, HeadReader
from fastframe._http_request import RequestHead, check_request, cut_plain, cut_request
from fastframe.errors import InvalidRequest

LIMITS = HeadLimits(10**6, 10**7, 10**7)

REQUESTS = [
    head("request", vector)
    for kind in ("accepted", "no_upgrade", "hostile")
    for vector in VECTORS["request"][kind]
]


def read(data: bytes) -> bytes | None:
    """The head as far as `HeadReader` takes it, None if it refuses."""
    try:
        return HeadReader(LIMITS, "request line", InvalidRequest).receive(data)
    except InvalidRequest:
        return None


def ours(data: bytes) -> RequestHead | None:
    try:
        parsed = cut_request(data)
        check_request(parsed)
    except InvalidRequest:
        return None
    return parsed


def theirs(data: bytes) -> h11.Request | None:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(data))
    parser.receive_data(data)
    try:
        found = parser.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(found, h11.Request)
    return found


def is_plain(data: bytes, limits: HeadLimits = LIMITS) -> bool:
    """Whether the short way takes a head; if so, it comes to what the long way does."""
    plain = cut_plain(data, limits)
    if plain is None:
        return False
    reader = HeadReader(limits, "request line", InvalidRequest)
    whole = reader.receive(data)
    assert whole is not None
    assert plain == (cut_request(whole), reader.rest)
    return True


def compare(data: bytes) -> str:
    """Read a head with both; return what became of it."""
    is_plain(data)
    judged = read(data)
    if judged is None:
        return "refused by its lines"
    parsed, expected = ours(judged), theirs(judged)
    if expected is None:
        assert parsed is None
        with pytest.raises(InvalidRequest) as caught:
            check_request(cut_request(judged))
        assert caught.value.status == 400
        return "refused by both"
    # What h11 can read can be cut, whatever is then thought of it.
    cut = cut_request(judged)
    assert (cut.method.encode(), cut.target.encode(), cut.version.encode()) == (
        expected.method,
        expected.target,
        expected.http_version,
    )
    assert same_fields(cut.headers.raw()) == same_fields(expected.headers.raw_items())
    for name, value in cut.fields.items():
        assert value == ", ".join(cut.headers.get_all(name))
        assert cut.repeated.get(name, 1) == len(cut.headers.get_all(name))
    return "refused by us" if parsed is None else "taken"


def same_fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # h11 makes one length of several, or of a list, and a coding's name lower.
    lengths = {part.strip() for name, value in fields if _is_length(name) for part in value.split(b",")}
    others = [
        (name, value.lower() if name.lower() == b"transfer-encoding" else value)
        for name, value in fields
        if not _is_length(name)
    ]
    return [*others, *((b"content-length", length) for length in sorted(lengths))]


def _is_length(name: bytes) -> bool:
    return name.lower() == b"content-length"


def test_both_agree_on_the_vectors() -> None:
    outcomes = [compare(data) for data in REQUESTS]
    for outcome in ("taken", "refused by us", "refused by both", "refused by its lines"):
        assert outcomes.count(outcome) >= 5, outcome


def test_what_clients_send_takes_the_short_way() -> None:
    browsers = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nUser-Agent: Mozilla/5.0 (X11)\r\nCookie: a=\xe9\r\n\r\n"
    assert is_plain(browsers)
    assert is_plain(browsers + b"\r\n\x00behind\r\n\r\n")
    for unusual in (b"Host:a", b"Host:  a", b"Host: a ", b"Host: a\t", b"Host:", b"Host: ", b"A: a\r\na: a"):
        assert not is_plain(browsers.replace(b"Host: a", unusual))


def test_the_short_way_keeps_to_the_limits() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
    size = len(request)
    assert is_plain(request, HeadLimits(2, size, size))
    for limits in (HeadLimits(1, size, size), HeadLimits(2, size - 1, size), HeadLimits(2, size, size - 1)):
        assert not is_plain(request, limits)


TOKENS = st.text("aZ09!#$%&'*+-.^_`|~", min_size=1, max_size=4)
ODD = st.text(st.characters(max_codepoint=255), max_size=4)
SPACE = st.sampled_from(["", "", " ", "\t", " \t "])
NAMES = st.one_of(
    TOKENS,
    st.sampled_from(["Host", "host", "Content-Length", "content-length", "Transfer-Encoding", "Upgrade"]),
    ODD,
)
VALUES = st.one_of(
    st.sampled_from(
        ["", "a", "a.example:80", "0", "00", "5", "0, 0", "0,5", "-0", "9" * 21, "chunked", "Chunked", "gzip"]
    ),
    st.text("aé\xa0\x85\xff :,\t", max_size=6),
    ODD,
)
LINES = st.builds(
    lambda *parts: "".join(parts), NAMES, st.sampled_from([":", ":", ":", " :", ""]), SPACE, VALUES, SPACE
)
REQUEST_LINES = st.builds(
    lambda *parts: "".join(parts),
    st.one_of(st.just("GET"), TOKENS, ODD),
    st.sampled_from([" ", " ", " ", "  ", "\t"]),
    st.one_of(st.just("/"), st.text("/a?#*é ~!", max_size=5)),
    st.sampled_from(
        [" HTTP/1.1", " HTTP/1.1", " HTTP/1.1", " HTTP/1.0", " HTTP/2.0", " http/1.1", " HTTP/11", ""]
    ),
)
FIELDS = st.one_of(st.just("Host: a.example"), st.builds("{}: {}".format, TOKENS, TOKENS), LINES)


@given(st.one_of(st.just("GET / HTTP/1.1"), REQUEST_LINES), st.lists(FIELDS, max_size=5))
@example("GET / HTTP/1.1", ["Host: a", "X: \x85", "Y:\xa0"])
@example("GET / HTTP/1.1", ["Host: a", "X : y"])
def test_both_agree_on_any_head(request_line: str, lines: list[str]) -> None:
    event(compare("\r\n".join([request_line, *lines, "", ""]).encode("latin-1")))


@given(st.sampled_from(REQUESTS), st.data())
def test_both_agree_on_what_is_nearly_a_request(request: bytes, data: Any) -> None:
    place = data.draw(st.integers(0, len(request) - 1))
    taken = data.draw(st.integers(0, 3))
    new = data.draw(
        st.one_of(st.binary(max_size=2), st.sampled_from([b"\r\n", b": ", b",", b" ", b"Host: a\r\n"]))
    )
    event(compare(request[:place] + new + request[place + taken :] + b"\r\n\r\n"))


@given(st.sampled_from(REQUESTS), st.data())
def test_a_head_in_one_piece_is_judged_as_in_two(request: bytes, data: Any) -> None:
    limits = HeadLimits(*(data.draw(st.integers(most // 2, 4 * most)) for most in (10, 40, len(request))))
    place = data.draw(st.integers(0, len(request)))

    def judged(chunks: list[bytes]) -> tuple[Any, ...]:
        reader = HeadReader(limits, "request line", InvalidRequest)
        try:
            for index, chunk in enumerate(chunks):
                found = reader.receive(chunk)
                if found is not None:
                    return found, reader.rest + b"".join(chunks[index + 1 :])
        except InvalidRequest as error:
            return error.status, str(error)
        pytest.fail("the head has no end")

    is_plain(request, limits)
    whole, cut = judged([request]), judged([request[:place], request[place:]])
    event("refused" if isinstance(whole[0], int) else "taken")
    # Of several faults another one may be met first.
    assert whole == cut or (isinstance(whole[0], int) and isinstance(cut[0], int))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(lambda n: "X:" + " " * n, id="spaces"),
        pytest.param(lambda n: "X:" + " " * n + "y" + " " * n + "z", id="spaces-inside"),
        pytest.param(lambda n: "X:" + " \t" * n + "\xa0" + "\t " * n, id="spaces-around"),
        pytest.param(lambda n: "X" * n, id="name-without-colon"),
        pytest.param(lambda n: "X" * n + " : y", id="space-before-colon"),
        pytest.param(lambda n: "X: y\r\n" * n + "\xe9", id="last-line-illegal"),
        pytest.param(lambda n: "\xe9\r\n" + "X: y\r\n" * n + "Z: z", id="first-line-illegal"),
        pytest.param(lambda n: "X:\xe9\r\n\xe9\r\n" * n + "Z: z", id="every-other-line-illegal"),
        pytest.param(lambda n: "Content-Length: " + "0," * n, id="lengths"),
        pytest.param(lambda n: "Content-Length: 0\r\n" * n + "X: y", id="repeated-lengths"),
    ],
)
def test_time_is_linear(lines: Any) -> None:
    def taking(n: int) -> Any:
        data = f"GET / HTTP/1.1\r\n{lines(n)}\r\nHost: a\r\n\r\n".encode("latin-1")
        judged = read(data)
        assert judged == data
        return lambda: (cut_plain(data, LIMITS), ours(data))

    assert_linear(taking, 4_000)


@pytest.mark.parametrize("request_line", ["GET " + "/" * 8_000, "G" * 8_000, "GET / HTTP/1.1" * 600])
def test_illegal_request_line_is_shown_in_part(request_line: str) -> None:
    with pytest.raises(InvalidRequest, match="^malformed HTTP request: illegal request line: 'G") as caught:
        cut_request(f"{request_line}\r\nHost: a\r\n\r\n".encode())
    assert len(str(caught.value)) < 300
