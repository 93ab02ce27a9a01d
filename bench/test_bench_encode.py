"""Encoding and headers beside their peers; run with ``pytest bench --benchmark-only``."""

from __future__ import annotations

import pytest

from .calls_frames import EncodeInput
from .cases_encode import ENCODING, header_cases
from .contestants import HEADER, Contestant
from .figures import KIB, Case
from .suite import BenchmarkFixture, over, run

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5)


@over(ENCODING.contestants, ENCODING.cases(ENCODING.quick_sizes))
def test_encode(
    benchmark: BenchmarkFixture, contestant: Contestant[EncodeInput], case: Case[EncodeInput]
) -> None:
    run(benchmark, ENCODING.title, contestant, case)


@over(HEADER, header_cases((125, 4 * KIB, 256 * KIB)))
def test_parse_header(benchmark: BenchmarkFixture, contestant: Contestant[bytes], case: Case[bytes]) -> None:
    run(benchmark, "parse_header", contestant, case)
