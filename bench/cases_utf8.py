"""Figure 3: UTF-8 validation, whole and resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .contestants import COPY, EMPTY_CALL, OURS, SIMDUTF, UTF8, UTF8_RESUMABLE
from .figures import KIB, MIB, Case, CaseResult, Figure, Verdict, at_least, at_most, inverse
from .texts import TEXTS, text_of


def cases(sizes: Sequence[int]) -> list[Case[bytes]]:
    made = []
    for kind in TEXTS:
        for size in sizes:
            text = text_of(kind, size)
            # A validator that always says yes would win: the last byte spoilt, and one in the middle.
            spoilt = text[:-1] + b"\xff"
            surrogate = text[: size // 2].decode(errors="ignore").encode() + b"\xed\xa0\x80" + b"a" * size
            made.append(Case(kind, size, text, True, probes=((spoilt, False), (surrogate, False))))
    return made


def judge(results: Sequence[CaseResult]) -> list[Verdict]:
    large = [case for case in results if case.size == 64 * KIB]
    small = [case for case in results if case.size == 125]

    def speed(name: str) -> Callable[[CaseResult], float | None]:
        return lambda case: inverse(case.ratio(name, SIMDUTF))

    def calls(name: str) -> Callable[[CaseResult], float | None]:
        return lambda case: case.ratio(name, EMPTY_CALL)

    return [
        at_least("whole: at least 0.8 x simdutf at 64 KiB, each text", large, speed(OURS), 0.8),
        at_least("resumable: at least 0.8 x simdutf at 64 KiB, each text", large, speed(UTF8_RESUMABLE), 0.8),
        at_most("whole: at most 1.5 x an empty C call at 125 B", small, calls(OURS), 1.5),
    ]


UTF8_VALIDATION = Figure(
    number=3,
    title="UTF-8 validation",
    unit="ns a text",
    contestants=UTF8,
    cases=cases,
    sizes=(16, 125, 1 * KIB, 4 * KIB, 64 * KIB, 1 * MIB),
    quick_sizes=(125, 4 * KIB, 64 * KIB),
    judge=judge,
    yardsticks=(SIMDUTF, EMPTY_CALL, COPY),
    throughput=True,
    notes=(
        "simdutf is measured through Node's `buffer.isUtf8`, in a process of its own on the same processor, "
        "in the same rounds; its figures hold the cost of a call from JavaScript, which counts at 125 B.",
        "The empty C call is `callable(data)`: one argument in, a shared object out, no byte looked at.",
        "resumable is `Utf8Validator().validate`, which answers with a tuple of four.",
    ),
)
