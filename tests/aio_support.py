"""Runs coroutine tests on every event loop, and sees that they leave nothing behind.

`every_loop` runs a test on asyncio's own loop and on uvloop, `simulated` on a
loop whose clock jumps ahead whenever nothing is left to do.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import os
import selectors
import ssl
import sys
import tempfile
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from certificates import Certificate, self_signed

from fastframe import Connection, Server, WebSocket, WebSocketStream, connect, serve
from fastframe.aio import transport
from fastframe.aio.protocol import SocketProtocol

Test = Callable[..., Coroutine[Any, Any, None]]

LIMIT = 20.0
"""Seconds that a test may take."""

SETTLING = 2.0
"""Seconds in which what a test has closed must be gone."""


class _LogLines(logging.Handler):
    """Keeps text alone: a record would keep alive the objects that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


_log = _LogLines()


def logged() -> list[str]:
    """What has been logged; a test fails unless it takes the warnings and errors that it causes."""
    lines, _log.lines = _log.lines, []
    return lines


# Loops.


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the clock instead of waiting."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        # Bytes may be on their way through the loopback interface, on a busy machine for some
        # milliseconds; a leap over a deadline would be taken for a peer that does not answer.
        is_leap = timeout is not None and timeout >= 0.5
        events = super().select(0.01 if is_leap else 0.002)
        if not events and timeout is not None:
            self.now += timeout
        return events


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop on which an hour takes no time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def block(self, seconds: float) -> None:
        """As if a callback had taken this long."""
        self._jumping.now += seconds


def _noting_timers(base: type) -> asyncio.AbstractEventLoop:
    """A loop that knows its timers."""
    timers: list[weakref.ref[Any]] = []

    def noting(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            handle = getattr(base, name)(self, *arguments, **options)
            timers.append(weakref.ref(handle))
            return handle

        return method

    names = ("call_at", "call_later")
    kind = type(base.__name__, (base,), {name: noting(name) for name in names} | {"timers": timers})
    return cast("asyncio.AbstractEventLoop", kind())


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return _noting_timers(uvloop.Loop)


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": lambda: _noting_timers(asyncio.SelectorEventLoop)
}
if sys.platform != "win32" and sys.implementation.name == "cpython":
    LOOPS["uvloop"] = _uvloop


def every_loop(test: Test) -> Callable[..., None]:
    """Run a coroutine test on every loop."""

    @functools.wraps(test)
    def run_test(event_loop: str, **arguments: Any) -> None:
        run(LOOPS[event_loop], lambda: test(**arguments))

    parameter = inspect.Parameter("event_loop", inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(test)
    own = signature.replace(parameters=[*signature.parameters.values(), parameter])
    run_test.__signature__ = own  # type: ignore[attr-defined]
    return cast("Callable[..., None]", pytest.mark.parametrize("event_loop", sorted(LOOPS))(run_test))


def simulated(test: Test) -> Callable[..., None]:
    """Run a coroutine test on a loop whose clock jumps."""

    @functools.wraps(test)
    def run_test(**arguments: Any) -> None:
        run(lambda: _noting_timers(SimulatedLoop), lambda: test(**arguments), limit=100_000)

    return run_test


def clock() -> SimulatedLoop:
    """The loop of a `simulated` test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulatedLoop)
    return loop


# What a test leaves behind.

# PyPy has neither, and looks through everything each time.
_freeze: Callable[[], object] = getattr(gc, "freeze", lambda: None)
_unfreeze: Callable[[], object] = getattr(gc, "unfreeze", lambda: None)


def _open_sockets() -> set[str]:
    """Sockets of this process; empty where the system does not list them."""
    found = set()
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{name}")
                if target.startswith("socket:"):
                    found.add(target)
    return found


def _ours() -> set[int]:
    kinds = (SocketProtocol, Connection, Server)
    return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), kinds)}


def _waiting_timers(loop: Any) -> list[str]:
    handles = [reference() for reference in loop.timers]
    left = [
        repr(handle)
        for handle in handles
        if handle is not None and not handle.cancelled() and handle.when() > loop.time()
    ]
    # uvloop keeps that of a TLS handshake which was cancelled.
    return [timer for timer in left if "SSLProtocol" not in timer]


def run(factory: Callable[[], asyncio.AbstractEventLoop], test: Test, limit: float = LIMIT) -> None:
    """Run a coroutine function to its end, and fail if it takes too long or leaves something behind."""
    # What is there already is set aside, so that looking through the rest takes no time.
    _freeze()
    try:
        _run(factory, test, limit)
    finally:
        _unfreeze()


def collect() -> None:
    """Free all that nothing refers to any more."""
    # PyPy counts no references: what had a finalizer goes with a later collection than what it held.
    for _ in range(1 if sys.implementation.name == "cpython" else 5):
        gc.collect()


def _run(factory: Callable[[], asyncio.AbstractEventLoop], test: Test, limit: float) -> None:
    objects, sockets = _ours(), _open_sockets()
    loop = factory()
    loop.set_debug(False)
    complaints: list[str] = []
    loop.set_exception_handler(
        lambda _, context: complaints.append(f"{context['message']}: {context.get('exception')!r}")
    )
    logger = logging.getLogger("fastframe")
    logger.addHandler(_log)
    logger.propagate = False
    logged()
    asyncio.set_event_loop(loop)
    try:
        leftovers = loop.run_until_complete(_limited(test(), limit))
        leftovers += [f"timer {timer}" for timer in _waiting_timers(loop)]
        collect()
    finally:
        logger.removeHandler(_log)
        logger.propagate = True
        asyncio.set_event_loop(None)
        _close(loop)
    del loop
    collect()
    leftovers += [f"logged: {line}" for line in logged()]
    leftovers += [f"complaint of the loop: {line}" for line in complaints]
    leftovers += [f"open {link}" for link in _open_sockets() - sockets]
    left = _ours() - objects
    if left:
        leftovers += [f"object {thing!r}" for thing in gc.get_objects() if id(thing) in left]
    assert not leftovers, "\n".join(["left behind:", *leftovers])


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop, and end what a failed test may have left running on it."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _limited(test: Coroutine[Any, Any, None], limit: float) -> list[str]:
    sockets = _open_sockets()
    task = asyncio.ensure_future(test)
    await asyncio.wait([task], timeout=limit)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
        raise AssertionError(f"not done after {limit:g} s")
    task.result()
    del task

    def remaining() -> list[str]:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        left = [f"task {task!r}" for task in tasks]
        return left + [f"open {link} while the loop runs" for link in _open_sockets() - sockets]

    for _ in range(int(SETTLING / 0.005)):
        if not remaining():
            break
        await asyncio.sleep(0.005)
    return remaining()


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    step = 0.05 if isinstance(asyncio.get_running_loop(), SimulatedLoop) else 0.001
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(step)
    raise AssertionError(f"never happened: {what}")


async def spin(iterations: int) -> None:
    """Let the loop go round."""
    for _ in range(iterations):
        await asyncio.sleep(0)


# Connections.


def port_of(server: Server) -> int:
    return int(server.sockets[0].getsockname()[1])


def uri_of(server: Server, path: str = "/", scheme: str = "ws") -> str:
    return f"{scheme}://127.0.0.1:{port_of(server)}{path}"


async def status_of(port: int, path: str, host: str, fields: str = "") -> int:
    """The status with which a server on this machine answers a GET.

    Args:
        port: where it listens.
        path: the request's target, as it is sent.
        host: of the field Host.
        fields: more of them, each with its line's end.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode())
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


async def echo(ws: WebSocketStream) -> None:
    """A handler."""
    async for message in ws:
        await ws.send(message)


@asynccontextmanager
async def pair(
    *, server: dict[str, Any] | None = None, client: dict[str, Any] | None = None
) -> AsyncIterator[tuple[WebSocketStream, WebSocketStream]]:
    """Both ends of a connection, the server's first, without compression unless told otherwise."""
    accepted: asyncio.Future[WebSocketStream] = asyncio.get_running_loop().create_future()

    async def handler(ws: WebSocketStream) -> None:
        accepted.set_result(ws)
        await ws.wait_closed()

    async with (
        serve(handler, "127.0.0.1", 0, **({"compression": None} | (server or {}))) as running,
        connect(uri_of(running), **({"compression": None} | (client or {}))) as ws,
    ):
        yield await accepted, ws


class Recorder(WebSocket):
    """The callback form, writing down what it is told."""

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.events: list[tuple[Any, ...]] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_open(self) -> None:
        self.events.append(("open", int(self.ready_state)))

    def on_message(self, message: str | bytes) -> None:
        self.events.append(("message", message))

    def on_error(self, error: Exception) -> None:
        self.events.append(("error", type(error).__name__))

    def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
        self.events.append(("close", close_code, close_reason, was_clean))
        self.closed.set_result(None)


# Certificates.


@functools.cache
def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server on 127.0.0.1 and localhost, and for its clients."""
    with tempfile.TemporaryDirectory() as folder:
        return contexts_of(self_signed(Path(folder)))


def contexts_of(made: Certificate) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context that has the certificate, and a client's that trusts who signed it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*made)
    return server, ssl.create_default_context(cafile=str(made.certificate))


@contextmanager
def counted_writes() -> Iterator[Callable[[SocketProtocol], list[int]]]:
    """Count what connections over TCP write once they are open, at the system call.

    It gives a function that tells how many bytes each write of a connection took.
    """
    sizes: defaultdict[int, list[int]] = defaultdict(list)
    module: Any = transport
    send = module.send

    def counting(descriptor: int, data: Any) -> int:
        sent: int = send(descriptor, data)
        if bytes(data[:9]) != b"HTTP/1.1 ":  # how a transport of ours answers the opening handshake
            sizes[descriptor].append(sent)
        return sent

    module.send = counting
    try:
        yield lambda protocol: sizes[protocol.transport.get_extra_info("socket").fileno()]
    finally:
        module.send = send
