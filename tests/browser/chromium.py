"""Headless Chromium, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).

The driver talks through the `websockets` library, so that a mistake of ours
cannot hide behind itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
LIFETIME = 600
"""Seconds after which the browser ends, whatever it is doing."""
START_SECONDS = 30
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    # A page that was left lives on in that cache, and its connections do for seconds.
    "--disable-features=BackForwardCache",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
]


class Chromium:
    """A running browser.

    Attributes:
        devtools: the URI of its DevTools, a WebSocket server.
    """

    def __init__(self) -> None:
        command = next(filter(None, map(shutil.which, COMMANDS)), None)
        assert command is not None, "chromium is not installed"
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        # Whatever becomes of us, the browser does not run for ever.
        self._process = subprocess.Popen(
            ["timeout", str(LIFETIME), command, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self.devtools = self._wait_for_devtools()
        except BaseException:
            self.end()
            raise

    def _wait_for_devtools(self) -> str:
        told = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise AssertionError(f"chromium has ended, with {self._process.returncode}")
            lines = told.read_text().split() if told.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            time.sleep(0.05)
        raise AssertionError(f"chromium did not start within {START_SECONDS} s")

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # Its children may still be writing.
        shutil.rmtree(self._profile, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def page(self, uri: str) -> AsyncIterator[Page]:
        """Open a page in a tab of its own."""
        async with connect(self.devtools, max_size=None, ping_interval=None, proxy=None) as devtools:
            page = Page(devtools)
            target = (await page.call("Target.createTarget", url="about:blank"))["targetId"]
            attached = await page.call("Target.attachToTarget", targetId=target, flatten=True)
            page.session = attached["sessionId"]
            try:
                await page.open(uri)
                yield page
            finally:
                page.session = None
                await page.call("Target.closeTarget", targetId=target)


class Page:
    """A page that evaluates JavaScript."""

    def __init__(self, devtools: Any) -> None:
        self.session: str | None = None
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self._lock = asyncio.Lock()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and wait for its result; one at a time."""
        async with self._lock:
            command = {"id": next(self._numbers), "method": method, "params": parameters}
            if self.session is not None:
                command["sessionId"] = self.session
            await self._devtools.send(json.dumps(command))
            while True:
                answer = json.loads(await self._devtools.recv())
                if answer.get("id") == command["id"]:
                    break
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    async def open(self, uri: str) -> None:
        """Leave for another document, and wait until it has been loaded."""
        navigated = await self.call("Page.navigate", url=uri)
        assert "errorText" not in navigated, navigated
        await self.evaluate(
            "new Promise(done =>"
            " document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or what its promise is fulfilled with."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")
