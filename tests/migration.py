"""docs/migration.md: its tables, and whether the names in them exist."""

from __future__ import annotations

import ast
import asyncio
import builtins
import inspect
import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

from snippets import ROOT

import fastframe

PAGE = ROOT / "docs" / "migration.md"
TABLE = re.compile(r"^<!-- names: (\S+) -->\n((?:\|.*\n)+)", re.MULTILINE)
CALL = re.compile(r"([\w.]+)\((\w+)=(.*)\)")


@dataclass(frozen=True)
class Library:
    """Where the names of a library are looked up.

    Attributes:
        places: modules and classes, in which names without a dot are looked for.
        connections: the classes that `ws` stands for.
    """

    places: Sequence[Any]
    connections: Sequence[type]


OURS = Library(
    (fastframe, builtins, SimpleNamespace(asyncio=asyncio)), (fastframe.WebSocketStream, fastframe.WebSocket)
)


def columns(library: str) -> tuple[list[str], list[str]]:
    """The names in both columns of a library's table: theirs and ours."""
    (table,) = (table for name, table in TABLE.findall(PAGE.read_text("utf-8")) if name == library)
    rows = [line.strip("|").split(" | ") for line in table.splitlines()[2:]]
    assert len(rows) > 15
    both = [[name for row in rows for name in re.findall(r"`([^`]+)`", row[side])] for side in (0, 1)]
    return both[0], both[1]


def missing(names: Sequence[str], library: Library) -> list[str]:
    """The names that do not exist, and the calls whose options or defaults are others."""
    assert names
    return [name for name in names if not exists(name, library)]


def exists(name: str, library: Library) -> bool:
    if name.startswith("async for "):
        ast.parse(f"async def f():\n    {name}: pass")
        return exists("connect", library)
    call = CALL.fullmatch(name)
    if call is None:
        return find(name, library) is not None
    function = find(call[1], library)
    return function is not None and takes(function, call[2], call[3])


def find(name: str, library: Library) -> Any:
    first, *rest = name.split(".")
    starts = (
        library.connections if first == "ws" else [getattr(place, first, None) for place in library.places]
    )
    for start in starts:
        found = start
        for part in rest:
            found = member(found, part)
        if found is not None:
            return found
    return None


def member(place: Any, name: str) -> Any:
    found = getattr(place, name, None)
    if found is not None or isinstance(place, ModuleType) or not isinstance(place, type):
        return found
    for base in place.__mro__[:-1]:
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            continue
        if re.search(rf"\bself\.{name}\b(:[^=\n]+)? = ", source):
            return name  # an attribute that its instances have
    return None


def takes(function: Any, option: str, default: str) -> bool:
    """Whether a function or class has this option, with this default if one is given."""
    parameters = [inspect.signature(function).parameters.get(option)]
    if isinstance(function, type):
        found = [vars(base).get("__init__") for base in function.__mro__[:-1]]
        parameters += [inspect.signature(init).parameters.get(option) for init in found if init]
    known = [parameter for parameter in parameters if parameter is not None]
    return bool(known) and (not default or repr(known[0].default) == default)
