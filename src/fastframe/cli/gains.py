"""What the adapters save, as measured; written with docs/drop-ins.md, which says how."""

from __future__ import annotations

from typing import Final

__all__ = ["GAINS"]

GAINS: Final[dict[str, dict[str, tuple[float, float]]]] = {
    "autobahn": {"mask": (1.27, 1.43), "utf8": (1.43, 1.68), "frame": (1.90, 3.91)},
    "tornado": {"frame": (1.78, 1.62), "connection": (2.40, 3.98)},
    "uvicorn": {"the class": (2.18, 8.42)},
    "websocket-client": {"mask": (1.04, 1.03), "utf8": (1.50, 2.59), "frame": (1.92, 3.85)},
    "websockets": {"frame": (1.09, 1.21), "connection": (2.74, 2.78)},
    "ws4py": {"mask": (1.14, 1.23), "utf8": (1.29, 2.00)},
    "wsproto": {"mask": (1.04, 1.17), "connection": (1.43, 4.14)},
}
"""For each library and depth, how many times less of the processor's time a message of 125 bytes takes.

First with one message at a time, then with 32 in flight. That of uvicorn is the plug-in.
"""
