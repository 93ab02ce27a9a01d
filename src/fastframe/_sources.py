"""Keeps pure what is to be pure: modules that are compiled as they stand are imported from their sources.

An extension module comes before a source of the same name. Where the pure half
is wanted although the compiled modules are installed, that must not be.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

__all__ = ["prefer_sources"]

_PACKAGE = __name__.rpartition(".")[0]


class _SourcesFirst:
    """A finder of `sys.meta_path` for this package alone."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the source of a module of ours that would be loaded compiled; None for all others."""
        if not name.startswith(f"{_PACKAGE}."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or not isinstance(spec.loader, ExtensionFileLoader):
            return None
        source = os.path.join(os.path.dirname(spec.loader.path), f"{name.rpartition('.')[2]}.py")
        if not os.path.exists(source):
            return None
        found = ModuleSpec(name, SourceFileLoader(name, source), origin=source)
        found.has_location = True
        return found


def prefer_sources() -> None:
    """From now on, import modules of this package from Python sources where there are any."""
    if _SourcesFirst not in sys.meta_path:
        sys.meta_path.insert(0, _SourcesFirst)
