"""What the pytest-benchmark suites share: the registry's contestants and cases as parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import pytest

from .calls import Unavailable
from .contestants import Contestant, Kind
from .figures import Case
from .run import checked
from .timing import Snippet


class BenchmarkFixture(Protocol):
    """As much of pytest-benchmark's fixture as is used here."""

    group: str | None
    extra_info: dict[str, object]

    def __call__(self, function: Callable[[], object]) -> object: ...


def over(contestants: Sequence[Contestant[Any]], cases: Iterable[Case[Any]]) -> pytest.MarkDecorator:
    """Parametrise a benchmark with contestants and cases.

    Left out are contestants that time themselves in another process (a call
    to them from here would time the way there), and sizes that are too slow
    for a contestant; `python -m bench` reports both.
    """
    parameters = [
        pytest.param(contestant, case, id=f"{contestant.name}-{case.label}".replace(" ", "_"))
        for case in cases
        for contestant in contestants
        if contestant.in_process and (contestant.largest is None or case.size <= contestant.largest)
    ]
    return pytest.mark.parametrize(("contestant", "case"), parameters)


def run(benchmark: BenchmarkFixture, title: str, contestant: Contestant[Any], case: Case[Any]) -> None:
    """Check a contestant's results and time it.

    A peer that is not there is skipped with its reason; our own halves have to be there.
    """
    try:
        snippet = checked(contestant, case)
    except Unavailable as reason:
        if contestant.kind in (Kind.OURS, Kind.OURS_PURE):
            pytest.fail(f"{contestant.name}: {reason}")
        pytest.skip(f"{contestant.name}: {reason}")
    assert isinstance(snippet, Snippet)
    benchmark.group = f"{title}: {case.label}"
    benchmark.extra_info["units"] = case.units
    benchmark(snippet.call())
