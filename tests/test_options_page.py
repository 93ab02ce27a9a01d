"""docs/options.md has every option, with the default that the source gives it."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest
from snippets import ROOT

from fastframe import __version__

PAGE = ROOT / "docs" / "options.md"
SOURCES = ROOT / "src"
TABLE = re.compile(r"^<!-- options of: (\S+) (\S+) -->\n((?:\|.*\n)+)", re.MULTILINE)
TABLES = TABLE.findall(PAGE.read_text("utf-8"))
REQUIRED = "required"

# The signatures of compiled classes cannot be asked for, so it is the sources that are read.


def source_of(module: str) -> Path:
    return SOURCES / f"{module.replace('.', '/')}.py"


def defaults_of(module: str, name: str) -> dict[str, object]:
    """The parameters of a function or class, in order, with their defaults."""
    tree = ast.parse(source_of(module).read_text("utf-8"))
    (found,) = (
        node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
    )
    names = vars(importlib.import_module(module))
    if isinstance(found, ast.ClassDef):
        methods = [node for node in found.body if isinstance(node, ast.FunctionDef)]
        inits = [node for node in methods if node.name == "__init__"]
        if not inits:
            return {
                node.target.id: value(node.value, names)
                for node in found.body
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            }
        (found,) = inits
    assert isinstance(found, ast.FunctionDef)
    arguments = found.args
    positional = [argument.arg for argument in arguments.args if argument.arg != "self"]
    padding = [None] * (len(positional) - len(arguments.defaults))
    pairs = list(zip(positional, [*padding, *arguments.defaults], strict=True))
    pairs += [
        (argument.arg, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return {parameter: value(default, names) for parameter, default in pairs}


def value(default: ast.expr | None, names: dict[str, object]) -> object:
    return REQUIRED if default is None else eval(ast.unparse(default), dict(names))


def rows_of(table: str) -> list[list[str]]:
    rows = [line.strip("|").split(" | ") for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in row] for row in rows]


def shown(default: object) -> str:
    return REQUIRED if default == REQUIRED else f"`{default!r}`".replace(__version__, "VERSION")


@pytest.mark.parametrize(("module", "name", "table"), TABLES, ids=[name for _, name, _ in TABLES])
def test_names_and_defaults_are_those_of_the_code(module: str, name: str, table: str) -> None:
    assert {row[0].strip("`"): row[1] for row in rows_of(table)} == {
        parameter: shown(default) for parameter, default in defaults_of(module, name).items()
    }
    for row in rows_of(table):
        assert len(row) == 4 and all(row), row


def test_every_table_is_looked_at() -> None:
    assert {name for _, name, _ in TABLES} == {
        "serve",
        "connect",
        "PerMessageDeflate",
        "broadcast",
        "Connection",
        "MessageDecoder",
        "FrameDecoder",
        "ServerHandshake",
        "ClientHandshake",
    }
    assert PAGE.read_text("utf-8").count("\n| option |") == len(TABLES)


def test_every_variable_is_named() -> None:
    source = "".join(path.read_text("utf-8") for path in (SOURCES / "fastframe").rglob("*.py"))
    read = set(re.findall(r"\"(FASTFRAME_[A-Z]+)\"", source)) - {"FASTFRAME_CFLAGS"}
    assert read == set(re.findall(r"^\| `(FASTFRAME_[A-Z]+)`", PAGE.read_text("utf-8"), re.MULTILINE))
