"""Every attack on a server in a process of its own: ``make attacks ATTACKS="--scale 5 --every"``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attacks import catalogue
from attacks.process import Variant, require
from attacks.target import Target

# Each half, loop and form with each other one at least once; all of them with --every.
FEW = [
    Variant("compiled", "asyncio", "coroutine"),
    Variant("compiled", "uvloop", "callback"),
    Variant("pure", "asyncio", "callback"),
    Variant("pure", "uvloop", "coroutine"),
    Variant("compiled", "uvloop", "uvicorn"),
]
ALL = [
    Variant(half, loop, form)
    for half in ("compiled", "pure")
    for loop in ("asyncio", "uvloop")
    for form in ("coroutine", "callback", "uvicorn")
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every")
    metafunc.parametrize("target", ALL if every else FEW, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    variant: Variant = request.param
    require(variant)
    catalogue.SCALE = request.config.getoption("--scale")
    victim = Target(variant)
    yield victim
    victim.stop()


@pytest.mark.parametrize("attack", catalogue.ATTACKS, ids=lambda attack: attack.name)
def test_attack(target: Target, attack: catalogue.Attack) -> None:
    if attack.ours and target.variant.form == "uvicorn":
        return  # what uvicorn reads itself is its own to judge
    with target.watched(attack.memory * catalogue.SCALE):
        answer = attack.run(target)
    assert answer == attack.answer
