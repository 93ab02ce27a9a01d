"""What the loggers of servers and clients say, for tests of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from raw_peer import raw_pair, served

from fastframe import Role
from fastframe.aio.frame_log import LOGGERS

SIDES: dict[Role, Any] = {Role.SERVER: served, Role.CLIENT: raw_pair}
"""How to get a raw peer, and our end in this role."""

BOTH = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)


class LogLines(logging.Handler):
    """Keeps what both loggers say."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[str, str]] = []
        self.ends: list[str] = []
        """What each logger told at INFO, the peer's address aside."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self.records.append((record.name, record.getMessage()))
        if record.levelno == logging.INFO:
            self.ends.append(f"{record.name} {record.getMessage().partition(' ')[2]}")

    def of(self, role: Role, arrow: str) -> list[str]:
        """What one end has logged of one direction, without the peer's address."""
        lines = [line for name, line in self.records if name == f"fastframe.{role.value}"]
        marked = [line.partition(" ")[2] for line in lines]
        return [line[2:] for line in marked if line.startswith(f"{arrow} ")]


@contextmanager
def logging_at(level: int) -> Iterator[LogLines]:
    """Both loggers at this level, and kept from the harness, which looks at what reaches the root."""
    lines = LogLines()
    for logger in LOGGERS.values():
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(lines)
    try:
        yield lines
    finally:
        for logger in LOGGERS.values():
            logger.setLevel(logging.NOTSET)
            logger.propagate = True
            logger.removeHandler(lines)
