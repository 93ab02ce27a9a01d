"""Figure 6: frames into the output buffer; and headers, which only the suite measures."""

from __future__ import annotations

from collections.abc import Sequence

from .calls_frames import EncodeInput
from .contestants import COPY, ENCODE, OURS
from .figures import KIB, Case, CaseResult, Figure, Verdict, at_most
from .texts import noise_of
from .wire import BINARY, header

FRAMES = 64
"""Frames appended before the buffer is taken: what a busy connection sends in one go."""

_ROLES = {"server": False, "client": True}


def cases(sizes: Sequence[int]) -> list[Case[EncodeInput]]:
    made = []
    for role, is_client in _ROLES.items():
        for size in sizes:
            payload = noise_of(size)
            expected = ([payload] * FRAMES, True)
            case_input = EncodeInput(payload, is_client, FRAMES)
            made.append(Case(role, size, case_input, expected, units=FRAMES))
    return made


def header_cases(lengths: Sequence[int]) -> list[Case[bytes]]:
    """Headers of a client's frames with these payload lengths."""
    made = []
    for length in lengths:
        data = header(BINARY, length, masked=True) + b"\x37\xfa\x21\x3d"
        made.append(Case("", length, data, (length, BINARY)))
    return made


def judge(results: Sequence[CaseResult]) -> list[Verdict]:
    return [
        at_most(
            f"{role}: at most {limit} ns at 125 B",
            [case for case in results if case.group == role and case.size == 125],
            lambda case: case.median(OURS),
            limit,
            "ns",
        )
        for role, limit in (("server", 80), ("client", 110))
    ]


ENCODING = Figure(
    number=6,
    title="Encoding binary messages",
    unit="ns a frame",
    contestants=ENCODE,
    cases=cases,
    sizes=(16, 125, 1 * KIB, 4 * KIB, 64 * KIB),
    quick_sizes=(16, 125, 4 * KIB),
    judge=judge,
    yardsticks=(COPY,),
    notes=(
        f"fastframe appends {FRAMES} frames to its output buffer and takes them in one piece, joining "
        "counted; of the peers the frames are counted and not their joining. A client's frames hold a fresh "
        "key each.",
        "aiohttp is spared the coroutine around its writer; as server it hands on payloads above 16 KiB "
        "uncopied.",
    ),
)
