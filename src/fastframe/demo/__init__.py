"""The live demo: one port serves a page and the WebSockets that the page talks through.

It uses what an application would use, `fastframe.serve` and the callback
form; only to show the true bytes of its frames it looks a little deeper.
"""

from __future__ import annotations

from .server import Demo, open_demo

__all__ = ["Demo", "open_demo"]
