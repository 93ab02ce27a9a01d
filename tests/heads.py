"""Builds the HTTP heads of tests/vectors/handshakes.json.

A vector is the head of the RFC's example (`lines`) with changes: `replace`
maps the beginning of a line to what stands there instead, `append` adds lines,
`line_end` replaces CR LF; or it is `raw`. A character is a byte (ISO-8859-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, TypeVar

import pytest
from wire import every_cut, load

from fastframe.errors import InvalidRequest, RejectedByServer
from fastframe.handshake import ClientHandshake, Response, ServerHandshake

VECTORS: dict[str, dict[str, Any]] = load("handshakes")
REQUEST = "\r\n".join([*VECTORS["request"]["lines"], "", ""]).encode()
RESPONSE = "\r\n".join([*VECTORS["response"]["lines"], "", ""]).encode()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
URI = "ws://server.example.com/chat"
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def head(message: str, vector: dict[str, Any]) -> bytes:
    if "raw" in vector:
        return str(vector["raw"]).encode("latin-1")
    lines: list[str] = []
    replacements = dict(vector.get("replace", {}))
    for line in VECTORS[message]["lines"]:
        beginning = next((key for key in replacements if line.startswith(key)), None)
        lines += [line] if beginning is None else replacements.pop(beginning)
    assert not replacements, f"vector {vector['name']} replaces what is not there"
    lines += vector.get("append", [])
    return str(vector.get("line_end", "\r\n")).join([*lines, "", ""]).encode("latin-1")


def vectors(message: str, kind: str) -> list[Any]:
    """Pairs of bytes and vector as pytest parameters."""
    return [
        pytest.param(head(message, vector), vector, id=vector["name"]) for vector in VECTORS[message][kind]
    ]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """As `every_cut`, but without empty pieces, and with something left over at the end."""
    for chunks in every_cut(data):
        yield [chunk for chunk in chunks if chunk]
    yield [data + b"\x81\x00"]


def with_lines(*lines: str, **replace: list[str]) -> bytes:
    """The request of the RFC with more lines, or others."""
    return head("request", {"name": "", "append": lines, "replace": replace})


class _Handshake(Protocol[T_co]):
    def receive(self, data: bytes) -> T_co | None: ...


def fed(handshake: _Handshake[T], chunks: Iterable[bytes]) -> T:
    """The request or the response, which has to come out exactly once."""
    results = [handshake.receive(chunk) for chunk in chunks]
    [message] = [result for result in results if result is not None]
    return message


def refusal(handshake: ServerHandshake, chunks: Iterable[bytes]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        fed(handshake, chunks)
    return caught.value


def rejection(data: bytes, *, ended: bool = False, size: int | None = None) -> Response:
    """The answer that comes with RejectedByServer."""
    handshake = ClientHandshake(URI)
    size = size or len(data)

    def run() -> None:
        for start in range(0, len(data), size):
            assert handshake.receive(data[start : start + size]) is None
        if ended:
            handshake.end_of_data()

    with pytest.raises(RejectedByServer) as caught:
        run()
    assert handshake.receive(RESPONSE) is None
    handshake.end_of_data()
    assert handshake.response is None
    return caught.value.response


def answer(data: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Status line, header fields and body."""
    lines, _, body = data.partition(b"\r\n\r\n")
    status, *fields = lines.split(b"\r\n")
    pairs = (field.decode("latin-1").partition(": ") for field in fields)
    return status, {name: value for name, _, value in pairs}, body
