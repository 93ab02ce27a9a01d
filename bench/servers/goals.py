"""Figures 7 to 15: what was to be reached, judged on ratios of the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..figures import KIB, Verdict, at_least, at_most
from .registry import (
    AIOHTTP,
    CALLBACK,
    COROUTINE,
    LOOPS,
    PICOWS,
    SANSIO,
    SERVERS,
    UVICORN_OURS,
    WEBSOCKETS,
)
from .results import CaseResult

FORMS = (CALLBACK, COROUTINE)
_PEERS = tuple(dict.fromkeys(server.label for server in SERVERS if server.module and not server.is_ours))


@dataclass(frozen=True)
class Duel:
    """One of ours beside one peer on the same loop in one case."""

    result: CaseResult
    ours: str
    theirs: str
    loop: str

    @property
    def label(self) -> str:
        return f"{self.theirs}, {self.loop}".removeprefix(", ")

    @property
    def ratio(self) -> float | None:
        return self.result.ratio(f"{self.ours}, {self.loop}", f"{self.theirs}, {self.loop}")


class _Judge:
    """The results of one figure's cases."""

    def __init__(self, results: Sequence[CaseResult], figure: int) -> None:
        self._results = [result for result in results if result.case.figure == figure]

    def _of(self, chosen: Callable[[CaseResult], bool]) -> list[CaseResult]:
        return [result for result in self._results if chosen(result)]

    def beats(
        self,
        goal: str,
        ours: str,
        peers: Iterable[str],
        limit: float,
        *,
        loops: Sequence[str] = LOOPS,
        chosen: Callable[[CaseResult], bool] = lambda result: True,
    ) -> Verdict:
        """Judge that ours is `limit` times as good as each peer, on each loop."""
        duels = [
            Duel(result, ours, peer, loop) for result in self._of(chosen) for peer in peers for loop in loops
        ]
        return at_least(f"{ours}: {goal}", duels, lambda duel: duel.ratio, limit)

    def beats_best(self, goal: str, ours: str, limit: float) -> Verdict:
        """Judge that ours is `limit` times as good as the best peer on the same loop."""
        duels = []
        for result in self._results:
            for loop in LOOPS:
                best = result.best(f"{peer}, {loop}" for peer in _PEERS)
                if best is not None:
                    duels.append(Duel(result, ours, best.rpartition(", ")[0], loop))
        return at_least(f"{ours}: {goal}", duels, lambda duel: duel.ratio, limit)

    def takes(self, form: str, limit: float, *, deflate: bool) -> Verdict:
        """Judge that a connection takes at most so many bytes, on each loop."""
        duels = [
            Duel(result, form, "", loop)
            for result in self._of(lambda result: result.case.deflate is deflate)
            for loop in LOOPS
        ]
        what = ", deflate agreed on and idle" if deflate else ""
        goal = f"{form}: at most {limit / KIB:g} KiB a connection{what}"
        return at_most(goal, duels, lambda duel: duel.result.median(f"{form}, {duel.loop}"), limit, "B")


def _small(results: Sequence[CaseResult]) -> dict[int, list[Verdict]]:
    one, many, kib = (_Judge(results, figure) for figure in (7, 8, 9))
    return {
        7: [
            one.beats("no slower than picows, on either loop", CALLBACK, [PICOWS], 1),
            one.beats("1.3 x aiohttp", COROUTINE, [AIOHTTP], 1.3),
            one.beats("2.5 x websockets", COROUTINE, [WEBSOCKETS], 2.5),
        ],
        8: [
            many.beats("10 x picows", CALLBACK, [PICOWS], 10),
            many.beats("5 x picows", COROUTINE, [PICOWS], 5),
            many.beats("25 x websockets", COROUTINE, [WEBSOCKETS], 25),
        ],
        9: [
            kib.beats("7 x picows", CALLBACK, [PICOWS], 7),
            kib.beats("4 x picows", COROUTINE, [PICOWS], 4),
        ],
    }


def _large(results: Sequence[CaseResult]) -> dict[int, list[Verdict]]:
    middle, large = _Judge(results, 10), _Judge(results, 11)
    rest = [peer for peer in _PEERS if not peer.startswith(PICOWS)]
    verdicts: dict[int, list[Verdict]] = {10: [], 11: []}
    for form in FORMS:
        verdicts[10] += [
            middle.beats("2 x picows on uvloop", form, [PICOWS], 2, loops=["uvloop"]),
            middle.beats("1.4 x picows on asyncio", form, [PICOWS], 1.4, loops=["asyncio"]),
        ]
        verdicts[11] += [
            large.beats("no slower than picows on uvloop", form, [PICOWS], 1, loops=["uvloop"]),
            large.beats("1.4 x each of the rest on uvloop", form, rest, 1.4, loops=["uvloop"]),
            large.beats("0.9 x picows on asyncio", form, [PICOWS], 0.9, loops=["asyncio"]),
        ]
    return verdicts


def _others(results: Sequence[CaseResult]) -> dict[int, list[Verdict]]:
    fanout, idle, connect = (_Judge(results, figure) for figure in (12, 13, 14))
    one, many = _Judge(results, 7), _Judge(results, 8)

    def single(result: CaseResult) -> bool:
        return result.case.copies == 1

    def ten(result: CaseResult) -> bool:
        return result.case.copies == 10

    verdicts: dict[int, list[Verdict]] = {12: [], 13: [], 14: [], 15: []}
    for form, limit in zip(FORMS, (4 * KIB, 5 * KIB), strict=True):
        verdicts[12] += [
            fanout.beats("1.3 x picows", form, [PICOWS], 1.3, chosen=single),
            fanout.beats("2 x websockets", form, [WEBSOCKETS], 2, chosen=single),
            fanout.beats("10 broadcasts in one tick 5 x picows", form, [PICOWS], 5, chosen=ten),
        ]
        verdicts[13] += [
            idle.takes(form, limit, deflate=False),
            idle.takes(form, limit + KIB, deflate=True),
        ]
        verdicts[14].append(connect.beats_best("1.3 x the best on the same loop", form, 1.3))
    verdicts[15] = [
        one.beats("1.7 x websockets-sansio in case 7", UVICORN_OURS, [SANSIO], 1.7),
        many.beats("4 x websockets-sansio in case 8", UVICORN_OURS, [SANSIO], 4),
    ]
    return verdicts


FIGURES = {
    7: "32 connections, 1 message of 125 B in flight",
    8: "8 connections, 32 messages of 125 B in flight",
    9: "8 connections, 32 messages of 1 KiB in flight",
    10: "8 connections, 8 messages of 16 KiB in flight",
    11: "4 connections, 2 messages of 1 MiB in flight",
    12: "Fan-out to 500",
    13: "Memory of an idle connection",
    14: "Connections and first echoes",
    15: "ASGI under uvicorn",
}


def judge(results: Sequence[CaseResult]) -> dict[int, list[Verdict]]:
    """All verdicts, by figure."""
    return _small(results) | _large(results) | _others(results)
