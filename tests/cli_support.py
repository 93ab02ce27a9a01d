"""Runs the command line as a process, and servers for it to talk with; every wait is bounded."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import websockets.exceptions
import websockets.sync.server
from certificates import self_signed

LIMIT = 30.0
"""Seconds that anything may take."""

FASTFRAME = [sys.executable, "-m", "fastframe"]


def environment(*without: str, folder: Path | None = None, **variables: str) -> dict[str, str]:
    """The variables of a process: those of this one, without what changes the command line's behaviour.

    Args:
        without: modules that the process shall not find; `folder` hides them.
        folder: where it looks for modules first.
        variables: to add.
    """
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "TERM", "PYTHONUNBUFFERED") and not name.lower().endswith("_proxy")
    }
    ours |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"} | variables
    if folder is not None:
        for name in without:
            (folder / f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
        ours["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), ours.get("PYTHONPATH"))))
    return ours


def command(
    *arguments: str, given: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        [*FASTFRAME, *arguments],
        input=given,
        capture_output=True,
        timeout=LIMIT,
        check=False,
        env=env or environment(),
    )


def complaint(finished: subprocess.CompletedProcess[bytes], status: int) -> str:
    """The one line that a command has failed with."""
    (line,) = finished.stderr.decode().splitlines()
    assert (finished.returncode, finished.stdout) == (status, b""), line
    return line


def written(folder: Path, source: str, name: str = "app.py") -> str:
    """A file of a program; its path."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return str(path)


@contextmanager
def running(*arguments: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside the test; it ends with it at the latest."""
    # What a shell has started in its background ignores interrupts, and all that it starts in turn.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*FASTFRAME, *arguments],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env or environment(),
    )
    # A read of its output cannot last longer than it does.
    limit = threading.Timer(LIMIT, process.kill)
    limit.start()
    try:
        yield process
    finally:
        process.kill()
        limit.cancel()
        limit.join()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def line_with(pipe: IO[bytes] | None, words: str) -> str:
    """Read lines until one has these words."""
    assert pipe is not None
    seen = b""
    for line in iter(pipe.readline, b""):
        seen += line
        if words.encode() in line:
            return line.decode().rstrip()
    raise AssertionError(f"{words!r} is not in {seen.decode()!r}")


@contextmanager
def serving(*arguments: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """Our own echo server on a port of its own, as a process; the URI."""
    with running("serve", "--host", "127.0.0.1", "--port", "0", *arguments, env=env) as process:
        yield line_with(output(process), "echoing on ").removeprefix("echoing on ")


class Peer:
    """A server of another library, which does what the test's handler says; it keeps what it has heard."""

    def __init__(self) -> None:
        self.heard: queue.Queue[Any] = queue.Queue()
        self.requests: queue.Queue[Any] = queue.Queue()
        self.to_say: queue.Queue[str | bytes] = queue.Queue()
        self.uri = ""

    def hears(self) -> Any:
        """The next message, or (code, reason) of the close frame."""
        return self.heard.get(timeout=LIMIT)

    def listen(self, connection: Any) -> None:
        """A handler: note all that comes."""
        with suppress(websockets.exceptions.ConnectionClosed):
            for message in connection:
                self.heard.put(message)

    def echo(self, connection: Any) -> None:
        """A handler: note all that comes, and send it back."""
        with suppress(websockets.exceptions.ConnectionClosed):
            for message in connection:
                self.heard.put(message)
                connection.send(message)

    def push(self, connection: Any) -> None:
        """A handler: say what the test wants said, hear what comes."""
        listening = threading.Thread(target=self.listen, args=(connection,), daemon=True)
        listening.start()
        while listening.is_alive():
            try:
                connection.send(self.to_say.get(timeout=0.05))
            except queue.Empty:
                continue
            except websockets.exceptions.ConnectionClosed:
                break
        listening.join(LIMIT)


Handler = Callable[[Peer, Any], None]


@contextmanager
def peer(handler: Handler = Peer.echo, **options: Any) -> Iterator[Peer]:
    """A server of websockets."""
    said = Peer()

    def handle(connection: Any) -> None:
        said.requests.put(connection.request)
        try:
            handler(said, connection)
        finally:
            connection.close()
            said.heard.put((connection.close_code, connection.close_reason))

    with websockets.sync.server.serve(handle, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        scheme = "wss" if "ssl" in options else "ws"
        said.uri = f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}/"
        try:
            yield said
        finally:
            server.shutdown()
            thread.join(LIMIT)


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate that signed itself, and its key."""
    made = self_signed(folder)
    return str(made.certificate), str(made.key)
