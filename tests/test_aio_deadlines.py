"""One timer for many deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aio_support import clock, simulated, spin

from fastframe.aio.deadlines import Deadlines


@asynccontextmanager
async def deadlines(seconds: float = 10) -> AsyncIterator[tuple[Deadlines[str], list[tuple[str, float]]]]:
    """Deadlines, and what has expired when, in seconds from now."""
    begin = clock().time()
    expired: list[tuple[str, float]] = []
    own = Deadlines[str](clock(), seconds, lambda thing: expired.append((thing, clock().time() - begin)))
    yield own, expired
    own.stop()


def timers() -> int:
    return sum(
        handle() is not None and not handle().cancelled() and handle().when() > clock().time()
        for handle in clock().timers  # type: ignore[attr-defined]
    )


@simulated
async def test_each_expires_at_its_own_time() -> None:
    async with deadlines() as (own, expired):
        own.add("a")
        await asyncio.sleep(3)
        own.add("b")
        own.add("c")
        await asyncio.sleep(30)
        assert [thing for thing, _ in expired] == ["a", "b", "c"]
        assert [when for _, when in expired] == pytest.approx([10, 13, 13], abs=0.01)


@simulated
async def test_what_is_discarded_does_not_expire() -> None:
    async with deadlines() as (own, expired):
        for thing in "abcd":
            own.add(thing)
        own.discard("a")
        own.discard("c")
        own.discard("never there")
        await asyncio.sleep(30)
        assert [thing for thing, _ in expired] == ["b", "d"]


@simulated
async def test_one_timer_serves_all() -> None:
    async with deadlines() as (own, _):
        before = timers()
        for number in range(100):
            own.add(str(number))
            own.discard(str(number - 1))
        assert timers() == before + 1
        own.discard("99")
        await asyncio.sleep(11)
        assert timers() == before, "none is kept for nothing"
        own.add("again")
        assert timers() == before + 1
        own.stop()
        assert timers() == before


@simulated
async def test_calls_may_add_and_discard() -> None:
    seen: list[str] = []

    def expired(thing: str) -> None:
        seen.append(thing)
        own.discard("b")
        if len(seen) < 3:
            own.add(thing + "!")

    own = Deadlines[str](clock(), 10, expired)
    for thing in "abc":
        own.add(thing)
    await asyncio.sleep(100)
    assert seen == ["a", "c", "a!", "c!"]
    own.stop()


@simulated
async def test_exception_in_a_call_harms_no_other() -> None:
    seen: list[str] = []
    complaints: list[object] = []

    def expired(thing: str) -> None:
        seen.append(thing)
        if thing == "a":
            raise ZeroDivisionError

    handler = clock().get_exception_handler()
    clock().set_exception_handler(lambda _, context: complaints.append(type(context["exception"])))
    own = Deadlines[str](clock(), 10, expired)
    for thing in "abc":
        own.add(thing)
    await asyncio.sleep(11)
    await spin(2)
    clock().set_exception_handler(handler)
    assert (seen, complaints) == (["a", "b", "c"], [ZeroDivisionError])
    own.stop()
