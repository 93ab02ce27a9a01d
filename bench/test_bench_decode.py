"""Decoding beside its peers; run with ``pytest bench --benchmark-only``."""

from __future__ import annotations

import pytest

from .calls_frames import DecodeInput
from .cases_decode import DECODING, DECODING_TEXT
from .contestants import Contestant
from .figures import Case
from .suite import BenchmarkFixture, over, run

pytestmark = pytest.mark.benchmark(max_time=0.1, min_rounds=5)


@over(DECODING.contestants, DECODING.cases(DECODING.quick_sizes))
def test_decode_binary(
    benchmark: BenchmarkFixture, contestant: Contestant[DecodeInput], case: Case[DecodeInput]
) -> None:
    run(benchmark, DECODING.title, contestant, case)


@over(DECODING_TEXT.contestants, DECODING_TEXT.cases(DECODING_TEXT.quick_sizes))
def test_decode_text(
    benchmark: BenchmarkFixture, contestant: Contestant[DecodeInput], case: Case[DecodeInput]
) -> None:
    run(benchmark, DECODING_TEXT.title, contestant, case)
