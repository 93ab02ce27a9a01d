"""``python -m fuzz.seed``, in tests/: the wire cases of tests/vectors as first inputs, among what was found.

Behind the choices that a target makes first come the bytes as they are. ``make fuzz FUZZ=--keep-corpus``
then keeps of these and of all found the fewest that reach what all of them reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from fuzz.fuzzing import FOUND, MAX_SIZE
from heads import VECTORS as HEADS
from heads import head
from wire import expand, frame_bytes, load

from fastframe import Role

KEY = bytes.fromhex("37fa213d")


def _streams() -> Iterator[tuple[bool, bytes]]:
    """Whether a server receives it, and the bytes."""
    for name in ("frames", "messages", "rfc6455_5_7"):
        for vector in load(name):
            if "wire" in vector:
                yield vector.get("role") == "server", expand(vector["wire"])
                continue
            frames = [(bytes.fromhex(header), expand(payload)) for header, payload in vector["frames"]]
            for role in Role:
                yield (
                    role is Role.SERVER,
                    b"".join(frame_bytes(role, header, payload) for header, payload in frames),
                )
    for vector in load("header_errors"):
        yield True, expand(vector["header"])


def seeds() -> Iterator[tuple[str, bytes]]:
    """Pairs of target and input."""
    for is_server, wire in _streams():
        role = bytes([is_server])
        yield "message-decoder", role + bytes(5) + bytes(12) + b"\0" + wire
        yield "frame-decoder", role + bytes(4) + b"\0" + wire
        yield "take-chunk", role + bytes(2) + bytes(24) + b"\0" + wire
        yield "header", b"\0" + wire[:20]
        yield "kernel-header", b"\x77" + wire[:20]
    for vector in load("utf8"):
        text = expand(vector["bytes"])
        yield "utf8", b"\0" + text
        yield "kernel-utf8", b"\0\0\0" + text
        yield "masking", KEY + bytes(2) + b"\0" + text
        yield "kernel-mask", KEY + bytes(3) + text
    for message, targets in (
        ("request", {"http-request": 0, "http-head": 19, "server-handshake": 15}),
        ("response", {"client-handshake": 14, "proxies": 8}),
    ):
        for kind, vectors in HEADS[message].items():
            if kind == "lines":
                continue
            for vector in vectors:
                for target, before in targets.items():
                    yield target, bytes(before) + b"\0" + head(message, vector)


def main() -> None:
    count = 0
    for name, data in seeds():
        if len(data) <= MAX_SIZE:
            folder: Path = FOUND / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
            count += 1
    print(f"{count} seeds in {FOUND}")


if __name__ == "__main__":
    main()
