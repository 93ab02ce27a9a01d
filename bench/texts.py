"""Realistic text of an exact size in bytes, the same on every machine."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

_SEED = 6455

_LATIN = (
    "über schöne Straßen grüßen Vögel während der Übung größere Mädchen für später "
    "où était passée l'été dernière très près du château français déjà élève garçon "
    "mañana el niño pequeño comió después del día año corazón canción también español "
    "and the of to in is was for on are with they at be this from have one had by word"
).split()
_CJK = (
    "今天的天气很好我们一起去公园散步然后在河边的小店里喝茶聊天",
    "東京の朝は静かで駅へ向かう人々の足音だけが聞こえていた",
    "この度はお問い合わせいただき誠にありがとうございます",
    "서울의밤거리는언제나밝고사람들은늦게까지이야기를나눈다",
    "请在下周五之前把修改后的合同发送到我们的邮箱谢谢",
)
_EMOJI = "😀 😂 🥰 👍🏽 🎉 🚀 🔥 👩‍💻 🇪🇺 🐍 🌍 🍕 🤷🏻‍♀️ 💯 ✨ 🙏 😭 🏳️‍🌈 🧵 📦".split()


def _json(choice: random.Random) -> Iterator[str]:
    while True:
        record = {
            "id": choice.randrange(10**9),
            "symbol": choice.choice(["BTC-USD", "ETH-EUR", "SOL-USD"]),
            "price": f"{choice.uniform(0.1, 70_000):.2f}",
            "side": choice.choice(["buy", "sell"]),
            "time": f"2025-{choice.randrange(1, 13):02}-{choice.randrange(1, 29):02}T12:34:56.789Z",
            "tags": choice.sample(["limit", "maker", "hidden", "ioc", "retail"], 2),
        }
        yield json.dumps(record) + ","


def _latin(choice: random.Random) -> Iterator[str]:
    while True:
        words = choice.choices(_LATIN, k=choice.randrange(5, 14))
        yield " ".join(words).capitalize() + ". "


def _cjk(choice: random.Random) -> Iterator[str]:
    while True:
        yield choice.choice(_CJK) + choice.choice("。、！？")


def _emoji(choice: random.Random) -> Iterator[str]:
    while True:
        yield "".join(choice.choices(_EMOJI, k=choice.randrange(1, 6))) + choice.choice(["", " ", " ok "])


TEXTS: dict[str, Callable[[random.Random], Iterator[str]]] = {
    "JSON": _json,
    "Latin": _latin,
    "CJK": _cjk,
    "emoji": _emoji,
}
"""Generators by name; JSON is pure ASCII, Latin fits ISO 8859-1."""


def text_of(kind: str, size: int, number: int = 0) -> bytes:
    """Return `size` bytes of UTF-8 of a kind of `TEXTS`; each `number` is another text.

    The last bytes are dots where a whole code point does not fit any more.
    """
    parts: list[bytes] = []
    have = 0
    pieces = TEXTS[kind](random.Random(_SEED + number))
    while have < size:
        parts.append(next(pieces).encode())
        have += len(parts[-1])
    whole = b"".join(parts)[:size].decode(errors="ignore").encode()
    return whole.ljust(size, b".")


def noise_of(size: int) -> bytes:
    """Return `size` random bytes, the same ones each time."""
    return random.Random(_SEED).randbytes(size)
