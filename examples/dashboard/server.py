"""A page and its live figures from one port: a dashboard of this very process.

    python examples/dashboard/server.py
    # open http://localhost:8765/ in a browser, in several tabs

A request that asks for no WebSocket gets a file (`process_request`), so there is no web server to set up
and no origin to allow but the page's own. Whoever connects is pushed the last minute, then a sample every
INTERVAL seconds: encoded once for all. A tab that does not keep up misses samples instead of lagging behind
(`slow_consumer`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import time
from collections import deque
from pathlib import Path

from fastframe import CloseCode, Request, Response, WebSocketStream, broadcast, serve

INTERVAL = 0.2
"""Seconds between two samples."""
KEPT = 300
"""Samples: those of a minute."""

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
}
HEADERS = [
    ("Content-Security-Policy", "default-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-cache"),
]


class Dashboard:
    """Measures this process, and pushes what it finds.

    Args:
        hosts: what a request may call this server; with another name it is not meant for us, whoever has
            made that name lead here (DNS rebinding).
    """

    def __init__(self, hosts: list[str]) -> None:
        self._hosts = hosts
        self._viewers: set[WebSocketStream] = set()
        self._samples: deque[dict[str, float]] = deque(maxlen=KEPT)
        folder = Path(__file__).parent
        self._files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}

    def process_request(self, _: object, request: Request) -> Response | None:
        """Answer requests for files; let those for a WebSocket pass."""
        if request.headers.get_all("Host") not in [[host] for host in self._hosts]:
            return Response(421, HEADERS, b"This server has another name.\n")
        if request.is_upgrade and request.path == "/live":
            return None
        body, kind = self._files.get(request.path, (b"", ""))
        if not body:
            return Response(404, HEADERS, b"Not found.\n")
        return Response(200, [("Content-Type", kind), *HEADERS], body)

    async def handle(self, ws: WebSocketStream) -> None:
        """Push to one tab until it is closed."""
        # Nothing is awaited in between: no sample is missing, and none comes twice.
        ws.offer(json.dumps({"type": "history", "interval": INTERVAL, "samples": [*self._samples]}))
        self._viewers.add(ws)
        try:
            async for _ in ws:
                await ws.close(CloseCode.POLICY_VIOLATION, "there is nothing to say here")
        finally:
            self._viewers.discard(ws)

    async def run(self) -> None:
        """Measure and push, until cancelled."""
        loop = asyncio.get_running_loop()
        then, used = loop.time(), time.process_time()
        while True:
            await asyncio.sleep(INTERVAL)
            now, using = loop.time(), time.process_time()
            sample = {
                "time": round(time.time(), 3),
                "cpu": round(100 * (using - used) / (now - then), 2),
                "delay": round(1000 * max(0.0, now - then - INTERVAL), 3),
                "viewers": len(self._viewers),
            }
            then, used = now, using
            self._samples.append(sample)
            broadcast(self._viewers, json.dumps({"type": "sample", **sample}))


async def main(host: str, port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    # Bound before, since the page's origin has the port in it.
    listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    port = listening.getsockname()[1]
    host = f"[{host}]" if ":" in host else host
    names = dict.fromkeys([f"{host}:{port}", f"localhost:{port}", f"127.0.0.1:{port}"])
    dashboard = Dashboard([*names])
    running = asyncio.create_task(dashboard.run())
    async with serve(
        dashboard.handle,
        sock=listening,
        origins=[f"http://{name}" for name in names],
        process_request=dashboard.process_request,
        slow_consumer="keep_latest",
    ):
        print(f"listening on http://{host}:{port}/", flush=True)
        await stop.wait()
    running.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A dashboard in the browser.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8765)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.host, chosen.port))
