"""What is to be awaited, or entered."""

from __future__ import annotations

import asyncio

import pytest

from fastframe.aio.awaitable import AwaitableContext

started: list[int] = []
stopped: list[int] = []


@pytest.fixture
def numbers() -> AwaitableContext[int]:
    started.clear()
    stopped.clear()

    async def start() -> int:
        started.append(len(started))
        return started[-1]

    async def stop(number: int) -> None:
        stopped.append(number)

    return AwaitableContext(start, stop)


def test_awaiting_starts_and_does_not_stop(numbers: AwaitableContext[int]) -> None:
    async def run() -> None:
        assert [await numbers, await numbers] == [0, 1]

    asyncio.run(run())
    assert stopped == []


def test_leaving_stops_what_entering_has_started(numbers: AwaitableContext[int]) -> None:
    async def run() -> None:
        async with numbers as first, numbers as second:
            assert (first, second, stopped) == (0, 1, [])
        with pytest.raises(ZeroDivisionError):
            async with numbers:
                raise ZeroDivisionError

    asyncio.run(run())
    assert stopped == [1, 0, 2]


def test_each_task_leaves_what_it_has_entered(numbers: AwaitableContext[int]) -> None:
    async def enter(until: asyncio.Event) -> None:
        async with numbers:
            await until.wait()

    async def run() -> None:
        events = [asyncio.Event(), asyncio.Event()]
        tasks = [asyncio.ensure_future(enter(event)) for event in events]
        await asyncio.sleep(0.01)
        assert len(started) == 2
        for number, event in enumerate(events):
            event.set()
            await tasks[number]
            assert stopped[-1] == number

    asyncio.run(run())


def test_another_task_may_leave_than_has_entered(numbers: AwaitableContext[int]) -> None:
    async def run() -> None:
        await asyncio.ensure_future(numbers.__aenter__())
        await asyncio.ensure_future(numbers.__aexit__(None, None, None))

    asyncio.run(run())
    assert stopped == [0]


def test_what_did_not_start_is_not_stopped(numbers: AwaitableContext[int]) -> None:
    async def fail() -> int:
        raise ConnectionRefusedError

    async def run() -> None:
        async with AwaitableContext(fail, numbers._stop):
            pytest.fail("entered")

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(run())
    assert stopped == []
