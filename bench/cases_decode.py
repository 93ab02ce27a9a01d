"""Figures 4 and 5: from a server's reads to messages, binary and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .calls_frames import DecodeInput
from .contestants import BINARY_AND_DECODE, BINARY_PATH, COPY, DECODE, OURS, OURS_PURE, TEXT
from .figures import KIB, Case, CaseResult, Figure, Verdict, at_least, at_most, inverse
from .texts import TEXTS, noise_of, text_of

READ_SIZE = 64 * KIB
"""Bytes in a read: the receive buffer of a busy connection."""

_STREAM = 2 * READ_SIZE
_MIN_FRAMES = 4


def _frames(size: int) -> int:
    # Frames straddle the reads' edges, as they do in life; more than two reads
    # would teach nothing and take the slowest peers a long time.
    return max(_MIN_FRAMES, _STREAM // (size + 8))


def binary_cases(sizes: Sequence[int]) -> list[Case[DecodeInput]]:
    made = []
    for size in sizes:
        noise = noise_of(size * _frames(size))
        payloads = tuple(noise[at : at + size] for at in range(0, len(noise), size))
        made.append(Case("", size, DecodeInput(payloads, READ_SIZE), list(payloads), units=len(payloads)))
    return made


def text_cases(sizes: Sequence[int]) -> list[Case[DecodeInput]]:
    made = []
    for kind in TEXTS:
        for size in sizes:
            # All different: a repeated text is one that the branch predictor knows by heart.
            payloads = tuple(text_of(kind, size, number) for number in range(_frames(size)))
            expected = [payload.decode() for payload in payloads]
            case_input = DecodeInput(payloads, READ_SIZE, text=True)
            made.append(Case(kind, size, case_input, expected, units=len(payloads)))
    return made


def judge_binary(results: Sequence[CaseResult]) -> list[Verdict]:
    small = [case for case in results if case.size in (16, 125)]

    def of_size(size: int) -> list[CaseResult]:
        return [case for case in results if case.size == size]

    def faster_than(peer: str, name: str = OURS) -> Callable[[CaseResult], float | None]:
        return lambda case: inverse(case.ratio(name, peer))

    absolute = [
        at_most(f"at most {limit} ns at {label}", of_size(size), lambda case: case.median(OURS), limit, "ns")
        for size, label, limit in ((16, "16 B", 50), (125, "125 B", 60), (KIB, "1 KiB", 160))
    ]
    return [
        *absolute,
        at_least("15 x aiohttp up to 125 B", small, faster_than("aiohttp"), 15),
        at_least("80 x websockets up to 125 B", small, faster_than("websockets"), 80),
        at_least("150 x wsproto up to 125 B", small, faster_than("wsproto"), 150),
        at_least("2 x aiohttp at 256 KiB", of_size(256 * KIB), faster_than("aiohttp"), 2),
        at_least("pure half: 2 x wsproto", results, faster_than("wsproto", OURS_PURE), 2),
    ]


def judge_text(results: Sequence[CaseResult]) -> list[Verdict]:
    ascii_cases = [case for case in results if case.group == "JSON" and 125 <= case.size <= 64 * KIB]
    others = [case for case in results if case.group != "JSON" and case.size >= 4 * KIB]
    return [
        at_most(
            "ASCII: at most 1.15 x the binary path, 125 B to 64 KiB",
            ascii_cases,
            lambda case: case.ratio(OURS, BINARY_PATH),
            1.15,
        ),
        at_least(
            "not ASCII: 1.3 x faster than unmask + bytes.decode, 4 KiB and above",
            others,
            lambda case: inverse(case.ratio(OURS, BINARY_AND_DECODE)),
            1.3,
        ),
    ]


_NOTES = (
    "Masked, unfragmented frames in reads of 64 KiB. Copy and the empty call are done once a frame.",
    "aiohttp's messages are taken out of its queue by a coroutine that never has to wait, as a handler takes "
    'them; in the row "left queued" they stay there. websockets hands out frames and wsproto parts of '
    "messages: what their callers do to join them is not counted.",
)

DECODING = Figure(
    number=4,
    title="Decoding masked binary frames into messages",
    unit="ns a frame",
    contestants=DECODE,
    cases=binary_cases,
    sizes=(16, 125, 1 * KIB, 16 * KIB, 256 * KIB),
    quick_sizes=(16, 125, 1 * KIB, 16 * KIB, 256 * KIB),
    judge=judge_binary,
    yardsticks=(COPY,),
    notes=_NOTES,
)

DECODING_TEXT = Figure(
    number=5,
    title="Decoding masked text frames into str",
    unit="ns a frame",
    contestants=TEXT,
    cases=text_cases,
    sizes=(125, 1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB),
    quick_sizes=(125, 4 * KIB, 64 * KIB),
    judge=judge_text,
    yardsticks=(BINARY_PATH, BINARY_AND_DECODE),
    notes=(
        *_NOTES,
        '"as binary" is fastframe\'s compiled half on the same payloads in binary frames; "as binary + '
        'decode" is that and `bytes.decode` of each message.',
    ),
)
