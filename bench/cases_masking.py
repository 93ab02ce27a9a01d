"""Figures 1 and 2: masking, in a copy and in place."""

from __future__ import annotations

from collections.abc import Sequence

from .calls import MaskInput
from .contestants import COPY, MASK, MASK_INPLACE, OURS, OURS_PURE, Kind
from .figures import KIB, MIB, Case, CaseResult, Figure, Verdict, at_least, at_most, inverse, ratio_to_best
from .texts import noise_of
from .wire import xor

# One key that is no palindrome and no repetition, so that a wrong rotation shows.
KEY = bytes.fromhex("37fa213d")

SIZES = (
    *(0, 1, 16, 64, 125, 256),
    *(1 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB),
    *(1 * MIB, 4 * MIB, 16 * MIB),
)
QUICK_SIZES = (0, 16, 125, 1 * KIB, 4 * KIB, 64 * KIB, 1 * MIB)


def cases(sizes: Sequence[int]) -> list[Case[MaskInput]]:
    made = []
    for size in sizes:
        data = noise_of(size)
        made.append(Case("", size, MaskInput(data, KEY), xor(data, KEY)))
    return made


def judge_copying(results: Sequence[CaseResult]) -> list[Verdict]:
    peers = [c.name for c in MASK if c.kind in (Kind.PEER, Kind.PEER_PURE)]
    pure_peers = [c.name for c in MASK if c.kind is Kind.PEER_PURE]
    return [
        at_most("no slower than any peer, at every size", results, ratio_to_best(OURS, peers), 1.0),
        at_most("at most 1.05 x a copy, at every size", results, lambda case: case.ratio(OURS, COPY), 1.05),
        at_most(
            "pure half: no slower than any peer's pure code",
            results,
            ratio_to_best(OURS_PURE, pure_peers),
            1.0,
        ),
    ]


def judge_in_place(results: Sequence[CaseResult]) -> list[Verdict]:
    middle = [case for case in results if KIB <= case.size <= 16 * KIB]
    large = [case for case in results if case.size >= 64 * KIB]
    return [
        at_most(
            "no slower than aiohttp, at every size", results, lambda case: case.ratio(OURS, "aiohttp"), 1.0
        ),
        at_least(
            "1.5 x faster than aiohttp, 1 to 16 KiB",
            middle,
            lambda case: inverse(case.ratio(OURS, "aiohttp")),
            1.5,
        ),
        at_most("faster than a copy, 64 KiB and above", large, lambda case: case.ratio(OURS, COPY), 0.99),
        at_most(
            "pure half: no slower than any peer's pure code",
            results,
            lambda case: case.ratio(OURS_PURE, "aiohttp pure"),
            1.0,
        ),
    ]


_NOTES = ("copy is `bytes(source)`, `source` a bytearray of the same size.",)

MASKING = Figure(
    number=1,
    title="Masking in a copy: apply_mask",
    unit="ns a call",
    contestants=MASK,
    cases=cases,
    sizes=SIZES,
    quick_sizes=QUICK_SIZES,
    judge=judge_copying,
    yardsticks=(COPY,),
    notes=(
        *_NOTES,
        "wsaccel, wsproto and autobahn make a masker for every frame, as their callers do; websocket-client "
        "makes two arrays, and masks through wsaccel where that is installed, as it is here.",
    ),
)

MASKING_IN_PLACE = Figure(
    number=2,
    title="Masking in place: apply_mask_inplace",
    unit="ns a call",
    contestants=MASK_INPLACE,
    cases=cases,
    sizes=SIZES,
    quick_sizes=QUICK_SIZES,
    judge=judge_in_place,
    yardsticks=(COPY,),
    notes=_NOTES,
)
