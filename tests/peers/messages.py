"""Messages of every kind and size, and a comparison that stays short when they differ."""

from __future__ import annotations

import random

# Frames of 125 and 126, 65,535 and 65,536 bytes have lengths of different forms (RFC 6455 section 5.2).
SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20]
LARGE = 16 << 20

_SCRIPTS = {
    "ascii": "The quick brown fox jumps over the lazy dog. ",
    "latin": "Zwölf Boxkämpfer jagen Eva über den großen Deich. ",
    "cjk": "いろはにほへと天地玄黄宇宙洪荒다람쥐",
    "emoji": "🦊🏳️‍🌈👩‍💻🇪🇺𝄞 ",
}
KINDS = ["binary", *_SCRIPTS]


def message_of(kind: str, size: int) -> str | bytes:
    """A message whose payload has `size` bytes; the largest repeats itself, as noise compresses slowly."""
    if kind == "binary":
        noise = random.Random(size).randbytes(min(size, 1021) if size == LARGE else size)
        return (noise * (size // len(noise) + 1))[:size] if noise else b""
    script = _SCRIPTS[kind]
    text = (script.encode() * (size // len(script.encode()) + 1))[:size].decode(errors="ignore")
    return text + "x" * (size - len(text.encode()))


def check_same(received: object, sent: str | bytes) -> None:
    """Assert that they are equal, without showing megabytes."""
    assert type(received) is type(sent), f"{type(received).__name__} came for {type(sent).__name__}"
    assert isinstance(received, (str, bytes))
    assert len(received) == len(sent), f"{len(received)} came for {len(sent)}"
    if received != sent:
        first = next(i for i, (one, other) in enumerate(zip(received, sent, strict=True)) if one != other)
        raise AssertionError(f"differs from {first} on: {received[first : first + 20]!r}")
