"""Our codec inside the libraries that programs already use.

::

    import fastframe

    fastframe.install("websockets")

Nothing happens at import, and no library is changed that was not named. A
library that is not exactly what its adapter was written for is left as it is,
with a warning.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import NamedTuple

from ._guard import DEPTHS, Change, IncompatibleLibrary, Library, ModuleChange, import_package, planned
from .importing import call_after_import

__all__ = [
    "DEPTHS",
    "LIBRARIES",
    "Check",
    "IncompatibleLibrary",
    "IncompatibleLibraryWarning",
    "Installation",
    "Status",
    "accelerated",
    "check",
    "depths_of",
    "install",
    "install_when_imported",
    "status",
    "uninstall",
]

_ADAPTERS = {
    "autobahn": "autobahn",
    "tornado": "tornado",
    "websocket-client": "websocket_client",
    "websockets": "websockets",
    "ws4py": "ws4py",
    "wsaccel": "wsaccel",
    "wsproto": "wsproto",
}

LIBRARIES = tuple(_ADAPTERS)
"""The names that `install` takes."""


class IncompatibleLibraryWarning(RuntimeWarning):
    """A library was left untouched: it is not the one that its adapter was written for."""


class Status(NamedTuple):
    """A library, as `status` tells of it."""

    version: str | None
    """The release that is installed; None if there is none."""
    depth: str | None
    """How deep our code is in; None if it is not."""
    replaced: tuple[str, ...]
    """The names that hold something of ours, as ``module:name``."""
    refused: str | None
    """Why the last `install` left it untouched, if it did."""


class Check(NamedTuple):
    """What `install` would do, as `check` tells it."""

    version: str | None
    """The release that is installed; None if there is none."""
    depth: str | None
    """The deepest that would go in; None if there is none."""
    refused: str | None
    """What is in the way of the deepest that the adapter has, if something is."""


class _State:
    """What is installed in one library."""

    def __init__(self) -> None:
        self.depth: str | None = None
        # Threads that import the library in order to install or to check.
        self.importers: set[int] = set()
        self.changes: list[Change | ModuleChange] = []
        self.handles = 0
        self.refused: str | None = None
        self.warned: set[str] = set()


_states = {name: _State() for name in LIBRARIES}
_lock = threading.RLock()


class Installation:
    """What one call of `install` did, to be undone; as a context manager, at its end.

    Attributes:
        library: the name that `install` was given.
        depth: how deep our code is in; None if the library was left untouched.
        refused: why it was left untouched, if it was.
    """

    def __init__(self, library: str, depth: str | None, refused: str | None) -> None:
        self.library = library
        self.depth = depth
        self.refused = refused
        self._state = _states[library]
        self._changes = self._state.changes if depth is not None else None

    def uninstall(self) -> None:
        """Undo it, once; the last of several installations of a library puts its functions back."""
        with _lock:
            # Another installation may stand there now, after `uninstall` of the module.
            if self._changes is None or self._changes is not self._state.changes:
                return
            self._changes = None
            self._state.handles -= 1
            if self._state.handles == 0:
                _revert(self.library)

    def __enter__(self) -> Installation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.uninstall()

    def __repr__(self) -> str:
        return f"<fastframe in {self.library}: {self.depth or f'not installed, {self.refused}'}>"


def install(name: str, *, depth: str | None = None, strict: bool = False) -> Installation:
    """Put our functions in place of a library's own.

    Connections that exist already go on, with the new functions.

    Args:
        name: one of `LIBRARIES`.
        depth: how deep to go, one of those that the library's adapter has; as
            deep as it can if None.
        strict: raise where the library is not as the adapter knows it.

    Returns:
        A handle, to undo it; ``with install(...)`` undoes it at the end.

    Raises:
        IncompatibleLibrary: `strict`, and the library is not installed, not a
            tested release, or not as its adapter knows it. Nothing was changed.
        ValueError: there is no such adapter or depth, or it is installed at
            another depth.

    Warns:
        IncompatibleLibraryWarning: the same, not `strict`; once for each cause.
    """
    depth = _depth(name, depth)
    with _imported(name), _lock:
        state = _states[name]
        try:
            return _install(name, depth)
        except IncompatibleLibrary as error:
            if strict:
                raise IncompatibleLibrary(f"{name} was left untouched: {error}") from error
            _warn(name, state)
            return Installation(name, None, state.refused)


def uninstall(name: str) -> None:
    """Put a library's own functions back, whatever installations there are.

    A name that somebody else has changed since is left alone, with a warning.

    Args:
        name: one of `LIBRARIES`.

    Raises:
        ValueError: there is no such adapter.
    """
    _library(name)
    with _lock:
        _revert(name)


@contextmanager
def accelerated(*names: str, depth: str | None = None, strict: bool = False) -> Iterator[None]:
    """Install adapters for the length of a ``with`` block.

    Args:
        names: some of `LIBRARIES`.
        depth: as in `install`.
        strict: as in `install`; where one raises, none is installed.
    """
    with ExitStack() as installations:
        for name in names:
            installations.enter_context(install(name, depth=depth, strict=strict))
        yield


def install_when_imported(
    wanted: Mapping[str, str | None], tell: Callable[[Installation], None] | None = None
) -> None:
    """Install adapters when their libraries are imported: none of them is, for this.

    Args:
        wanted: depths by the names of libraries, as in `install`.
        tell: called when a library has been imported, with what came of it; a
            library that is left untouched is told of in this way alone.

    Raises:
        ValueError: there is no such adapter or depth.
    """

    def after(name: str, depth: str) -> None:
        state = _states[name]
        # Whoever installs it already has imported it for this, or knows better.
        if threading.get_ident() in state.importers or state.depth is not None:
            return
        try:
            installation = _install(name, depth)
        except IncompatibleLibrary as error:
            installation = Installation(name, None, str(error))
        if tell is not None:
            tell(installation)

    calls = {}
    for name, depth in {name: _depth(name, depth) for name, depth in wanted.items()}.items():
        if _library(name).modules:
            # Nothing of the library's own is imported for it, and there need not be any.
            after(name, depth)
        else:
            calls[_library(name).package] = partial(after, name, depth)
    call_after_import(calls)


def check(name: str) -> Check:
    """Tell what `install` would do; the library is imported for it, and nothing is changed by that.

    Where `install_when_imported` has waited for this import, what it installs is told.

    Args:
        name: one of `LIBRARIES`.

    Raises:
        ValueError: there is no such adapter.
    """
    library, state, refused = _library(name), _states[name], None
    import_package(library)
    with _lock:
        if state.depth is not None:
            return Check(library.version(), state.depth, None)
        for depth in reversed(depths_of(name)):
            try:
                planned(library, depth)
            except IncompatibleLibrary as error:
                refused = refused or str(error)
            else:
                return Check(library.version(), depth, refused)
    return Check(library.version(), None, refused)


def depths_of(name: str) -> tuple[str, ...]:
    """Return the depths that an adapter has, the outermost first.

    Args:
        name: one of `LIBRARIES`.

    Raises:
        ValueError: there is no such adapter.
    """
    return tuple(_library(name).depths or DEPTHS[:1])


def status() -> dict[str, Status]:
    """Tell what is installed where; no library is imported for it.

    Returns:
        By the names of all `LIBRARIES`.
    """
    with _lock:
        return {
            name: Status(
                _library(name).version(),
                state.depth,
                tuple(change.target for change in state.changes),
                state.refused,
            )
            for name, state in _states.items()
        }


def _library(name: str) -> Library:
    if name not in _ADAPTERS:
        raise ValueError(f"no adapter for {name!r}; there are {', '.join(LIBRARIES)}")
    library: Library = import_module(f"{__name__}.{_ADAPTERS[name]}").LIBRARY
    return library


def _depth(name: str, depth: str | None) -> str:
    depths = depths_of(name)
    if depth is None:
        return depths[-1]
    if depth not in depths:
        raise ValueError(f"{name} has no depth {depth!r}, but {', '.join(depths)}")
    return depth


@contextmanager
def _imported(name: str) -> Iterator[None]:
    """The library is imported before our lock is taken, and not while it is held.

    A thread whose import ends in `install_when_imported` holds the import's
    lock and wants ours: whoever held ours and imported would wait for it for ever.
    """
    library, importers = _library(name), _states[name].importers
    importers.add(threading.get_ident())
    try:
        import_package(library)
        yield
    finally:
        importers.discard(threading.get_ident())


def _install(name: str, depth: str) -> Installation:
    with _lock:
        state = _states[name]
        if state.depth is None:
            try:
                _apply(state, _library(name), depth)
            except IncompatibleLibrary as error:
                state.refused = str(error)
                raise
        elif state.depth != depth:
            raise ValueError(f"{name} is installed at depth {state.depth!r} already")
        state.handles += 1
        return Installation(name, depth, None)


def _apply(state: _State, library: Library, depth: str) -> None:
    """Make all changes or none."""
    changes = planned(library, depth)
    done: list[Change | ModuleChange] = []
    try:
        for change in changes:
            change.apply()
            done.append(change)
    except BaseException as error:
        for change in reversed(done):
            change.revert()
        if isinstance(error, (AttributeError, TypeError)):
            raise IncompatibleLibrary(f"{changes[len(done)].target} cannot be replaced: {error}") from error
        raise
    state.changes, state.depth, state.refused = changes, depth, None


def _revert(name: str) -> None:
    state = _states[name]
    left = [change.target for change in reversed(state.changes) if not change.revert()]
    state.changes, state.depth, state.handles = [], None, 0
    if left:
        warnings.warn(
            f"{name}: {', '.join(left)} left alone, changed by somebody else since",
            IncompatibleLibraryWarning,
            stacklevel=3,
        )


def _warn(name: str, state: _State) -> None:
    cause = state.refused or ""
    if cause not in state.warned:
        state.warned.add(cause)
        warnings.warn(f"{name} was left untouched: {cause}", IncompatibleLibraryWarning, stacklevel=3)
