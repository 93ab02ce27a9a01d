"""permessage-deflate beside its peers; run with ``pytest bench --benchmark-only``."""

from __future__ import annotations

import pytest

from .calls_deflate import DeflateInput
from .cases_deflate import DEFLATING
from .contestants import Contestant
from .figures import Case
from .suite import BenchmarkFixture, over, run

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5)


@over(DEFLATING.contestants, DEFLATING.cases(DEFLATING.quick_sizes))
def test_deflate(
    benchmark: BenchmarkFixture, contestant: Contestant[DeflateInput], case: Case[DeflateInput]
) -> None:
    run(benchmark, DEFLATING.title, contestant, case)
