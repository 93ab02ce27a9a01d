"""Runs the programs of examples/ in processes of their own, as a user does; every wait is bounded."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

EXAMPLES = Path(__file__).parents[1] / "examples"

LIMIT = 60.0
"""Seconds that a test may take."""


def bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test, and fail if it takes too long."""

    @functools.wraps(test)
    def run_test(**arguments: Any) -> None:
        asyncio.run(asyncio.wait_for(test(**arguments), LIMIT))

    return run_test


class Program:
    """A program that is running.

    Attributes:
        uri: what it listens on, once it has said so.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self.process = process
        self.uri = ""
        self._log = log

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        self._log.seek(0)
        return self._log.read().decode()

    @property
    def port(self) -> int:
        return int(self.uri.rpartition(":")[2].strip("/"))

    async def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"it has ended: {self.log}"
        return line.decode().rstrip()

    async def logged(self, words: str, count: int = 1) -> None:
        """Wait until the log has these words, so many times."""
        while self.log.count(words) < count:
            assert self.process.returncode is None, self.log
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        await self.process.wait()

    def peak_memory(self) -> int:
        """KiB that it has had in memory at once; Linux."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])

    async def end(self) -> None:
        """Have it end, and see that nothing went wrong."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            assert await self.process.wait() == 0, self.log
        assert "Traceback" not in self.log, self.log


@asynccontextmanager
async def program(*words: str | Path, **variables: str) -> AsyncIterator[Program]:
    """Run an example.

    Args:
        words: the path below examples/, and the arguments.
        variables: of the environment, to add.
    """
    path, *arguments = map(str, words)
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(EXAMPLES / path),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=os.environ | variables,
        )
        running = Program(process, log)
        try:
            yield running
            if process.returncode != -signal.SIGKILL:
                await running.end()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@asynccontextmanager
async def server(*words: str | Path, port: int = 0, **variables: str) -> AsyncIterator[Program]:
    """Run an example's server on a port of its own, until it can be connected to."""
    async with program(*words, "--host", "127.0.0.1", "--port", str(port), **variables) as running:
        line = await running.line()
        assert line.startswith("listening on "), line
        running.uri = line.removeprefix("listening on ")
        yield running


async def finished(*words: str | Path, **variables: str) -> tuple[int, str, str]:
    """Run an example to its end: exit status, output, log."""
    async with program(*words, **variables) as running:
        assert running.process.stdout is not None
        output = await running.process.stdout.read()
        status = await running.process.wait()
        return status, output.decode(), running.log


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
