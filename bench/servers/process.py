"""Server processes and the load on them, each pinned to a processor and bounded in time."""

from __future__ import annotations

import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from .hosting import Setup
from .programs import Programs
from .registry import Server

ROOT = pathlib.Path(__file__).parent.parent.parent

START_TIMEOUT = 20.0
"""Seconds that a server may take to start."""

STOP_TIMEOUT = 5.0
"""Seconds that a server may take to end."""


class Failed(Exception):
    """A server or the load on it failed; the text says what went wrong."""


def host_command(server: Server, *options: str) -> list[str]:
    host = [sys.executable, "-m", f"{__package__}.host", server.module, server.form or "-", server.loop]
    return [*host, *(("--half", server.half) if server.half else ()), *options]


def environment_of(server: Server) -> dict[str, str]:
    """Ours, with the half of fastframe's codec that is wanted."""
    environment = dict(os.environ)
    environment["FASTFRAME_EXTENSION"] = "0" if server.half == "pure" else "1"
    return environment


def pin(pid: int, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(pid, {cpu})


def _tail(file: Any) -> str:
    file.seek(0)
    return str(file.read().strip()[-600:])


class ServerProcess:
    """A server that runs; a context manager that ends it.

    The C program can `spin`, that is never sleep, where it is the load on a client.
    """

    def __init__(
        self, server: Server, setup: Setup, programs: Programs, cpu: int | None, *, spin: bool = False
    ) -> None:
        self.server = server
        command = [str(programs.limit), str(setup.copies), str(int(spin))]
        if server.module:
            options = ["--copies", str(setup.copies)] + ["--deflate"] * setup.deflate
            options += ["--certificate", setup.certificate] if setup.certificate else []
            command = host_command(server, *options)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in `stop`
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment_of(server),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid
        try:
            pin(self.pid, cpu)
            self.port = self._read_port()
        except BaseException:
            self.stop()
            raise

    def _read_port(self) -> int:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT)
        line = self._process.stdout.readline() if ready else ""
        if not line.startswith("port "):
            raise Failed(f"{self.server.name} did not start: {_tail(self._errors)}")
        return int(line.split()[1])

    def errors(self) -> str:
        """The end of what it wrote to standard error."""
        return _tail(self._errors)

    def memory(self) -> int:
        """Bytes of memory that are its own, and its share of what it shares (PSS)."""
        return _kilobytes(pathlib.Path(f"/proc/{self.pid}/smaps_rollup"), "Pss:") * 1024

    def peak(self) -> int:
        """Bytes of memory at most so far (resident)."""
        return _kilobytes(pathlib.Path(f"/proc/{self.pid}/status"), "VmHWM:") * 1024

    def stop(self) -> None:
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.close()
            process.wait(STOP_TIMEOUT)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            process.kill()
            process.wait()
        finally:
            process.stdout.close()
            self._errors.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def _kilobytes(path: pathlib.Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise Failed(f"{path} does not tell {name}")


def parsed(what: str, status: int, output: str, errors: str) -> dict[str, Any]:
    """The result that a load or a client printed as its last line.

    Raises:
        Failed: it was not successful.
    """
    if status != 0 or not output.strip():
        raise Failed(f"{what}: {errors.strip()[-300:] or f'ended with status {status}'}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


class Load:
    """The load generator, running; a context manager that ends it."""

    def __init__(self, programs: Programs, cpu: int | None, timeout: float, **options: object) -> None:
        options["timeout"] = timeout
        self._timeout = timeout + 10
        self._process = subprocess.Popen(
            [str(programs.load), *(f"{name}={value}" for name, value in options.items())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        pin(self._process.pid, cpu)

    def wait_until_held(self) -> None:
        """Return once all connections are open and had their first echo."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], self._timeout)
        if not ready or self._process.stdout.readline() != "ready\n":
            self.result()
            raise Failed("load: not ready")

    def result(self, go_on: str = "") -> dict[str, Any]:
        """Wait for its end."""
        try:
            output, errors = self._process.communicate(go_on, timeout=self._timeout)
        except subprocess.TimeoutExpired:
            raise Failed(f"load: not done within {self._timeout:g} s") from None
        return parsed("load", self._process.returncode, output, errors)

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def run_client(server: Server, cpu: int | None, timeout: float, options: dict[str, object]) -> dict[str, Any]:
    """Run a client under test.

    Raises:
        Failed: it got a wrong reply, or did not end in time.
    """
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    process = subprocess.Popen(
        host_command(server, *flags),
        cwd=ROOT,
        env=environment_of(server),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        pin(process.pid, cpu)
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"client: not done within {timeout:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return parsed("client", process.returncode, output, errors)
