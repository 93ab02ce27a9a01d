"""Runs figures: builds the contestants, checks each one's results, times them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .calls import UNCHECKED, Unavailable
from .cases_decode import DECODING, DECODING_TEXT
from .cases_deflate import DEFLATING
from .cases_encode import ENCODING
from .cases_masking import MASKING, MASKING_IN_PLACE
from .cases_utf8 import UTF8_VALIDATION
from .contestants import Contestant
from .figures import AnyFigure, Case, CaseResult, FigureResult, size_name
from .timing import Plan, Runner, Samples, Snippet, interleave

FIGURES: dict[int, AnyFigure] = {
    figure.number: figure
    for figure in (MASKING, MASKING_IN_PLACE, UTF8_VALIDATION, DECODING, DECODING_TEXT, ENCODING, DEFLATING)
}

Progress = Callable[[str], None]


class WrongResult(Exception):
    """A contestant does not do what it is timed for: nothing may be concluded from its speed."""


def checked(contestant: Contestant[Any], case: Case[Any]) -> Runner | Snippet:
    """Build a contestant for a case, having seen that its results are right.

    Raises:
        WrongResult: they are not.
        Unavailable: it cannot take part.
    """
    for data, expected in ((case.input, case.expected), *case.probes):
        found = _result(contestant, data)
        if found is not UNCHECKED and found != expected:
            raise WrongResult(
                f"{contestant.name}, {case.label}: expected {_short(expected)}, got {_short(found)}"
            )
    return contestant.build(case.input)


def _result(contestant: Contestant[Any], data: Any) -> object:
    try:
        return _runner(contestant.build(data)).result()
    except UnicodeDecodeError:
        # How bytes.decode says no.
        return False


def _runner(built: Runner | Snippet) -> Runner:
    return built.runner() if isinstance(built, Snippet) else built


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:60]}... ({len(text)} characters)"


def measure_case(contestants: Sequence[Contestant[Any]], case: Case[Any], plan: Plan) -> CaseResult:
    """Check and time all contestants with one case."""
    runners: dict[str, Runner] = {}
    outcomes: dict[str, Samples | str] = {}
    for contestant in contestants:
        if contestant.largest is not None and case.size > contestant.largest:
            outcomes[contestant.name] = f"left out above {size_name(contestant.largest)}: too slow"
            continue
        try:
            runners[contestant.name] = _runner(checked(contestant, case))
        except Unavailable as reason:
            outcomes[contestant.name] = str(reason)
    outcomes.update(interleave(runners, case.units, plan))
    return CaseResult(case.group, case.size, outcomes)


def measure(figure: AnyFigure, sizes: Sequence[int], plan: Plan, progress: Progress) -> FigureResult:
    """Measure a figure at some sizes; `progress` is told before each case."""
    results = []
    for case in figure.cases(sizes):
        progress(f"figure {figure.number}: {case.label}")
        results.append(measure_case(figure.contestants, case, plan))
    return FigureResult(figure, results)
