"""What the other end sends to a host: conversations by seed, and every way to break the frame layer."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from drop_ins.adapters.driver import Peer, frame

CLOSE = (1000).to_bytes(2, "big") + b"bye"
SIZES = [0, 1, 2, 5, 124, 125, 126, 127, 128, 4000, 65535, 65536, 65537, 70_001, 300_000]
ALPHABETS = ["plain ASCII ", "Zoë naïve café ", "日本語 русский ", "𝄞🎉 a "]


class Message(NamedTuple):
    """A text or binary message."""

    opcode: int
    payload: bytes


def random_message(rng: random.Random, largest: int) -> Message:
    size = rng.choice([size for size in SIZES if size <= largest] + [rng.randrange(largest + 1)])
    if rng.random() < 0.5:
        return Message(2, rng.randbytes(size))
    alphabet = rng.choice(ALPHABETS)
    text = alphabet * (size // len(alphabet.encode()) + 1)
    return Message(1, text.encode()[:size].decode(errors="ignore").encode())


def frames_of(peer: Peer, message: Message, rng: random.Random) -> list[bytes]:
    """The message in one frame, or in several with pings between them."""
    opcode, payload = message
    compressed = peer.deflates and rng.random() < 0.7
    if compressed:
        payload = peer.deflated(payload)
    if rng.random() < 0.6:
        return [peer.frame(opcode, payload, rsv=4 if compressed else 0)]
    cuts = sorted(rng.randrange(len(payload) + 1) for _ in range(rng.randrange(4)))
    frames = []
    for start, stop in zip([0, *cuts], [*cuts, len(payload)], strict=True):
        frames.append(
            peer.frame(opcode, payload[start:stop], fin=False, rsv=4 if compressed and opcode else 0)
        )
        opcode = 0
        # tornado forgets that the message is compressed when a control frame comes between.
        if not compressed and rng.random() < 0.3:
            frames.append(peer.frame(9, rng.randbytes(rng.randrange(126))))
    frames.append(peer.frame(0, b""))
    return frames


def conversation(peer: Peer, seed: int, count: int, largest: int) -> tuple[list[Message], list[bytes]]:
    """Messages, and the stream that carries them, cut anywhere."""
    rng = random.Random(seed)
    messages = [random_message(rng, largest) for _ in range(count)]
    stream = b"".join(frame for message in messages for frame in frames_of(peer, message, rng))
    pieces = []
    while stream:
        size = rng.choice([1, 2, 3, 7, 100, 5000, 100_000, 400_000])
        pieces.append(stream[:size])
        stream = stream[size:]
    return messages, pieces


def _text(peer: Peer, payload: bytes) -> bytes:
    return peer.frame(1, payload)


def _resized(peer: Peer, size: int, bits: int) -> bytes:
    """A binary frame of zeros whose length stands in more bits than it needs."""
    length = size.to_bytes(bits // 8, "big")
    header = bytes([0x82, peer.masks << 7 | (126 if bits == 16 else 127)]) + length
    return header + bytes(4 if peer.masks else 0) + bytes(size)


def _announced(peer: Peer, size: int) -> bytes:
    header = bytes([0x82, peer.masks << 7 | 127]) + size.to_bytes(8, "big")
    return header + bytes(4 if peer.masks else 0)


BAD: dict[str, Callable[[Peer], bytes]] = {
    "reserved-opcode": lambda peer: peer.frame(3, b"data"),
    "reserved-control-opcode": lambda peer: peer.frame(11, b"data"),
    "rsv1": lambda peer: peer.frame(2, b"data", rsv=4),
    "compressed": lambda peer: (
        peer.frame(1, peer.deflated(b"where it is agreed"), rsv=4) + peer.frame(8, CLOSE)
    ),
    "compressed-not-utf8": lambda peer: peer.frame(1, peer.deflated(b"\xff"), rsv=4),
    "compressed-beyond-the-limit": lambda peer: peer.frame(2, peer.deflated(bytes(40_000_000)), rsv=4),
    "rsv2": lambda peer: peer.frame(1, b"data", rsv=2),
    "rsv3-control": lambda peer: peer.frame(9, b"data", rsv=1),
    "wrongly-masked": lambda peer: (
        frame(2, b"which side is this", masked=not peer.masks) + peer.frame(8, CLOSE)
    ),
    "not-utf8": lambda peer: _text(peer, b"valid, then \xff not"),
    "not-utf8-overlong": lambda peer: _text(peer, b"\xc0\x80"),
    "not-utf8-surrogate": lambda peer: _text(peer, b"abc\xed\xa0\x80"),
    "cut-utf8": lambda peer: _text(peer, "cut off: é".encode()[:-1]),
    "cut-utf8-large": lambda peer: _text(peer, b"x" * 70_000 + b"\xf0\x9f\x8e"),
    "not-utf8-in-fragments": lambda peer: (
        peer.frame(1, b"\xe6", fin=False) + peer.frame(0, b"\x97", fin=False) + peer.frame(0, b"\xff")
    ),
    "binary-that-is-not-utf8": lambda peer: peer.frame(2, b"\xff\xfe") + peer.frame(8, CLOSE),
    "length-not-minimal-16": lambda peer: _resized(peer, 100, 16) + peer.frame(8, CLOSE),
    "length-not-minimal-64": lambda peer: _resized(peer, 1000, 64) + peer.frame(8, CLOSE),
    "length-top-bit": lambda peer: _announced(peer, 1 << 63),
    "length-beyond-the-limit": lambda peer: _announced(peer, 1 << 26),
    "control-too-long": lambda peer: peer.frame(9, bytes(126)),
    "control-fragmented": lambda peer: peer.frame(9, b"ping", fin=False),
    "continuation-alone": lambda peer: peer.frame(0, b"of nothing"),
    "message-inside-message": lambda peer: peer.frame(2, b"one", fin=False) + peer.frame(2, b"two"),
    "close-empty": lambda peer: peer.frame(8, b""),
    "close-of-one-byte": lambda peer: peer.frame(8, b"\x03"),
    "close-with-forbidden-code": lambda peer: peer.frame(8, (1005).to_bytes(2, "big")),
    "close-with-private-code": lambda peer: peer.frame(8, (4321).to_bytes(2, "big") + b"why"),
    "close-reason-not-utf8": lambda peer: peer.frame(8, b"\x03\xe8\xff"),
    "close-inside-message": lambda peer: peer.frame(1, b"unfinished", fin=False) + peer.frame(8, CLOSE),
    "data-after-close": lambda peer: peer.frame(8, CLOSE) + peer.frame(2, b"too late"),
    "end-without-close": lambda peer: b"",
    "end-inside-header": lambda peer: peer.frame(2, bytes(200))[:3],
    "end-inside-key": lambda peer: peer.frame(2, b"12345678")[:4],
    "end-inside-payload": lambda peer: peer.frame(2, bytes(300))[:-1],
    "end-inside-large-payload": lambda peer: peer.frame(1, bytes(200_000))[:-1],
}
