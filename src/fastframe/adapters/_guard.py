"""What an adapter replaces in a library, and the proof that the library is the one it was written for.

A function of ours stands in for one that was read: it is put in its place only
if that one, and every other whose behaviour it takes for granted, is still the
same. The release has to be in the tested range, and the source of each
function has to have a digest that is known.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, update_wrapper
from importlib import import_module, metadata
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, NamedTuple

from ..errors import FastframeError

__all__ = [
    "DEPTHS",
    "Change",
    "Depth",
    "IncompatibleLibrary",
    "Known",
    "Library",
    "ModuleChange",
    "Replacement",
    "digest",
    "import_package",
    "planned",
]

DEPTHS = ("mask", "utf8", "frame", "connection")
"""From the outermost to the deepest: each contains those before it."""

_MISSING = object()

# Behind these wrappers of the standard library stands the function itself.
_CONTEXT_MANAGERS = tuple(make(lambda: None).__code__ for make in (contextmanager, asynccontextmanager))  # type: ignore[arg-type, return-value]


class IncompatibleLibrary(FastframeError):
    """The library is not the one that its adapter was written for; it was left untouched."""


class Known(NamedTuple):
    """A function of the library that an adapter takes for granted."""

    target: str
    """``module:name`` or ``module:Class.name``."""
    digests: tuple[str, ...]
    """Of all that it may be."""


class Replacement(NamedTuple):
    """A function of the library that an adapter puts its own in place of."""

    target: str
    digests: tuple[str, ...]
    make: Callable[[Any], Any]
    """From the original to what takes its place."""
    optional: bool = False
    """Where its module is missing, or not imported yet, there is nothing to do."""


@dataclass(frozen=True)
class Depth:
    """What one depth adds to those before it."""

    replaces: tuple[Replacement, ...]
    relies_on: tuple[Known, ...] = ()


@dataclass(frozen=True)
class Library:
    """A library and what its adapter knows of it.

    Attributes:
        distribution: its name on the package index.
        tested: the oldest and the newest release that were tested. The newest
            as precisely as it is written: ``1.9`` stands for all of 1.9.
        depths: by their names, in the order of `DEPTHS`.
        modules: those to put into ``sys.modules``, for an adapter that takes a
            library's place whole; it need not be installed then.
    """

    distribution: str
    tested: tuple[str, str] = ("", "")
    depths: Mapping[str, Depth] | None = None
    modules: Mapping[str, str] | None = None

    @property
    def package(self) -> str:
        """The module that is imported before any other of it."""
        targets = self.modules or [one.replaces[0].target for one in (self.depths or {}).values()]
        return next(iter(targets)).partition(":")[0].partition(".")[0]

    def version(self) -> str | None:
        """The release that is installed, None if none is."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None


class Change:
    """An attribute of a module or class that gets another value.

    Attributes:
        target: which, as in `Known`.
    """

    def __init__(self, target: str, owner: Any, name: str, old: Any, new: Any) -> None:
        self.target = target
        self._owner = owner
        self._name = name
        self._old = old
        self._new = new

    def apply(self) -> None:
        """Put the new value in."""
        setattr(self._owner, self._name, self._new)

    def revert(self) -> bool:
        """Put the old value back; False if the value is not ours any more, which is left alone."""
        if vars(self._owner).get(self._name, _MISSING) is not self._new:
            return False
        setattr(self._owner, self._name, self._old)
        return True


class ModuleChange:
    """A module of ours under another's name in ``sys.modules``."""

    def __init__(self, target: str, module: ModuleType) -> None:
        self.target = target
        self._module = module
        self._old = sys.modules.get(target)

    def apply(self) -> None:
        """Put our module in."""
        sys.modules[self.target] = self._module

    def revert(self) -> bool:
        """Put the old module back, if there was one; False if it is not ours any more."""
        if sys.modules.get(self.target) is not self._module:
            return False
        if self._old is None:
            del sys.modules[self.target]
        else:
            sys.modules[self.target] = self._old
        return True


def import_package(library: Library) -> None:
    """Import what `planned` is going to import first. It does not fail: `planned` says what is wrong."""
    if library.modules is None:
        with suppress(Exception):
            _check_version(library)
            import_module(library.package)


def planned(library: Library, depth: str) -> list[Change | ModuleChange]:
    """Check the library down to `depth` and say what would be changed; nothing is, yet.

    Raises:
        IncompatibleLibrary: something is not as the adapter knows it.
    """
    if library.modules is not None:
        return [ModuleChange(name, import_module(ours)) for name, ours in library.modules.items()]
    _check_version(library)
    assert library.depths is not None
    changes: list[Change | ModuleChange] = []
    for name in list(library.depths)[: list(library.depths).index(depth) + 1]:
        added = library.depths[name]
        for known in added.relies_on:
            _find(known.target, known.digests)
        changes += [change for one in added.replaces if (change := _change(one)) is not None]
    return changes


def digest(value: object) -> str:
    """Tell what a function or class is, the same on every Python.

    Returns:
        16 hexadecimal digits of its source's SHA-256; for what is compiled,
        where it comes from.

    Raises:
        IncompatibleLibrary: it has no source, or is something else.
    """
    value = _unbound(value)
    if isinstance(value, BuiltinFunctionType):
        return f"compiled {value.__module__}.{value.__qualname__}"
    if isinstance(value, FunctionType):
        wrapped = vars(value).get("__wrapped__") if value.__code__ in _CONTEXT_MANAGERS else None
        # The code and not the function: inspect would look through any wrapper.
        return _source_digest((value if wrapped is None else wrapped).__code__)
    if isinstance(value, type):
        return _source_digest(value)
    raise IncompatibleLibrary(f"a {type(value).__name__} where a function was expected")


@cache
def _source_digest(value: Any) -> str:
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError) as error:
        raise IncompatibleLibrary(f"no source to compare: {error}") from None
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _unbound(value: object) -> object:
    return value.__func__ if isinstance(value, (classmethod, staticmethod)) else value


def _find(target: str, digests: tuple[str, ...]) -> tuple[Any, str, Any]:
    """Where a target is kept, under which name, and its value as it is kept there."""
    module, _, path = target.partition(":")
    try:
        owner: Any = import_module(module)
    except Exception as error:
        # Whatever it is that a release of the library fails with, the program may never import that module.
        raise IncompatibleLibrary(f"{module} cannot be imported: {error}") from error
    *classes, name = path.split(".")
    for one in classes:
        owner = vars(owner).get(one, _MISSING)
        if not isinstance(owner, type):
            raise IncompatibleLibrary(f"{target} is not there any more")
    # Not getattr: what a class inherits is not its own to replace.
    value = vars(owner).get(name, _MISSING)
    if value is _MISSING:
        raise IncompatibleLibrary(f"{target} is not there any more")
    try:
        found = digest(value)
    except IncompatibleLibrary as error:
        raise IncompatibleLibrary(f"{target}: {error}") from None
    if found not in digests:
        raise IncompatibleLibrary(f"{target} is not the function that was tested (digest {found})")
    return owner, name, value


def _change(replacement: Replacement) -> Change | None:
    module = replacement.target.partition(":")[0]
    if replacement.optional and module not in sys.modules:
        return None
    owner, name, old = _find(replacement.target, replacement.digests)
    original: Any = _unbound(old)
    try:
        new = replacement.make(original)
    except (ImportError, AttributeError) as error:
        raise IncompatibleLibrary(f"{replacement.target} cannot be replaced: {error}") from error
    if isinstance(new, FunctionType) and "<locals>" in new.__qualname__:
        # Made for this place, so it may have its name.
        update_wrapper(new, original)
    if isinstance(old, (classmethod, staticmethod)):
        new = type(old)(new)
    return Change(replacement.target, owner, name, old, new)


def _check_version(library: Library) -> None:
    version = library.version()
    if version is None:
        raise IncompatibleLibrary("it is not installed")
    first, last = (_numbers(text) for text in library.tested)
    numbers = _numbers(version)
    # A pre-release may be anything.
    if not re.fullmatch(r"\d+(\.\d+)*(\.post\d+)?", version) or not (
        first <= numbers and numbers[: len(last)] <= last
    ):
        oldest, newest = library.tested
        raise IncompatibleLibrary(f"release {version} is not one of those tested, {oldest} to {newest}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition(".post")[0]))
