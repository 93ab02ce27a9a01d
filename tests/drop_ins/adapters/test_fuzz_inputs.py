"""Every input that is kept for the adapters' fuzz targets, and every one that failed, without a fuzzer."""

from __future__ import annotations

import pytest
from fuzz import adapter_targets
from fuzz.catalogue import ADAPTERS, CORPUS, REGRESSIONS, inputs, target


@pytest.mark.parametrize("name", ADAPTERS)
def test_kept_inputs_still_pass(name: str) -> None:
    run = target(name)
    run(b"")
    kept = inputs(CORPUS, name)
    assert kept
    for path in [*kept, *inputs(REGRESSIONS, name)]:
        run(path.read_bytes())


def test_the_catalogue_has_every_target() -> None:
    assert tuple(adapter_targets.TARGETS) == ADAPTERS
