"""Figure 16: messages through permessage-deflate."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

from . import calls_deflate
from .calls_deflate import COMPRESS, INFLATE, LEVEL, MEMORY_LEVEL, ROUND_TRIP, WINDOW_BITS, DeflateInput
from .contestants import OURS, Contestant, Kind
from .figures import KIB, Case, CaseResult, Figure, Verdict, at_most
from .texts import text_of

MESSAGES = 64
"""Different ones, so that none finds itself in the window."""

OURS_ZLIB = "fastframe, zlib"
BARE_ZLIB = "zlib alone"
BARE_ZLIB_15 = "zlib alone, 15 bits"

DEFLATE: tuple[Contestant[DeflateInput], ...] = (
    Contestant(OURS, Kind.OURS, calls_deflate.ours(None), "isal"),
    Contestant("fastframe, zlib-ng", Kind.OURS, calls_deflate.ours("zlib-ng"), "zlib-ng"),
    Contestant(OURS_ZLIB, Kind.OURS, calls_deflate.ours("zlib")),
    Contestant("websockets", Kind.PEER, calls_deflate.websockets, "websockets"),
    Contestant(BARE_ZLIB, Kind.REFERENCE, calls_deflate.bare_zlib(WINDOW_BITS, MEMORY_LEVEL)),
    Contestant(BARE_ZLIB_15, Kind.REFERENCE, calls_deflate.bare_zlib(15, 8)),
)


def _object_of(size: int, number: int) -> bytes:
    """One JSON object of `size` bytes: about half of it is like the others, the rest its own."""
    choice = random.Random(number)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(choice.choices(syllables, k=choice.randrange(1, 5))) for _ in range(size // 8)]
    record = {
        "id": choice.randrange(10**12),
        "type": choice.choice(["trade", "quote", "order", "cancel"]),
        "price": round(choice.uniform(0.1, 70_000), 4),
        "size": choice.randrange(10_000),
        "user": {
            "id": f"{choice.getrandbits(64):016x}",
            "name": f"{choice.choice(words)} {choice.choice(words)}",
        },
        "tags": choice.sample(["limit", "maker", "hidden", "ioc", "retail"], 3),
        "note": " ".join(words),
    }
    return json.dumps(record).encode()[: size - 2] + b'"}'


KINDS: dict[str, Callable[[int, int], bytes]] = {
    "objects": _object_of,
    "lists": lambda size, number: text_of("JSON", size, number),
}
"""Messages by what is in one: an object with a text in it, or a list of objects much like each other."""


def cases(sizes: Sequence[int]) -> list[Case[DeflateInput]]:
    made = []
    for kind, message_of in KINDS.items():
        for task in (ROUND_TRIP, COMPRESS, INFLATE):
            for size in sizes:
                messages = tuple(message_of(size, number) for number in range(MESSAGES))
                case_input = DeflateInput(messages, task)
                made.append(Case(f"{kind}, {task}", size, case_input, list(messages), units=MESSAGES))
    return made


def judge(results: Sequence[CaseResult]) -> list[Verdict]:
    return [
        at_most(
            f"{kind}: at most 0.5 x websockets at 512 B, with the extra",
            [case for case in results if case.group == f"{kind}, {ROUND_TRIP}" and case.size == 512],
            lambda case: case.ratio(OURS, "websockets"),
            0.5,
        )
        for kind in KINDS
    ]


DEFLATING = Figure(
    number=16,
    title="Compressing JSON messages, context kept",
    unit="ns a message",
    contestants=DEFLATE,
    cases=cases,
    sizes=(125, 512, 4 * KIB, 16 * KIB),
    quick_sizes=(512,),
    judge=judge,
    yardsticks=(BARE_ZLIB, BARE_ZLIB_15),
    notes=(
        f"{MESSAGES} different messages, again and again; a round trip is compressed and inflated. Half of "
        "an object is its own; a list is of objects much like each other, in which there is less to do.",
        f"Level {LEVEL}, a window of {WINDOW_BITS} bits and memory level {MEMORY_LEVEL}, the defaults of "
        "fastframe and of websockets. A window of 15 bits is what those use that ask for nothing.",
        "fastframe compresses with what the extra `deflate` brings, isal before zlib-ng, and without it "
        "with zlib. It inflates with zlib.",
        "websockets takes and returns frames; those that go in are made beforehand, and none is encoded.",
    ),
)
