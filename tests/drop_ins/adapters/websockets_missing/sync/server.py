"""What websockets' tests import as ``tests.sync.server``; written by what they ask of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import serve

SECONDS = 10


def get_uri(server: Any) -> str:
    host, port = server.socket.getsockname()[:2]
    return f"ws://{host}:{port}"


@contextmanager
def run_server(handler: Callable[[Any], None]) -> Iterator[Any]:
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
    thread.join(SECONDS)
    assert not thread.is_alive(), "the server goes on"
