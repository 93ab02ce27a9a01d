"""The results as one picture: a plot for each case, a bar for each server."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..plot import COLOURS, INK, write_panels
from .cases import Mode
from .front import number
from .registry import AIOHTTP, LIMIT, SERVERS, TORNADO, WEBSOCKETS, Server
from .results import CaseResult, Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PALETTE = {
    LIMIT: INK,
    "fastframe": COLOURS["fastframe"],
    "picows": "#ab4aba",
    WEBSOCKETS: COLOURS["websockets"],
    AIOHTTP: COLOURS["aiohttp"],
    TORNADO: COLOURS["tornado"],
    "uvicorn": "#d6a01a",
}


def _colour(server: Server) -> str:
    if server.is_ours:
        return COLOURS["fastframe pure"] if server.half == "pure" else COLOURS["fastframe"]
    return next(colour for name, colour in _PALETTE.items() if server.label.startswith(name))


def _bars(axis: Axes, result: CaseResult) -> None:
    measured = [
        (server, found)
        for server in SERVERS
        if isinstance(found := result.outcomes.get(server.name), Samples)
    ]
    measured.sort(key=lambda pair: pair[1].median, reverse=result.case.mode is Mode.IDLE)
    places = range(len(measured))
    axis.barh(
        places,
        [found.median for _, found in measured],
        color=[_colour(server) for server, _ in measured],
        xerr=[found.spread / 2 for _, found in measured],
        error_kw={"ecolor": COLOURS["tornado"], "elinewidth": 1},
    )
    names = [server.name for server, _ in measured]
    axis.set_yticks(places, names, fontsize=7)
    for label, (server, _) in zip(axis.get_yticklabels(), measured, strict=True):
        label.set_fontweight("bold" if server.is_ours else "normal")
    for place, (_, found) in zip(places, measured, strict=True):
        axis.annotate(
            number(found.median),
            (found.median + found.spread / 2, place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axis.grid(visible=False, axis="y")
    axis.margins(x=0.14, y=0.01)
    axis.xaxis.set_major_formatter(lambda value, _: number(value))
    axis.set_xlabel(result.case.mode.value, fontsize=8)


def write_plot(path: pathlib.Path, results: Sequence[CaseResult], label: str) -> None:
    """Draw the cases that belong to a figure, or all if none does."""
    shown = [result for result in results if result.case.figure] or list(results)

    def draw(result: CaseResult) -> Callable[[Axes], None]:
        return lambda axis: _bars(axis, result)

    most = max(len(result.outcomes) for result in shown)
    panels = [(result.label, draw(result)) for result in shown]
    foot = f"fastframe's servers beside their peers. {label}"
    write_panels(path, panels, foot, row_height=1.2 + 0.155 * most)
