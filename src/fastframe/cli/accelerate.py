"""``accelerate``: a program with our codec inside the libraries that it uses."""

from __future__ import annotations

import argparse
import importlib.util
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable
from functools import partial

from .. import adapters
from .failures import Failure, complain, describe

__all__ = ["prepare"]


def prepare(chosen: argparse.Namespace) -> Callable[[], None]:
    """Make everything ready for the program.

    Args:
        chosen: the options of the command line.

    Returns:
        What runs it, to be called once.

    Raises:
        Failure: it cannot be run, or not as strictly as it was asked for.
    """
    # Before Python 3.12.5 argparse leaves it there.
    words = chosen.program[1:] if chosen.program[0] == "--" else chosen.program
    if not words:
        chosen.fail("-- is no program")
    sys.argv = words
    run = _module(words[0]) if chosen.as_module else _file(words[0])
    wanted = dict(chosen.library or [(name, None) for name in adapters.LIBRARIES if _is_there(name)])
    tell = partial(_tell, verbose=chosen.verbose)
    if chosen.strict:
        _install_all(wanted, tell)
    else:
        adapters.install_when_imported(wanted, tell)
    return run


def _is_there(name: str) -> bool:
    return adapters.status()[name].version is not None


def _module(name: str) -> Callable[[], None]:
    # Python has put the current folder at the front of sys.path, for us as it would for the module.
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
            if spec is None:
                raise Failure(f"cannot run {name}: it is a package without a module __main__")
    except (ImportError, ValueError) as error:
        raise Failure(f"cannot run {name}: {error}") from None
    if spec is None:
        raise Failure(f"cannot run {name}: there is no module of this name")
    return partial(runpy.run_module, name, run_name="__main__", alter_sys=True)  # type: ignore[return-value]


def _file(path: str) -> Callable[[], None]:
    # What has an importer is a folder or an archive.
    importer = pkgutil.get_importer(path)
    if importer is None:
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise Failure(f"cannot run {path}: {describe(error)}") from None
    elif importer.find_spec("__main__", None) is None:
        raise Failure(f"cannot run {path}: there is no __main__.py in it")
    # At the front is the current folder now, unless Python was told to put nothing there (-P).
    # A script has its own folder there; runpy puts a folder or an archive there itself.
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
        if importer is None:
            sys.path.insert(0, os.path.dirname(os.path.realpath(path)))
    return partial(runpy.run_path, os.path.abspath(path), run_name="__main__")  # type: ignore[return-value]


def _install_all(wanted: dict[str, str | None], tell: Callable[[adapters.Installation], None]) -> None:
    for name, depth in wanted.items():
        try:
            tell(adapters.install(name, depth=depth, strict=True))
        except adapters.IncompatibleLibrary as error:
            raise Failure(str(error)) from None


def _tell(installation: adapters.Installation, *, verbose: bool) -> None:
    name, depth = installation.library, installation.depth
    if depth is None:
        complain(f"{name} was left untouched: {installation.refused}")
    elif verbose:
        version = adapters.status()[name].version
        complain(f"{name}{f' {version}' if version else ''} has an adapter, depth {depth}")
