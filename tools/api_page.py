"""The table of docs/api.md: each public name, with the first line of its docstring.

``python -m tools.api_page`` rewrites it; tests/test_api_page.py fails if it is not what stands there.
"""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path

# The pure half has the docstrings that the documentation shows; chosen before fastframe is imported.
os.environ["FASTFRAME_EXTENSION"] = "0"

import fastframe
from fastframe import adapters
from fastframe.aio.settings import Settings
from fastframe.handshake import ClientHandshake, ServerHandshake

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
BEGIN, END = "<!-- names: made by tools/api_page.py -->\n", "<!-- end of names -->"

# What is public without being a name of the package itself.
FURTHER = {
    **{
        f"fastframe.adapters.{found.__name__}": found
        for found in (
            adapters.Check,
            adapters.IncompatibleLibrary,
            adapters.IncompatibleLibraryWarning,
            adapters.Installation,
            adapters.Status,
            adapters.check,
            adapters.install_when_imported,
        )
    },
    "fastframe.aio.settings.Settings": Settings,
    "fastframe.handshake.ClientHandshake": ClientHandshake,
    "fastframe.handshake.ServerHandshake": ServerHandshake,
}
# Constants have no docstring of their own.
CONSTANTS = {
    "fastframe.BACKEND": 'Which half of the codec runs: "compiled" or "pure".',
    "fastframe.__version__": "The version of the package.",
}


def summary(name: str, found: object) -> str:
    words = CONSTANTS.get(name) or inspect.getdoc(found)
    assert words, f"{name} has no docstring"
    first = re.sub(r"\s+", " ", words.partition("\n\n")[0])
    return first.replace("|", "\\|").replace("``", "`")


def rows() -> list[str]:
    names = {f"fastframe.{name}": getattr(fastframe, name) for name in fastframe.__all__} | FURTHER
    lines = ["| name | what it is |", "|---|---|"]
    for name in sorted(names, key=str.lower):
        link = f"`{name}`" if name.endswith("__") else f"{{py:obj}}`{name}`"
        lines.append(f"| {link} | {summary(name, names[name])} |")
    return lines


def rendered(page: str) -> str:
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    assert found and ended, "docs/api.md has no place for the names"
    return before + BEGIN + "\n".join(rows()) + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), encoding="utf-8")
