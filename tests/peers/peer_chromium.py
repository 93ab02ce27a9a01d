"""Chromium, as a client, from a page that our own port serves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from browser.chromium import Chromium

BEHAVIOUR = (Path(__file__).parent / "behaviour.js").read_text(encoding="utf-8")

_running: list[Chromium] = []


async def talk(uri: str, subprotocols: list[str]) -> dict[str, Any]:
    """What behaviour.js has to report."""
    if not _running:
        _running.append(await asyncio.to_thread(Chromium))
    async with _running[0].page("http" + uri.removeprefix("ws")) as page:
        arguments = f"{json.dumps(uri)}, {json.dumps(subprotocols)}"
        report: dict[str, Any] = await page.evaluate(
            f"(() => {{ {BEHAVIOUR}\n return behave(new WebSocket({arguments}), {{}}); }})()"
        )
    return report


async def end() -> None:
    for chromium in _running:
        chromium.end()
