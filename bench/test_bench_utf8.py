"""UTF-8 validation beside its peers; run with ``pytest bench --benchmark-only``."""

from __future__ import annotations

import pytest

from .cases_utf8 import UTF8_VALIDATION
from .contestants import Contestant
from .figures import Case
from .suite import BenchmarkFixture, over, run

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5)


@over(UTF8_VALIDATION.contestants, UTF8_VALIDATION.cases(UTF8_VALIDATION.quick_sizes))
def test_utf8_validation(
    benchmark: BenchmarkFixture, contestant: Contestant[bytes], case: Case[bytes]
) -> None:
    run(benchmark, UTF8_VALIDATION.title, contestant, case)
