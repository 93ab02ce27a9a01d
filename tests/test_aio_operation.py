"""What `send`, `recv` and ``async for`` give to be awaited: coroutines to all who ask."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from aio_support import eventually, every_loop, pair, spin
from raw_peer import raw_pair
from wire import data_frame

from fastframe import ConnectionClosedOK, Role, WebSocketStream


@every_loop
async def test_they_are_coroutines_that_any_tool_of_asyncio_takes() -> None:
    async with pair() as (server, client):
        sending, receiving = server.send("a"), client.recv()
        for operation in (sending, receiving):
            assert asyncio.iscoroutine(operation)
            assert isinstance(operation, collections.abc.Coroutine)
        await asyncio.wait_for(sending, 5)
        assert await asyncio.create_task(receiving) == "a"
        results = await asyncio.gather(server.send("b"), client.recv(), asyncio.shield(server.send("c")))
        results.append(await asyncio.wait_for(client.recv(), 5))
        assert sorted(filter(None, results)) == ["b", "c"]
        await server.send("d")
        assert await anext(client) == "d"


@every_loop
async def test_nothing_happens_before_it_is_awaited() -> None:
    async with pair() as (server, client):
        second, first = server.send("second"), server.send("first")
        await first
        await second
        assert [await client.recv(), await client.recv()] == ["first", "second"]


@pytest.mark.parametrize("name", ["send", "recv"])
@every_loop
async def test_one_that_is_never_awaited_is_told_of(name: str) -> None:
    async with pair() as (server, _):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            operation: Any = server.send("lost") if name == "send" else server.recv()
            del operation
            gc.collect()
        assert [(str(each.message), each.category) for each in caught] == [
            (f"coroutine '{name}' was never awaited", RuntimeWarning)
        ]
        operation = server.send("given up") if name == "send" else server.recv()
        operation.close()  # which is deliberate


@every_loop
async def test_each_can_be_awaited_once() -> None:
    async with pair() as (server, client):
        sending, receiving = server.send("a"), client.recv()
        await sending
        assert await receiving == "a"
        for operation in (sending, receiving):
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await operation
        iterating = client.__anext__()
        for text in ("b", "c"):  # but for these: each time it is the next message
            await server.send(text)
            assert await iterating == text


@pytest.mark.parametrize("name", ["send", "recv"])
@every_loop
async def test_driven_by_hand(name: str) -> None:
    async with pair() as (server, client):
        operation: Any = client.send("a") if name == "send" else client.recv()
        with pytest.raises(KeyError, match="thrown"):
            operation.throw(KeyError("thrown"))
        with pytest.raises(RuntimeError, match="cannot reuse"):
            operation.send(None)
        operation = client.send("a") if name == "send" else client.recv()
        with pytest.raises(LookupError):
            operation.throw(LookupError)
        await server.send("b")
        await eventually(lambda: len(client._messages) == 1, "the message came")
        operation = client.send("a") if name == "send" else client.recv()
        with pytest.raises(StopIteration) as result:
            operation.send(None)
        assert result.value.value == (None if name == "send" else "b")
        if name == "send":
            assert await server.recv() == "a"


@every_loop
async def test_a_send_that_waits_for_the_network_can_be_thrown_into() -> None:
    async with raw_pair(write_limit=1) as (_, ws):
        while True:  # until the network is full
            operation: Any = ws.send(bytes(1_000_000))
            try:
                operation.send(None)
            except StopIteration:
                continue
            break
        with pytest.raises(KeyError, match="thrown"):
            operation.throw(KeyError("thrown"))
        waiting: Any = ws.send("x")
        waiting.send(None)
        waiting.close()
        assert ws.buffered_amount > 0
        ws.transport.abort()


# The wake-up.


@every_loop
async def test_who_waits_runs_within_the_read_that_brings_the_message() -> None:
    turns: list[str] = []
    async with raw_pair() as (peer, ws):

        async def receive() -> None:
            async for message in ws:
                turns.append(str(message))
                asyncio.get_running_loop().call_soon(turns.append, "the loop's next turn")

        task = asyncio.ensure_future(receive())
        await spin(2)
        await peer.send(b"".join(data_frame(Role.CLIENT, 1, text) for text in (b"a", b"b", b"c")))
        await eventually(lambda: len(turns) == 6, "all came")
        assert turns == ["a", "b", "c"] + ["the loop's next turn"] * 3
        task.cancel()


@every_loop
async def test_it_runs_in_its_own_context_as_its_own_task() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
    async with raw_pair() as (peer, ws):

        async def receive() -> tuple[str | bytes, str, asyncio.Task[Any] | None]:
            variable.set("inside")
            return await ws.recv(), variable.get(), asyncio.current_task()

        task = asyncio.create_task(receive())
        await spin(2)
        await peer.send(data_frame(Role.CLIENT, 1, b"a"))
        assert await task == ("a", "inside", task)
        assert variable.get() == "outside"


@every_loop
async def test_where_a_task_is_running_already_it_waits_for_the_loop() -> None:
    async with raw_pair() as (_, ws):
        task = asyncio.create_task(ws.recv())
        await spin(2)
        wire = data_frame(Role.CLIENT, 1, b"a")
        ws._buffer[: len(wire)] = wire
        ws.buffer_updated(len(wire))  # within this task
        assert not task.done()
        assert await task == "a"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tasks have contexts of their own there")
@every_loop
async def test_where_its_context_is_in_use_it_waits_for_the_loop() -> None:
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    async with raw_pair() as (_, ws):
        options: Any = {"context": context}
        task = loop.create_task(ws.recv(), **options)
        await spin(2)
        wire = data_frame(Role.CLIENT, 1, b"a")
        was_done: list[bool] = []

        def read() -> None:
            ws._buffer[: len(wire)] = wire
            ws.buffer_updated(len(wire))
            was_done.append(task.done())

        loop.call_soon(read, context=context)
        assert await task == "a"
        assert was_done == [False]


@every_loop
async def test_a_message_that_comes_with_the_cancellation_is_kept() -> None:
    async with pair() as (server, client):
        for _ in range(20):
            task = asyncio.create_task(client.recv())
            await spin(1)
            await server.send("kept")
            await asyncio.sleep(0.002)
            task.cancel()
            try:
                assert await task == "kept"
            except asyncio.CancelledError:
                assert await client.recv() == "kept"
        cancelled = asyncio.create_task(client.recv())
        await spin(1)
        cancelled.cancel("enough")
        await server.send("for the next one")
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await client.recv() == "for the next one"


async def _first_of(stream: Any) -> Any:
    async for thing in stream:
        return thing
    raise EOFError


RECEIVING: dict[str, Callable[[WebSocketStream], Any]] = {
    "recv": lambda ws: ws.recv(),
    "recv_many": lambda ws: ws.recv_many(),
    "async for": _first_of,
    "recv_streaming": lambda ws: _first_of(ws.recv_streaming()),
}


@pytest.mark.parametrize("name", RECEIVING)
@every_loop
async def test_a_cancellation_has_its_words(name: str) -> None:
    async with pair() as (_, client):
        task = asyncio.ensure_future(RECEIVING[name](client))
        await spin(2)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        # From Python 3.11 on; before, they are those of the first one in a chain.
        error: BaseException | None = caught.value
        while error is not None and not error.args:
            error = error.__context__
        assert error is not None and error.args == ("why",)


@pytest.mark.parametrize("after", RECEIVING)
@pytest.mark.parametrize("name", RECEIVING)
@every_loop
async def test_who_was_cancelled_is_it_whoever_receives_next(name: str, after: str) -> None:
    async with pair() as (server, client):
        cancelled = asyncio.ensure_future(RECEIVING[name](client))
        await spin(2)
        cancelled.cancel()
        # Its task has not run since.
        receiving = asyncio.ensure_future(RECEIVING[after](client))
        if after != "recv":  # those are coroutines, and begin at the loop's next turn
            receiving.cancel()
            receiving = RECEIVING[after](client)
        await server.send("for the next one")
        got = await receiving
        assert got == (["for the next one"] if after == "recv_many" else "for the next one")
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()


@every_loop
async def test_a_second_cancellation_does_not_strike_another_one() -> None:
    async with pair() as (server, client):
        cancelled = asyncio.ensure_future(client.recv())
        await spin(2)
        loop = asyncio.get_running_loop()
        cancelled.cancel()
        # Before the cancelled task has run, and after this one has begun to wait.
        loop.call_soon(cancelled.cancel)
        receiving = client.recv()
        loop.call_later(0.02, loop.create_task, server.send("for the next one"))
        assert await receiving == "for the next one"
        assert cancelled.cancelled()


@pytest.mark.parametrize("name", RECEIVING)
@every_loop
async def test_scopes_of_anyio_know_their_own_cancellation(name: str) -> None:
    async with pair() as (server, client):
        with anyio.move_on_after(0.02) as scope:
            await RECEIVING[name](client)
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.02):
                await RECEIVING[name](client)
        async with anyio.create_task_group() as group:
            group.start_soon(_first_of, client)
            await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        await server.send("still there")
        assert await client.recv() == "still there"


@every_loop
async def test_a_second_receiver_is_refused_and_the_first_goes_on() -> None:
    async with pair() as (server, client):
        first = asyncio.create_task(client.recv())
        await spin(1)
        for second in (client.recv(), client.recv_many(), client.__anext__()):
            with pytest.raises(RuntimeError, match="another coroutine is receiving"):
                await second
        await server.send("a")
        assert await first == "a"


@every_loop
async def test_the_end_wakes_who_waits() -> None:
    async with pair() as (server, client):
        task = asyncio.create_task(client.recv())
        everything = [message async for message in _after(task, client, server)]
        assert everything == []
        with pytest.raises(ConnectionClosedOK):
            await task


async def _after(task: Any, client: WebSocketStream, server: WebSocketStream) -> Any:
    await spin(1)
    await server.close()
    await asyncio.wait([task])
    async for message in client:
        yield message


def test_an_interrupt_in_a_handler_ends_the_loop_and_not_the_connection() -> None:
    program = """
import asyncio, os, signal
from fastframe import connect, serve

async def handler(ws):
    async for message in ws:
        raise KeyboardInterrupt if message == "interrupt" else SystemExit(7)

async def main(message):
    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as ws:
            await ws.send(message)
            await asyncio.sleep(20)

try:
    asyncio.run(main("interrupt"))
except KeyboardInterrupt:
    print("interrupted")
asyncio.run(main("exit"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "interrupted\n", done.stderr
    assert done.returncode == 7
