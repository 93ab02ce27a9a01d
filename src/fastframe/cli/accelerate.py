"""``accelerate``: a program with our codec inside the libraries that it uses."""

from __future__ import annotations

import argparse
import builtins
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType
from typing import Any

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
    except OSError:
        # The program's own, whose package has been imported: it ends as it would by itself.
        traceback.print_exc()
        raise SystemExit(1) from None
    if spec is None:
        raise Failure(f"cannot run {name}: there is no module of this name")
    run = _found(name, spec)
    sys.argv[0] = str(spec.origin)
    return run


def _file(path: str) -> Callable[[], None]:
    absolute = os.path.abspath(path)
    # What has an importer is a folder or an archive.
    importer = pkgutil.get_importer(absolute)
    if importer is None:
        run, folder = _script(path, absolute), os.path.dirname(os.path.realpath(path))
    else:
        spec = importer.find_spec("__main__", None)
        if spec is None:
            raise Failure(f"cannot run {path}: there is no __main__.py in it")
        run, folder = _found(path, spec), absolute
    # At the front is the current folder now, unless Python was told to put nothing there (-P).
    # It puts the folder of a script there instead, or whatever it takes __main__ from.
    is_safe = getattr(sys.flags, "safe_path", False)
    if not is_safe:
        del sys.path[0]
    if importer is not None or not is_safe:
        sys.path.insert(0, folder)
    return run


def _script(path: str, absolute: str) -> Callable[[], None]:
    loader: SourceFileLoader | SourcelessFileLoader
    try:
        if path.endswith(".pyc"):
            loader = SourcelessFileLoader("__main__", absolute)
            code = loader.get_code("__main__")
        else:
            # Its own get_code would leave a file behind.
            loader = SourceFileLoader("__main__", absolute)
            code = loader.source_to_code(loader.get_data(absolute), absolute)
    except (OSError, ImportError) as error:
        raise Failure(f"cannot run {path}: {describe(error)}") from None
    assert code is not None, "these two loaders have it, or raise"
    return partial(_run, code, {"__file__": absolute, "__cached__": None, "__loader__": loader})


def _found(name: str, spec: ModuleSpec) -> Callable[[], None]:
    # That of an archive is no InspectLoader by its class, but it has what one has.
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise Failure(f"cannot run {name}: it has no Python code")
    names = {"__file__": spec.origin, "__cached__": spec.cached, "__loader__": loader}
    return partial(_run, code, names | {"__package__": spec.parent, "__spec__": spec})


def _run(code: CodeType, names: dict[str, object]) -> None:
    # It stays when the code has run to its end: threads that go on, what `atexit` calls, and
    # pickle look for __main__ there. runpy would take it away again.
    main = ModuleType("__main__")
    main.__dict__.update(names, __builtins__=builtins)
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


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
