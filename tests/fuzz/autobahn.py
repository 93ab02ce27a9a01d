"""What the Autobahn testsuite sends, as inputs of the targets that can be given bytes as they are.

`fuzz.record` wrote it down. Each target makes some choices first: those that a server or a client makes that
was told nothing. What is compressed is given to targets that inflate. ``valid-streams`` takes none: it has to
know what its stream means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache

from fuzz.catalogue import CORPUS
from raw_peer import split_frame
from wire import frame_bytes

from fastframe import Role

RECORDED = CORPUS / "autobahn.json"
KEY = bytes.fromhex("37fa213d")
BYTE_BY_BYTE = 0x50
STEP = 126
"""Bytes that one step of ``connection`` receives at most."""


@cache
def recorded() -> dict[str, bytes]:
    """What a client was sent, by the case's name."""
    return {case: bytes.fromhex(stream) for case, stream in json.loads(RECORDED.read_text()).items()}


def masked(stream: bytes) -> bytes:
    """The same as a server would be sent it: each frame with a masking key."""
    wire = b""
    while (split := split_frame(stream)) is not None:
        payload = split[0].payload
        header = stream[: len(stream) - len(split[1]) - len(payload)]
        wire += frame_bytes(Role.SERVER, header, payload, KEY)
        stream = split[1]
    return wire


def _frame_decoder(is_server: bool, is_compressed: bool, wire: bytes) -> bytes:
    return bytes([is_server, 0, is_compressed, 0, 0]) + b"\0" + wire


def _message_decoder(is_server: bool, is_compressed: bool, wire: bytes) -> bytes:
    inflate = 2 if is_compressed else 0
    return bytes([is_server, 0, 0, 0, 0, inflate, 0, BYTE_BY_BYTE]) + bytes(10) + b"\0" + wire


def _take_chunk(is_server: bool, is_compressed: bool, wire: bytes) -> bytes:
    return bytes([is_server, 0, 0, BYTE_BY_BYTE]) + b"\1" * 23 + b"\0" + wire


def _connection(is_server: bool, is_compressed: bool, wire: bytes) -> bytes:
    plan = bytes([is_server, 0, 0, 0, 0xFF if is_compressed else 0]) + bytes(5)
    for start in range(0, len(wire), STEP):
        piece = wire[start : start + STEP]
        # Short pieces as they are, longer ones behind the choice of raw bytes; then what was said is taken.
        plan += bytes([len(piece)]) + piece if len(piece) < 0x20 else bytes([len(piece) + 1, 0]) + piece
        plan += b"\1"
    return plan


def _inflate(stream: bytes) -> bytes:
    plan = bytes(5)
    while (split := split_frame(stream)) is not None:
        payload, stream = split[0].payload, split[1]
        if len(payload) < 0x50:
            plan += bytes([0, len(payload)]) + payload
    return plan


PLANS: dict[str, Callable[[bool, bool, bytes], bytes]] = {
    "frame-decoder": _frame_decoder,
    "message-decoder": _message_decoder,
    "take-chunk": _take_chunk,
    "connection": _connection,
}


def inputs(name: str) -> Iterator[bytes]:
    """Those of a target, for a server and for a client; none for one that takes no streams."""
    for case, stream in recorded().items():
        is_compressed = case.startswith(("12.", "13."))
        if name in PLANS:
            yield PLANS[name](True, is_compressed, masked(stream))
            yield PLANS[name](False, is_compressed, stream)
        elif name == "inflate" and is_compressed:
            yield _inflate(stream)
