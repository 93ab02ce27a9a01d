"""The results as one picture, readable on light and on dark pages."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .contestants import COPY, EMPTY_CALL, OURS, OURS_PURE, SIMDUTF, UTF8_RESUMABLE
from .figures import KIB, CaseResult, FigureResult, size_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page's own colours: drawn light, and replaced by the style sheet below
# where the reader's scheme is dark. No other colour may equal one of them.
_PAPER, INK, _FAINT = "#fffffe", "#1f2328", "#d8dee4"
_DARK = {_PAPER: "#0d1117", INK: "#e6edf3", _FAINT: "#30363d"}

# Middle tones, legible on both papers; one library has one colour in all plots.
COLOURS = {
    OURS: "#e5484d",
    OURS_PURE: "#f2a0a2",
    UTF8_RESUMABLE: "#f76b15",
    "as binary": "#f76b15",
    "as binary + decode": "#d6a01a",
    "websockets": "#3e83dd",
    "aiohttp": "#12a594",
    "tornado": "#8e8c99",
    "wsaccel": "#ab4aba",
    "wsproto": "#978365",
    "websocket-client": "#5b8c3a",
    "autobahn NVX": "#d6a01a",
    "bytes.decode": "#3e83dd",
    SIMDUTF: "#30a46c",
    COPY: INK,
    EMPTY_CALL: "#8e8c99",
}

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "fastframe",
    "text.color": INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": _PAPER,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def write_plot(path: pathlib.Path, results: Sequence[FigureResult], label: str) -> None:
    """Draw all figures that were measured into one SVG file.

    Args:
        path: the file.
        results: at least one figure.
        label: machine, Python and date, for the foot of the picture.
    """

    def draw(result: FigureResult) -> Callable[[Axes], None]:
        return lambda axis: _DRAW[result.figure.number](axis, result)

    panels = [(f"{result.figure.number}  {result.figure.title}", draw(result)) for result in results]
    write_panels(path, panels, f"fastframe's codec beside its peers. {label}")


def write_panels(
    path: pathlib.Path,
    panels: Sequence[tuple[str, Callable[[Axes], None]]],
    foot: str,
    *,
    row_height: float = 4.6,
) -> None:
    """Draw plots in two columns into one SVG file.

    Args:
        path: the file.
        panels: at least one, each a title and what draws it.
        foot: a line at the foot of the picture.
        row_height: in inches; the picture is 13 wide.
    """
    rows = (len(panels) + 1) // 2
    with mpl.rc_context(_STYLE):
        layout = ConstrainedLayoutEngine(wspace=0.06, hspace=0.09)
        canvas = Canvas(figsize=(13, row_height * rows), facecolor=_PAPER, layout=layout)
        axes = canvas.subplots(rows, 2, squeeze=False)
        for axis, (title, draw) in zip(axes.flat, panels, strict=False):
            axis.set_title(title)
            draw(axis)
        for axis in list(axes.flat)[len(panels) :]:
            axis.set_visible(False)
        canvas.supxlabel(foot, fontsize=8.5)
        text = io.StringIO()
        canvas.savefig(text, format="svg", metadata={"Date": None})
    path.write_text(_with_dark_scheme(text.getvalue()), encoding="utf-8")


def _with_dark_scheme(svg: str) -> str:
    rules = [
        f'[style*="{attribute}: {light}"] {{ {attribute}: {dark} !important }}'
        for light, dark in _DARK.items()
        for attribute in ("fill", "stroke")
    ]
    # Text in the default colour carries no fill of its own.
    rules.append(f"text {{ fill: {_DARK[INK]} }}")
    sheet = "<style>@media (prefers-color-scheme: dark) { " + " ".join(rules) + " }</style>"
    return svg.replace("<defs>", f"{sheet}\n <defs>", 1)


def _lines(axis: Axes, result: FigureResult) -> None:
    """Time by size, both logarithmic."""
    cases = [case for case in result.cases if case.size > 0]
    for contestant in result.figure.contestants:
        points = [(case.size, median) for case in cases if (median := case.median(contestant.name))]
        if not points or contestant.name not in COLOURS:
            continue
        is_ours = contestant.name == OURS
        is_yardstick = contestant.name in (COPY, EMPTY_CALL)
        axis.plot(
            *zip(*points, strict=True),
            label=contestant.name,
            color=COLOURS[contestant.name],
            linewidth=3 if is_ours else 1.5,
            linestyle=":" if is_yardstick else "--" if contestant.name == OURS_PURE else "-",
            marker=None if is_yardstick else "o",
            markersize=5 if is_ours else 3,
            # Ours is beneath the copy it should equal, and above the peers.
            zorder=4 if is_yardstick else 3 if is_ours else 2,
        )
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.minorticks_off()
    sizes = [case.size for case in cases]
    shown = sizes[:: 2 if len(sizes) > 7 else 1]
    axis.set_xticks(shown, [size_name(size) for size in shown], fontsize=8.5)
    axis.set_yticks(*_decades(axis))
    axis.set_ylabel("a call takes")
    axis.legend(ncols=2, loc="upper left")


def _decades(axis: Axes) -> tuple[list[float], list[str]]:
    low, high = axis.get_ylim()
    ticks = [10.0**power for power in range(11) if low <= 10**power <= high]
    return ticks, [_duration(tick) for tick in ticks]


def _duration(nanoseconds: float) -> str:
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= unit:
            return f"{nanoseconds / unit:.3g} {name}"
    return f"{nanoseconds:.0f} ns"


def _bars(
    axis: Axes,
    cases: Sequence[CaseResult],
    names: Sequence[str],
    value: Callable[[CaseResult, str], float | None],
    text: Callable[[float], str],
) -> None:
    """A group of bars for each case, a bar for each contestant that was measured."""
    shown = [name for name in names if any(value(case, name) for case in cases)]
    width = 0.84 / max(1, len(shown))
    for number, name in enumerate(shown):
        bars = [(at, found) for at, case in enumerate(cases) if (found := value(case, name))]
        places = [at + (number - (len(shown) - 1) / 2) * width for at, _ in bars]
        heights = [found for _, found in bars]
        axis.bar(places, heights, width * 0.92, label=name, color=COLOURS[name])
        for place, height in zip(places, heights, strict=True):
            axis.annotate(
                text(height),
                (place, height),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=6.5,
                rotation=90,
            )
    axis.set_xticks(range(len(cases)), [case.label for case in cases], fontsize=8.5)
    axis.grid(visible=False, axis="x")
    axis.margins(y=0.22)


def _times(axis: Axes, cases: Sequence[CaseResult], names: Sequence[str], label: str) -> None:
    _bars(axis, cases, names, CaseResult.median, _duration)
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_ylim(bottom=10)
    axis.set_yticks(*_decades(axis))
    axis.set_ylabel(label)
    axis.legend(ncols=3, loc="upper left")


def _draw_utf8(axis: Axes, result: FigureResult) -> None:
    def speed(case: CaseResult, name: str) -> float | None:
        median = case.median(name)
        return None if median is None else case.size / median

    cases = [case for case in result.cases if case.size == 64 * KIB] or result.cases
    names = (OURS, UTF8_RESUMABLE, OURS_PURE, SIMDUTF, "bytes.decode", "wsaccel", "autobahn NVX")
    _bars(axis, cases, names, speed, lambda found: f"{found:.1f}")
    axis.set_ylabel("GB/s, more is better")
    axis.legend(ncols=2, loc="upper right")


def _draw_decode(axis: Axes, result: FigureResult) -> None:
    _times(axis, result.cases, (OURS, OURS_PURE, "aiohttp", "websockets", "wsproto", COPY), "a frame takes")


def _draw_text(axis: Axes, result: FigureResult) -> None:
    cases = [case for case in result.cases if case.size in (125, 4 * KIB)] or result.cases
    names = (OURS, "as binary", "as binary + decode", "aiohttp", "wsproto")
    _times(axis, cases, names, "a frame takes")
    axis.set_xticks(range(len(cases)), [case.label.replace(" ", "\n", 1) for case in cases], fontsize=7.5)


def _draw_encode(axis: Axes, result: FigureResult) -> None:
    cases = [case for case in result.cases if case.size in (125, 4 * KIB, 64 * KIB)] or result.cases
    _times(axis, cases, (OURS, OURS_PURE, "aiohttp", "websockets", "wsproto", COPY), "a frame takes")


def _draw_deflate(axis: Axes, result: FigureResult) -> None:
    cases = [case for case in result.cases if case.size == 512] or result.cases
    _times(axis, cases, (OURS, "websockets"), "a message takes")


_DRAW: dict[int, Callable[[Axes, FigureResult], None]] = {
    1: _lines,
    2: _lines,
    3: _draw_utf8,
    4: _draw_decode,
    5: _draw_text,
    6: _draw_encode,
    16: _draw_deflate,
}
