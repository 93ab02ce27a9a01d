"""``connect --frames``: a line for each frame that passes, from the log that the connection keeps of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ..aio.frame_log import LOGGERS
from ..frames import Role
from .consoles import Console

__all__ = ["frames_shown"]


class _Notes(logging.Handler):
    """Notes on a console, in the order of the log; a console may be busy with another line."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        # There is one connection, so its address, which comes before a line, says nothing.
        parts = record.args if record.levelno == logging.DEBUG else None
        self.lines.put_nowait(str(parts[-1]) if isinstance(parts, tuple) else record.getMessage())

    async def show(self, console: Console) -> None:
        """Show them, until cancelled."""
        while True:
            lines = [await self.lines.get()]
            # All there are at once: a console with a prompt takes its time for each note.
            while not self.lines.empty():
                lines.append(self.lines.get_nowait())
            await console.note("\n".join(lines))
            for _ in lines:
                self.lines.task_done()


@asynccontextmanager
async def frames_shown(console: Console, *, wanted: bool) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Show the frames of the connections that are opened meanwhile, quoted as the log has them.

    Args:
        console: where.
        wanted: whether they are to be shown at all.

    Yields:
        A function to await until all are shown that have passed before.
    """
    notes, logger = _Notes(), LOGGERS[Role.CLIENT]
    level = logger.level
    if wanted:
        logger.addHandler(notes)
        logger.setLevel(logging.DEBUG)
    showing = asyncio.ensure_future(notes.show(console))

    async def shown() -> None:
        joined = asyncio.ensure_future(notes.lines.join())
        await asyncio.wait({joined, showing}, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()
        if showing.done():  # there is nowhere to show them
            showing.result()

    try:
        yield shown
        await shown()
    finally:
        logger.removeHandler(notes)
        logger.setLevel(level)
        showing.cancel()
