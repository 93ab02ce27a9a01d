"""Every fuzz target by name, and where its inputs are kept.

A target is a function of bytes that raises where something is wrong, or one of kernels.c. Nothing of the
package is imported before a target is asked for: the package that is built for fuzzing can only be imported
under atheris.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

Target = Callable[[bytes], None]

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"

KERNELS = ("kernel-mask", "kernel-utf8", "kernel-transcode", "kernel-header")

# By the module that has them in its TARGETS.
MODULES: dict[str, tuple[str, ...]] = {
    "codec_targets": (
        "masking",
        "utf8",
        "header",
        "frame-decoder",
        "message-decoder",
        "take-chunk",
        "valid-streams",
        "encoder",
    ),
    "connection_targets": ("connection", "conversation", "inflate"),
    "http_targets": (
        "http-request",
        "http-head",
        "server-handshake",
        "client-handshake",
        "http-lists",
        "negotiation",
        "uri",
        "proxies",
    ),
    "adapter_targets": (
        "adapter-websockets",
        "adapter-wsproto",
        "adapter-websocket-client",
        "adapter-tornado",
        "adapter-autobahn",
        "adapter-ws4py",
        "adapter-wsaccel",
    ),
}

ADAPTERS = MODULES["adapter_targets"]
"""What needs the extra ``drop-ins``."""

OURS = tuple(name for module, names in MODULES.items() if module != "adapter_targets" for name in names)

NAMES = (*KERNELS, *OURS, *ADAPTERS)


def target(name: str) -> Target:
    """A target that is a function of Python."""
    [module] = [module for module, names in MODULES.items() if name in names]
    found: Target = importlib.import_module(f"fuzz.{module}").TARGETS[name]
    return found


def inputs(folder: Path, name: str) -> list[Path]:
    """What is kept for a target in the corpus or among the regressions."""
    return sorted(path for path in (folder / name).glob("*") if path.is_file())
