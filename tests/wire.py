"""Reads tests/vectors and feeds decoders with bytes cut in every way.

A vector gives its frames unmasked, so that it can be read; it is run for both
roles, for the server with every payload masked. A vector that depends on the
role, or is not made of frames, has `role` and `wire` instead of `frames`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastframe import Close, Frame, Opcode, Ping, Pong, ProtocolError, Role

VECTORS = Path(__file__).parent / "vectors"

# A key of zeros and keys with zero bytes belong to the cases that go wrong first.
KEYS = [bytes.fromhex(key) for key in ("37fa213d", "00000000", "ff00a500", "80c0e0f0")]

INFLATES: dict[str, Callable[[bytes, int | None], bytes]] = {
    "reverse": lambda payload, _: payload[::-1],
    "double": lambda payload, _: payload + payload,
    "first-16": lambda payload, _: payload[:16],
}

# Longer wires are cut near their ends only.
SHORT = 300


def half_modules() -> dict[str, str]:
    """The halves to test, by name."""
    halves = {"compiled": "fastframe._codec_c", "pure": "fastframe._codec_py"}
    if os.environ.get("FASTFRAME_EXTENSION") == "0":
        del halves["compiled"]
    return halves


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def expand(spec: Any) -> bytes:
    """Hexadecimal digits, {"text"}, {"repeat", "count"}, or a list of these, as bytes."""
    if isinstance(spec, str):
        return bytes.fromhex(spec)
    if isinstance(spec, list):
        return b"".join(map(expand, spec))
    if "text" in spec:
        return str(spec["text"]).encode()
    return bytes.fromhex(spec["repeat"]) * int(spec["count"])


def xor(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3 word for word: octet i XOR octet i modulo 4 of the key."""
    if len(payload) > SHORT:
        block = int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)], "big")
        return (int.from_bytes(payload, "big") ^ block).to_bytes(len(payload), "big")
    return bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def masked_header(header: bytes, key: bytes) -> bytes:
    return bytes([header[0], header[1] | 0x80]) + header[2:] + key


def frame_bytes(role: Role, header: bytes, payload: bytes, key: bytes = KEYS[0]) -> bytes:
    """One frame as `role` receives it."""
    if role is Role.CLIENT:
        return header + payload
    return masked_header(header, key) + xor(payload, key)


def data_frame(role: Role, opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0) -> bytes:
    """A valid frame as `role` receives it, written independently of the encoder."""
    size = len(payload)
    first = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        header = first + bytes([size])
    elif size < 65536:
        header = first + b"\x7e" + size.to_bytes(2, "big")
    else:
        header = first + b"\x7f" + size.to_bytes(8, "big")
    return frame_bytes(role, header, payload)


class Error(NamedTuple):
    """What an exception says, comparable."""

    type: str
    close_code: int
    message: str

    @classmethod
    def of(cls, error: ProtocolError) -> Error:
        return cls(type(error).__name__, error.close_code, str(error))


@dataclass(frozen=True)
class Case:
    """A vector for one role."""

    role: Role
    wire: bytes
    items: list[Any]
    error: Error | None
    error_at: int | None
    """Bytes of `wire` up to and with the one that makes the error."""
    options: dict[str, Any] = field(default_factory=dict)


def item(spec: dict[str, Any]) -> Any:
    """An item of MessageDecoder as vectors spell it."""
    [(kind, value)] = spec.items()
    if kind == "text":
        return expand(value).decode() if isinstance(value, dict) else value
    if kind == "close":
        return Close(*value)
    return {"binary": bytes, "ping": Ping, "pong": Pong}[kind](expand(value))


def frame(spec: dict[str, Any]) -> Frame:
    """A frame of FrameDecoder as vectors spell it."""
    rsv = [bit == "1" for bit in spec.get("rsv", "000")]
    return Frame(Opcode(spec["opcode"]), expand(spec.get("payload", "")), spec.get("fin", True), *rsv)


def _assemble(vector: dict[str, Any], role: Role) -> tuple[bytes, int | None]:
    wire, error_at = b"", None
    for number, ((header_hex, payload_spec), key) in enumerate(
        zip(vector["frames"], cycle(KEYS), strict=False)
    ):
        header, payload = bytes.fromhex(header_hex), expand(payload_spec)
        encoded = frame_bytes(role, header, payload, key)
        whole_header = len(encoded) - len(payload)
        if "at" in vector and vector["at"][0] == number:
            part, offset = vector["at"][1:]
            offset = whole_header if (part, offset) == ("header", "end") else offset
            error_at = len(wire) + offset + (whole_header if part == "payload" else 0)
        wire += encoded
    return wire, error_at


def _case(vector: dict[str, Any], role: Role, read: Callable[[dict[str, Any]], Any]) -> Case:
    if "frames" in vector:
        wire, error_at = _assemble(vector, role)
    else:
        wire, error_at = expand(vector["wire"]), vector.get("at")
    error = Error(*vector["error"]) if "error" in vector else None
    assert (error is None) == (error_at is None), f"vector {vector['name']}: error and at go together"
    items = [read(spec) for spec in vector["expect"]]
    options = dict(vector.get("options", {}))
    if "inflate" in options:
        options["inflate"] = INFLATES[options["inflate"]]
    return Case(role, wire, items, error, error_at, options)


def cases(name: str, read: Callable[[dict[str, Any]], Any]) -> list[Any]:
    """The vectors of one file as pytest parameters."""
    return [
        pytest.param(_case(vector, role, read), id=f"{vector['name']}-{role.value}")
        for vector in load(name)
        for role in Role
        if vector.get("role", role.value) == role.value
    ]


class Outcome(NamedTuple):
    """All that came out of a decoder, and after how many bytes it failed."""

    items: list[Any]
    error: Error | None = None
    error_at: int | None = None


def receive_in_place(decoder: Any, chunk: bytes, items: list[Any]) -> None:
    """Feed `chunk` through get_buffer/received wherever the decoder hands out memory."""
    while chunk:
        view = decoder.get_buffer()
        if view is None:
            items += decoder.receive(chunk)
            return
        size = min(len(view), len(chunk))
        view[:size] = chunk[:size]
        items += decoder.received(size)
        chunk = chunk[size:]


def feed(decoder: Any, chunks: list[bytes], in_place: bool = False) -> Outcome:
    """Feed chunks until they end or the decoder fails."""
    items: list[Any] = []
    fed = 0
    for chunk in chunks:
        fed += len(chunk)
        try:
            if in_place:
                receive_in_place(decoder, chunk, items)
            else:
                items += decoder.receive(chunk)
        except ProtocolError as error:
            items += error.decoded
            assert decoder.error is error
            return Outcome(items, Error.of(error), fed)
    assert decoder.error is None
    return Outcome(items)


def single_bytes(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def every_cut(wire: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two pieces at every place; long wires near both ends only."""
    yield [wire]
    if len(wire) <= SHORT:
        yield single_bytes(wire)
        places = list(range(len(wire) + 1))
    else:
        head, tail = 40, len(wire) - 20
        yield [*single_bytes(wire[:head]), wire[head:tail], *single_bytes(wire[tail:])]
        places = [*range(head), *range(tail, len(wire) + 1)]
    for place in places:
        yield [wire[:place], wire[place:]]


def outcome_for(case: Case, chunks: list[bytes]) -> Outcome:
    """What `case` promises when fed in these chunks: it fails in the chunk with the decisive byte."""
    if case.error_at is None:
        return Outcome(case.items)
    fed = 0
    for chunk in chunks:
        fed += len(chunk)
        if fed >= case.error_at:
            break
    return Outcome(case.items, case.error, fed)
