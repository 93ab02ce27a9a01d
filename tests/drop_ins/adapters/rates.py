"""Messages a second, by the load generator of bench/servers: one of Python would be what is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType

from drop_ins.adapters.measured import Case

from bench.servers.process import Load
from bench.servers.programs import Programs

WARM_UP = 0.04
SECONDS = 0.12
"""Of one round."""

LIMIT = 30.0


def text_of(size: int, number: int) -> bytes:
    """A text of so many bytes, another one for each number."""
    return (f"{{'number': {number}, 'text': 'plain'}} " * (size // 30 + 1))[:size].encode()


class LoadGenerator:
    """The program, compiled for this run.

    Raises:
        NoCompiler: it cannot be built here.
    """

    def __init__(self, cpu: int | None) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._programs = Programs(Path(self._folder.name))
        self._cpu = cpu

    def __enter__(self) -> LoadGenerator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    @property
    def deflates(self) -> bool:
        """Whether it was built with zlib."""
        return "deflate" not in self._programs.lacks

    def rate(self, port: int, case: Case, connections: int, *, deflate: bool) -> float:
        """Messages that an echo server returns in a second, each of them looked at."""
        count = max(2 * case.in_flight + 1, min(64, (4 << 20) // case.size))
        file = Path(self._folder.name) / f"{case.size}-{count}"
        if not file.exists():
            file.write_bytes(b"".join(text_of(case.size, number) for number in range(count)))
        options: dict[str, object] = {
            "mode": "echo",
            "port": port,
            "connections": connections,
            "in_flight": case.in_flight,
            "size": case.size,
            "messages": count,
            "payloads": file,
            "opcode": 1,
            "warmup": WARM_UP,
            "seconds": SECONDS,
            "deflate": int(deflate),
        }
        with Load(self._programs, self._cpu, LIMIT, **options) as load:
            result = load.result()
        return float(result["count"] / result["seconds"])
