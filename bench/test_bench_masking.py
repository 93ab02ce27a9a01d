"""Masking beside its peers; run with ``pytest bench --benchmark-only``."""

from __future__ import annotations

import pytest

from .calls import MaskInput
from .cases_masking import MASKING, MASKING_IN_PLACE
from .contestants import Contestant
from .figures import Case
from .suite import BenchmarkFixture, over, run

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5)


@over(MASKING.contestants, MASKING.cases(MASKING.quick_sizes))
def test_apply_mask(
    benchmark: BenchmarkFixture, contestant: Contestant[MaskInput], case: Case[MaskInput]
) -> None:
    run(benchmark, MASKING.title, contestant, case)


@over(MASKING_IN_PLACE.contestants, MASKING_IN_PLACE.cases(MASKING_IN_PLACE.quick_sizes))
def test_apply_mask_inplace(
    benchmark: BenchmarkFixture, contestant: Contestant[MaskInput], case: Case[MaskInput]
) -> None:
    run(benchmark, MASKING_IN_PLACE.title, contestant, case)
