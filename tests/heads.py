"""Builds the HTTP heads of tests/vectors/handshakes.json.

A vector is the head of the RFC's example (`lines`) with changes: `replace`
maps the beginning of a line to what stands there instead, `append` adds lines,
`line_end` replaces CR LF; or it is `raw`. A character is a byte (ISO-8859-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from wire import every_cut, load

VECTORS: dict[str, dict[str, Any]] = load("handshakes")
REQUEST = "\r\n".join([*VECTORS["request"]["lines"], "", ""]).encode()
RESPONSE = "\r\n".join([*VECTORS["response"]["lines"], "", ""]).encode()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


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
