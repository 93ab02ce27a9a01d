"""Chromium, as a client, from a page that our own port serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

from browser.chromium import Chromium, Page

BEHAVIOUR = (Path(__file__).parent / "behaviour.js").read_text(encoding="utf-8")

_pages: list[Page] = []
_to_end = contextlib.AsyncExitStack()


async def the_page() -> Page:
    if not _pages:
        chromium = await asyncio.to_thread(Chromium)
        _to_end.callback(chromium.end)
        _pages.append(await _to_end.enter_async_context(chromium.page("about:blank")))
    return _pages[0]


async def talk(uri: str, subprotocols: list[str]) -> dict[str, Any]:
    """What behaviour.js has to report."""
    page = await the_page()
    await page.open("http" + uri.removeprefix("ws"))
    arguments = f"{json.dumps(uri)}, {json.dumps(subprotocols)}"
    report: dict[str, Any] = await page.evaluate(
        f"(() => {{ {BEHAVIOUR}\n return behave(new WebSocket({arguments}), {{}}); }})()"
    )
    return report


async def end() -> None:
    await _to_end.aclose()
