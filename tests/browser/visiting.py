"""Pages as a visitor sees them: what they show in time, and what goes wrong on them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from browser.chromium import Chromium, Page

SECONDS = 20
"""That anything may take to show on the page."""

WAIT = f"""
const until = async (check) => {{
  const end = performance.now() + {SECONDS * 1000};
  for (;;) {{
    const value = await check();
    if (value) return value;
    if (performance.now() > end) throw new Error("not within {SECONDS} s: " + check);
    await new Promise(done => setTimeout(done, 25));
  }}
}};
const text = (id) => document.getElementById(id).textContent;
"""

# What goes wrong on a page, from its first line on.
LISTEN = """
window.wrongs = [];
addEventListener("error", (event) => wrongs.push(String(event.message)));
addEventListener("unhandledrejection", (event) => wrongs.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => wrongs.push("CSP: " + event.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...words) => wrongs.push(words.join(" "));
"""


@contextlib.asynccontextmanager
async def visit(chromium: Chromium, url: str, width: int = 1440, height: int = 900) -> AsyncIterator[Page]:
    async with chromium.page("about:blank") as opened:
        await opened.call("Page.enable")
        await opened.call("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        await opened.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await opened.open(url)
        await opened.call("Page.bringToFront")
        yield opened


async def ask(opened: Page, body: str) -> Any:
    return await opened.evaluate(f"(async () => {{ {WAIT} {body} }})()")
