"""simdutf, through Node's `buffer.isUtf8`: a Node process that times its own loop.

No Python package exposes simdutf's validation, and Node carries it. The
process inherits our pinned processor and waits while we measure, as we do
while it does, so its samples take part in the rounds as everybody's.
"""

from __future__ import annotations

import base64
import json
import pathlib
import shutil
import subprocess
from functools import lru_cache
from typing import Any

from .timing import COUNTS_PROCESSOR_TIME

_SCRIPT = pathlib.Path(__file__).with_name("utf8_node.js")


class NodeMissing(Exception):
    """There is no Node here, or one without simdutf; the text says which."""


class NodeProcess:
    """A running ``utf8_node.js``."""

    def __init__(self, executable: str) -> None:
        self._process = subprocess.Popen(
            [executable, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._loaded: set[str] = set()
        self.versions: dict[str, str] = self.ask({})

    def ask(self, command: dict[str, object]) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"node ended with status {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def load(self, data: bytes) -> str:
        """Hand over a text once; return its name."""
        name = f"{len(data)}:{hash(data)}"
        if name not in self._loaded:
            self.ask({"name": name, "load": base64.b64encode(data).decode()})
            self._loaded.add(name)
        return name

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class NodeUtf8:
    """A contestant (`timing.Runner`): isUtf8 on one text."""

    def __init__(self, process: NodeProcess, data: bytes) -> None:
        self._process = process
        self._name = process.load(data)

    def _run(self, iterations: int) -> dict[str, Any]:
        clock = "processor" if COUNTS_PROCESSOR_TIME else "wall"
        return self._process.ask({"name": self._name, "iterations": iterations, "clock": clock})

    def seconds(self, iterations: int) -> float:
        return float(self._run(iterations)["seconds"])

    def result(self) -> object:
        return self._run(1)["valid"] == 1


@lru_cache(maxsize=1)
def node_process() -> NodeProcess:
    """Start Node, once.

    Raises:
        NodeMissing: it is not installed, or it has no simdutf.
    """
    executable = shutil.which("node")
    if executable is None:
        raise NodeMissing("node is not installed")
    process = NodeProcess(executable)
    if not process.versions.get("simdutf"):
        process.close()
        raise NodeMissing(f"node {process.versions['node']} has no simdutf")
    return process


def stop_node() -> None:
    """End the process that `node_process` has started, if it has."""
    if node_process.cache_info().currsize:
        node_process().close()
        node_process.cache_clear()
