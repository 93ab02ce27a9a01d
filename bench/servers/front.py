"""What the README shows of the measurements, taken from the pages that were written with them.

``python -m bench.servers.front`` rewrites its tables and its picture;
tests/test_readme_figures.py fails if they are not what those pages say.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .registry import AIOHTTP, CALLBACK, COROUTINE, LIMIT, PICOWS, TORNADO, WEBSOCKETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = pathlib.Path(__file__).parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "benchmarks" / "front.svg"
SERVERS_PAGE = ROOT / "docs" / "benchmarks" / "servers.md"
DROP_INS_PAGE = ROOT / "docs" / "drop-ins.md"
LOOP = "uvloop"

# The heading and the column of each panel: not only what is won.
PANELS = (
    ("Messages/s echoed", "8 x 32, 125 B"),
    ("Messages/s echoed", "32 x 1, 125 B"),
    ("Deliveries/s", "fan-out 500"),
    ("Connections/s, each with one echo", "connect"),
)
SHOWN = (LIMIT, CALLBACK, COROUTINE, PICOWS, AIOHTTP, WEBSOCKETS, TORNADO)

# Label and depth in the table of what adapters save, and the line that a program needs.
SAVED = (
    ("uvicorn's plug-in", "the class", "`--ws fastframe.uvicorn:WebSocketProtocol`"),
    ("websockets", "`connection`", '`fastframe.install("websockets")`'),
    ("wsproto", "`connection`", '`fastframe.install("wsproto")`'),
    ("tornado", "`connection`", '`fastframe.install("tornado")`'),
    ("autobahn", "`frame`", '`fastframe.install("autobahn")`'),
    ("ws4py", "`utf8`", '`fastframe.install("ws4py")`'),
    ("websocket-client, a client", "`frame`", '`fastframe.install("websocket-client")`'),
)


def _rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its rule."""
    (table, *_) = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    rows = [[cell.strip(" *") for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
    return [row for row in rows if not set(row[-1]) <= set("-:")]


def measured(heading: str, column: str) -> dict[str, int]:
    """The medians of a column of the servers' page, of those shown and on one loop."""
    page = SERVERS_PAGE.read_text(encoding="utf-8")
    # Tables of other units may have the heading again: the first that has the column counts.
    for section in page.split(f"\n### {heading}\n")[1:]:
        head, *rows = _rows(section)
        if column in head:
            place = head.index(column)
            cells = {row[0].removesuffix(f", {LOOP}"): row[place] for row in rows}
            return {name: int(cells[name].partition(" ")[0].replace(",", "")) for name in SHOWN}
    raise LookupError(f"{SERVERS_PAGE} has no column {column!r} under {heading!r}")


def saved() -> list[tuple[str, list[str]]]:
    """What each adapter saves at its full depth: the ratios of processor time, by size."""
    page = DROP_INS_PAGE.read_text(encoding="utf-8")
    _, *rows = _rows(page.partition("without → with the adapter:")[2])
    by_name = {(row[0], row[1]): row[2:] for row in rows}
    return [
        (f"| {label} | {line} |", [_ratio(cell) for cell in by_name[label, depth]])
        for label, depth, line in SAVED
    ]


def _ratio(cell: str) -> str:
    found = re.search(r"\(([\d.]+ x)\)", cell)
    return found[1] if found else cell


def number(value: float) -> str:
    """A figure in three digits, as it stands in pictures."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:.3g}"


def where() -> str:
    """Date, machine and Python of the measurement."""
    facts = dict(
        row[:2] for row in _rows(SERVERS_PAGE.read_text("utf-8").partition("\n## Where and with what\n")[2])
    )
    return f"{facts['machine'].partition(',')[0]}, {facts['Python']}, {LOOP}, {facts['date']}"


def tables() -> dict[str, str]:
    """The README's tables, by their names."""
    names = [name for name in SHOWN if name != TORNADO]
    shown = {LIMIT: "C program", CALLBACK: "callback form", COROUTINE: "coroutine form"}
    head = [shown.get(name, name) for name in names]
    lines = [f"| | {' | '.join(head)} |", "|---|" + "---:|" * len(head)]
    for heading, column in PANELS:
        figures = measured(heading, column)
        unit = heading.partition(",")[0].lower()
        lines.append(f"| {unit}, {column} | " + " | ".join(f"{figures[name]:,}" for name in names) + " |")
    ratios = [
        "| program on | the line | 125 B | 32 x 125 B | 4 KiB | 1 MiB |",
        "|---|---|---:|---:|---:|---:|",
    ]
    ratios += [f"{begin} {' | '.join(cells)} |" for begin, cells in saved()]
    return {"servers": "\n".join(lines) + "\n", "drop-ins": "\n".join(ratios) + "\n"}


def rendered(readme: str) -> str:
    for name, table in tables().items():
        begin, end = f"<!-- {name}: made by bench/servers/front.py -->\n", f"<!-- end of {name} -->"
        before, found, rest = readme.partition(begin)
        _, ended, after = rest.partition(end)
        assert found and ended, f"README.md has no place for {name}"
        readme = before + begin + table + end + after
    return readme


def _bars(heading: str, column: str) -> Callable[[Axes], None]:
    from ..plot import COLOURS, INK

    colours = {LIMIT: INK, PICOWS: "#ab4aba"} | {
        name: COLOURS[name] for name in (WEBSOCKETS, AIOHTTP, TORNADO)
    }
    figures = sorted(measured(heading, column).items(), key=lambda pair: pair[1])

    def draw(axis: Axes) -> None:
        places = range(len(figures))
        values = [value for _, value in figures]
        axis.barh(places, values, color=[colours.get(name, COLOURS["fastframe"]) for name, _ in figures])
        axis.set_yticks(places, [name for name, _ in figures])
        for place, value in enumerate(values):
            axis.annotate(number(value), (value, place), (6, 0), textcoords="offset points", va="center")
        axis.grid(visible=False, axis="y")
        axis.margins(x=0.14)
        axis.xaxis.set_major_formatter(lambda value, _: number(value))
        axis.set_xlabel(heading)

    return draw


def write_picture(path: pathlib.Path, panels: Sequence[tuple[str, str]] = PANELS) -> None:
    """Draw a bar for each of those shown, from zero on."""
    from ..plot import write_panels

    titled = [(column, _bars(heading, column)) for heading, column in panels]
    write_panels(path, titled, f"One server on one processor. {where()}", row_height=2.9)


def rewrite() -> None:
    """Bring the README's tables and picture up to date."""
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
    write_picture(PICTURE)


if __name__ == "__main__":
    rewrite()
