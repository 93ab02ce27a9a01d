"""Adapters that go in when a program imports their libraries, and not before.

A program that is started with adapters in place decides for itself what it
imports, when, and behind which preparations (gevent's, for one). So nothing is
imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["call_after_import"]


class _Loader(Loader):
    """A module's own loader, and a call behind it."""

    def __init__(self, loader: Loader, after: Callable[[], None]) -> None:
        self._loader = loader
        self._after = after

    def __getattr__(self, name: str) -> Any:
        # Data, source, resources: they may be asked for before the module is imported. Not by `self._loader`:
        # a copy that has no attributes yet would ask itself for ever.
        return getattr(object.__getattribute__(self, "_loader"), name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on it is as if we had never been there.
        spec = module.__spec__
        assert spec is not None, "importlib has made the module"
        spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._after()


class _Finder(MetaPathFinder):
    """Finds what the other finders find."""

    def __init__(self, calls: Mapping[str, Callable[[], None]]) -> None:
        self._calls = calls

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._calls:
            return None
        # Those in front of us have been asked already: one of them may be like us, and ask us.
        finders = sys.meta_path
        for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
            if not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                # A package without an __init__.py has nothing that could be run, or adapted.
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self._calls[fullname])
                return spec
        return None


def call_after_import(calls: Mapping[str, Callable[[], None]]) -> None:
    """Call functions once the modules that they belong to have been imported.

    Args:
        calls: by the names of modules. A module that is imported already gets
            its call at once; one that is never imported gets none.
    """
    sys.meta_path.insert(0, _Finder(calls))
    for name, call in calls.items():
        if name in sys.modules:
            call()
