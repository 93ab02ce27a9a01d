"""Takes in files that may be larger than memory, one for each connection, as one binary message.

    python examples/upload/server.py --folder /srv/uploads
    python examples/upload/client.py backup.tar

Programs may upload, and no web page: each that its user's browser shows could write files here otherwise.
--origin lets those of a site.

The request says what is coming: /NAME?size=BYTES. What cannot be taken is refused there, with 400 or 413.
The message is written while it comes (`recv_streaming`): reading from the socket pauses while the disk is
busy, so a connection costs the same memory whatever the size. Progress is told as {"received": BYTES}, and
the end as {"received": BYTES, "sha256": HEX}. A file shows up under its name when all of it is there, in
place of an older one; what is left of an upload that broke off is removed.

Compression stays off: a compressed message is inflated whole.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs

from fastframe import CloseCode, Request, Response, WebSocketStream, serve

REPORT = 1024 * 1024
"""Bytes between two reports of progress."""


@dataclass(frozen=True)
class Upload:
    """What a request announces."""

    name: str
    size: int

    @classmethod
    def of(cls, request: Request) -> Upload | None:
        """None if it announces nothing that makes sense."""
        path, _, query = request.path.partition("?")
        name, size = path[1:], parse_qs(query).get("size", [""])[0]
        # A name, no path: it begins with neither a dot nor a slash, and has no slash at all.
        if not (
            re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name) and re.fullmatch(r"[0-9]{1,18}", size)
        ):
            return None
        return cls(name, int(size))


class Uploads:
    """Puts files into a folder.

    Args:
        folder: where they go.
        max_size: bytes of a file at most.
    """

    def __init__(self, folder: Path, max_size: int) -> None:
        self._folder = folder
        self._max_size = max_size

    def process_request(self, _: object, request: Request) -> Response | None:
        """Refuse what cannot be taken before any of it is sent."""
        upload = Upload.of(request)
        if upload is None:
            what = b"The path has to be /NAME?size=BYTES, with letters, digits, _, . and - in NAME.\n"
            return Response(400, body=what)
        if upload.size > self._max_size:
            return Response(413, body=f"{self._max_size} bytes are the most.\n".encode())
        if (self._folder / upload.name).is_dir():
            return Response(409, body=b"There is a folder of this name.\n")
        return None

    async def handle(self, ws: WebSocketStream) -> None:
        """Take in one file."""
        assert ws.request is not None, "it is open"
        upload = Upload.of(ws.request)
        assert upload is not None, "process_request has seen to it"
        with arriving(self._folder) as file:
            digest = await receive(ws, upload, file)
            if digest is None:
                return
            file.close()
            os.replace(file.name, self._folder / upload.name)
        await ws.send(json.dumps({"received": upload.size, "sha256": digest}))


@contextlib.contextmanager
def arriving(folder: Path) -> Iterator[IO[bytes]]:
    """A file that is removed at the end, unless it has got another name by then."""
    with tempfile.NamedTemporaryFile(prefix=".upload-", dir=folder, delete=False) as file:
        try:
            yield file
        finally:
            file.close()
            Path(file.name).unlink(missing_ok=True)


async def receive(ws: WebSocketStream, upload: Upload, file: IO[bytes]) -> str | None:
    """Write the next message to a file.

    Returns:
        Its SHA-256; None if it was not what was announced, and the connection is closed.
    """
    digest = hashlib.sha256()
    received = reported = 0
    async for chunk in ws.recv_streaming():
        received += len(chunk)
        if not isinstance(chunk, bytes):
            await ws.close(CloseCode.UNSUPPORTED_DATA, "a file is a binary message")
            return None
        if received > upload.size:
            await ws.close(CloseCode.MESSAGE_TOO_BIG, f"{upload.size} bytes were announced")
            return None
        await asyncio.to_thread(store, chunk, file, digest)
        if received - reported >= REPORT:
            reported = received
            await ws.send(json.dumps({"received": received}))
    if received < upload.size:
        await ws.close(CloseCode.POLICY_VIOLATION, f"{upload.size} bytes were announced")
        return None
    return digest.hexdigest()


def store(chunk: bytes, file: IO[bytes], digest: Any) -> None:
    """What takes time: in a thread, so that other uploads go on."""
    file.write(chunk)
    digest.update(chunk)


async def main(uploads: Uploads, host: str, port: int, origins: list[str]) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    options: dict[str, Any] = {"compression": None, "max_size": None, "max_fragments": None}
    # None: programs send no Origin, and browsers always do.
    options |= {"process_request": uploads.process_request, "origins": [None, *origins]}
    async with serve(uploads.handle, host, port, **options) as server:
        print(f"listening on ws://{host}:{server.sockets[0].getsockname()[1]}/", flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Takes in files.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--folder", type=Path, required=True, help="where they go")
    parser.add_argument("--origin", action="append", default=[], help="whose pages may upload, too")
    parser.add_argument("--max-size", type=int, default=1 << 40, metavar="BYTES", help="of a file")
    chosen = parser.parse_args()
    asyncio.run(main(Uploads(chosen.folder, chosen.max_size), chosen.host, chosen.port, chosen.origin))
