"""The head of an HTTP request: its line and its fields, cut and judged.

Nearly every head comes whole, and as `cut_plain` wants it. Any other one goes
through `HeadReader` first, after which lines end in CR LF, none begins with
white space, and no other control character than tab is left. h11 reads the
same heads to the same fields in several times the time ("The opening
handshake" in docs/architecture, and tests/test_http_request.py).

Each expression takes time linear in its input: no two of its repetitions that
follow each other can match the same character, but for white space at the end
of a value, which is given back once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .errors import InvalidRequest
from .http_headers import Headers, MultipleValues
from .uri import split_host_and_port

if TYPE_CHECKING:
    from ._http_head import HeadLimits

__all__ = ["RequestHead", "check_request", "cut_plain", "cut_request", "remembering"]

T = TypeVar("T")

# RFC 9110 section 5.6.2.
_TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
# RFC 9112 section 3: single spaces, and a target of visible characters.
_REQUEST_LINE = rf"({_TOKEN}) ([!-~]+) HTTP/([0-9]\.[0-9])\r\n"
_FIRST_LINE = re.compile(_REQUEST_LINE)
_ABSOLUTE = re.compile("https?://([^/?#]*)(.*)", re.IGNORECASE)
# RFC 9112 section 5: no white space before the colon; around the value it is not part of it.
_FIELD_LINE = rf"^({_TOKEN}):[ \t]*((?:[^\r]*[^\r \t])?)[ \t]*\r\n"
_FIELD_LINES = re.compile(_FIELD_LINE, re.MULTILINE)
# As nearly all clients write them, and as `Headers` keeps them (RFC 9110 section 5.5: what a value may have).
_PLAIN_LINE = rf"{_TOKEN}: [!-~\x80-\xff][\t -~\x80-\xff]*(?<![\t ])\r\n"
_PLAIN_HEAD = re.compile(rf"{_REQUEST_LINE}((?:{_PLAIN_LINE})+)\r\n")

# RFC 9110 section 8.6: "a recipient MUST anticipate potentially large decimal numerals".
_MAX_LENGTH_DIGITS = 20

_MAX_REMEMBERED = 256


@dataclass(slots=True)
class RequestHead:
    """What a head says.

    Attributes:
        fields: the values of `headers` by name in lower case; several of a
            name as one list (RFC 9110 section 5.3).
        repeated: how often each name occurs that occurs more than once.
    """

    method: str
    target: str
    version: str
    headers: Headers
    fields: dict[str, str]
    repeated: dict[str, int]

    def refuse_repeated(self, *names: str) -> None:
        """Refuse more than one field of any of these names.

        Raises:
            MultipleValues: there are several.
        """
        for name in names:
            times = self.repeated.get(name.lower(), 1)
            if times > 1:
                raise MultipleValues(f"header {name} occurs {times} times")


def remembering(read: Callable[[str], T]) -> Callable[[str], T]:
    """Keep what the last different values mean, unless they are long.

    Nearly all clients say one of very few things, and connections share what it means.
    """
    known = functools.lru_cache(maxsize=64)(read)

    def read_once(value: str) -> T:
        return known(value) if len(value) <= _MAX_REMEMBERED else read(value)

    return read_once


_split_host = remembering(split_host_and_port)


def cut_plain(data: bytes, limits: HeadLimits) -> tuple[RequestHead, bytes] | None:
    """Cut a head that has come whole and needs no closer look.

    Returns:
        The head as `HeadReader` and `cut_request` would, and the bytes behind
        it; or None: it takes these two to tell what it is.
    """
    # RFC 9110 section 5.5: values are ISO-8859-1 historically, opaque in any case.
    found = _PLAIN_HEAD.match(data.decode("latin-1"))
    if found is None:
        return None
    size = found.end()
    # All of it is shorter than what a line may be.
    if size > limits.max_header_size or size > limits.max_headers_bytes:
        return None
    method, target, version, block = found.groups()
    written = block[:-2]
    lines = written.split("\r\n")
    if len(lines) > limits.max_header_count:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields[name.lower()] = value
    if len(fields) != len(lines):
        return None
    head = RequestHead(method, target, version, Headers.of_checked_lines(written), fields, {})
    return head, data[size:]


def cut_request(head: bytes) -> RequestHead:
    """Cut a head that `HeadReader` has let pass.

    Raises:
        InvalidRequest: one of its lines is malformed.
    """
    text = head[:-2].decode("latin-1")
    request_line = _FIRST_LINE.match(text)
    if request_line is None:
        first = text.partition("\r\n")[0]
        raise _malformed(f"illegal request line: {first!r}" if first else "no request line")
    lines = text[request_line.end() :]
    pairs: list[tuple[str, str]] = _FIELD_LINES.findall(lines)
    if len(pairs) != lines.count("\n"):
        raise _malformed(f"illegal header line: {_first_illegal(lines)!r}")
    headers = Headers.of_checked_lines("\r\n".join(map(": ".join, pairs)))
    fields = {name.lower(): value for name, value in pairs}
    repeated = _join_repeated(fields, pairs) if len(fields) != len(pairs) else {}
    method, target, version = request_line.groups()
    return RequestHead(method, target, version, headers, fields, repeated)


def _join_repeated(fields: dict[str, str], pairs: list[tuple[str, str]]) -> dict[str, int]:
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.lower(), []).append(value)
    repeated = {name: len(found) for name, found in values.items() if len(found) > 1}
    for name in repeated:
        fields[name] = ", ".join(values[name])
    return repeated


def check_request(head: RequestHead) -> str:
    """Refuse what HTTP does not allow, and what a server of WebSockets has no use for.

    Returns:
        Path and query of the target, whichever form that has.

    Raises:
        InvalidRequest: with the status that answers it.
    """
    fields = head.fields
    if head.version != "1.1":
        # RFC 6455 section 4.2.1: "An HTTP/1.1 or higher GET request".
        raise InvalidRequest(f"HTTP/{head.version} request, but a WebSocket handshake needs HTTP/1.1")
    has_body = ("content-length" in fields or "transfer-encoding" in fields) and _has_body(head)
    if "host" not in fields or "host" in head.repeated:
        # RFC 9112 section 3.2: 400 for a request without Host, with more than one, or with an invalid one.
        raise _malformed(f"{'Found multiple' if 'host' in fields else 'Missing mandatory'} Host: header")
    try:
        _split_host(fields["host"])
    except ValueError as error:
        raise InvalidRequest(f"malformed Host header: {str(error)[:200]}") from None
    if head.method != "GET":
        raise InvalidRequest(f"method {head.method[:64]} is not GET", 405, [("Allow", "GET")])
    path = head.target
    if not path.startswith("/"):
        path = _path_of_absolute(path, fields["host"])
    if "#" in path:
        raise _no_path(head.target)
    if has_body:
        # Who sees a body here and who does not disagree on where frames begin.
        raise InvalidRequest("GET request with a body")
    return path


def _path_of_absolute(target: str, host: str) -> str:
    """Path and query of a target in absolute-form (RFC 9112 section 3.2.2)."""
    found = _ABSOLUTE.match(target)
    if found is None:
        raise _no_path(target)
    authority, path = found.groups()
    # Section 3.2.2 has the authority count and Host ignored; but section 3.2 has a client send the same in
    # both, and whoever looks at Host must not be deceived. Host is a proper one: so is what equals it.
    if authority.lower() != host.lower():
        raise InvalidRequest(
            f"request target has the authority {authority[:100]!r}, but the Host header is {host[:100]!r}"
        )
    return path if path.startswith("/") else f"/{path}"


def _no_path(target: str) -> InvalidRequest:
    return InvalidRequest(f"request target is not a path, nor an http or https URI: {target[:100]!r}")


def _first_illegal(lines: str) -> str:
    return next(line for line in lines.split("\r\n") if not _FIELD_LINES.fullmatch(f"{line}\r\n"))


def _has_body(head: RequestHead) -> bool:
    """Refuse what recipients may read in different ways (RFC 9112 section 6.3)."""
    coding, lengths = head.fields.get("transfer-encoding"), head.fields.get("content-length")
    if coding is not None:
        if "transfer-encoding" in head.repeated:
            raise _malformed("multiple Transfer-Encoding headers")
        if coding.lower() != "chunked":
            raise _malformed("Only Transfer-Encoding: chunked is supported")
    if lengths is None:
        return True
    # RFC 9110 section 8.6: the same number several times may come of a careless proxy.
    different = {length.strip(" \t") for length in lengths.split(",")}
    if len(different) > 1:
        raise _malformed("conflicting Content-Length headers")
    length = different.pop()
    if not (length.isascii() and length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS):
        raise _malformed("bad Content-Length")
    if coding is not None:
        # "ought to be handled as an error"
        raise InvalidRequest("both Transfer-Encoding and Content-Length")
    return bool(length.strip("0"))


def _malformed(why: str) -> InvalidRequest:
    return InvalidRequest(f"malformed HTTP request: {why[:200]}")
