"""The guard, on a library made for it: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import copy
import functools
import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fastframe import adapters
from fastframe.adapters import IncompatibleLibrary, IncompatibleLibraryWarning, _guard
from fastframe.adapters._guard import Depth, Known, Library, Replacement, digest

SOURCE = textwrap.dedent(
    '''
    """A library with all that an adapter may meet."""

    import contextlib

    def mask(data):
        return "slow mask of " + data

    def unmask(data):
        return "slow unmask of " + data

    class Frame:
        def build(self):
            return "slow " + helper()

        @classmethod
        def parse(cls, data):
            return cls.__name__ + " from " + data

        @staticmethod
        def check(data):
            return "slow check of " + data

        @contextlib.contextmanager
        def sending(self):
            yield self

    class Inheriting(Frame):
        pass

    def helper():
        return "helper"
    '''
)


def faster(original: Any) -> Any:
    def fast(*arguments: Any) -> str:
        return f"fast, not {original(*arguments)}"

    return fast


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The library, and its adapter under the name "guarded"."""
    (tmp_path / "guarded_host.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("guarded_host")
    monkeypatch.setitem(adapters._ADAPTERS, "guarded", "guarded")
    monkeypatch.setitem(adapters._states, "guarded", adapters._State())
    adapter = ModuleType("fastframe.adapters.guarded")
    adapter.LIBRARY = library_of(module)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastframe.adapters.guarded", adapter)
    release(monkeypatch, "2.5")
    yield module
    with contextlib.suppress(IncompatibleLibraryWarning):
        adapters.uninstall("guarded")
    del sys.modules["guarded_host"]


def release(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr(Library, "version", lambda _: version)


def library_of(module: ModuleType) -> Library:
    frame = vars(module.Frame)

    def replacement(name: str, value: object) -> Replacement:
        return Replacement(f"guarded_host:{name}", (digest(value),), faster)

    return Library(
        distribution="guarded-host",
        tested=("1.2", "2.5"),
        depths={
            "mask": Depth(
                replaces=(replacement("mask", module.mask), replacement("unmask", module.unmask)),
            ),
            "frame": Depth(
                replaces=(
                    replacement("Frame.build", frame["build"]),
                    replacement("Frame.parse", frame["parse"]),
                    replacement("Frame.check", frame["check"]),
                ),
                relies_on=(
                    Known("guarded_host:helper", (digest(module.helper),)),
                    Known("guarded_host:Frame.sending", (digest(frame["sending"]),)),
                ),
            ),
        },
    )


def state_of(host: ModuleType) -> dict[str, object]:
    """All that could be changed, by identity."""
    return {
        **{name: value for name, value in vars(host).items() if not name.startswith("__")},
        **{f"Frame.{name}": value for name, value in vars(host.Frame).items()},
    }


def test_install_replaces_down_to_the_depth_and_no_further(host: ModuleType) -> None:
    with adapters.install("guarded", depth="mask"):
        assert host.mask("x") == "fast, not slow mask of x"
        assert host.Frame().build() == "slow helper"
    with adapters.install("guarded"):
        assert host.mask("x") == "fast, not slow mask of x"
        assert host.Frame().build() == "fast, not slow helper"
        assert host.Frame.parse("x") == "fast, not Frame from x"
        assert host.Inheriting.parse("x") == "fast, not Inheriting from x"
        assert host.Frame.check("x") == host.Frame().check("x") == "fast, not slow check of x"


def test_uninstall_leaves_what_was_there(host: ModuleType) -> None:
    before = state_of(host)
    adapters.install("guarded").uninstall()
    assert state_of(host) == before


def test_replacement_keeps_name_and_signature(host: ModuleType) -> None:
    with adapters.install("guarded"):
        assert (host.mask.__name__, host.mask.__module__) == ("mask", "guarded_host")


def test_status_tells_of_every_library_and_imports_none(host: ModuleType) -> None:
    untouched = adapters.status()["guarded"]
    assert untouched == ("2.5", None, (), None)
    with adapters.install("guarded", depth="mask"):
        assert adapters.status()["guarded"] == (
            "2.5",
            "mask",
            ("guarded_host:mask", "guarded_host:unmask"),
            None,
        )
    assert {*adapters.status()} == {*adapters.LIBRARIES, "guarded"}


def changed_body(host: ModuleType) -> None:
    scope: dict[str, Any] = {}
    exec("def helper():\n    return 'another helper'", scope)
    # With a source that can be read, as a newer release has.
    path = Path(host.__file__ or "").with_name("guarded_newer.py")
    path.write_text("def helper():\n    return 'another helper'\n")
    host.helper = importlib.import_module("guarded_newer").helper  # type: ignore[attr-defined]
    del sys.modules["guarded_newer"]


def renamed(host: ModuleType) -> None:
    del host.Frame.check


def wrapped_by_somebody(host: ModuleType) -> None:
    original = host.unmask

    @functools.wraps(original)
    def wrapper(data: str) -> str:
        return str(original(data))

    host.unmask = wrapper  # type: ignore[attr-defined]


def without_source(host: ModuleType) -> None:
    scope: dict[str, Any] = {}
    exec("def mask(data):\n    return data", scope)
    host.mask = scope["mask"]  # type: ignore[attr-defined]


def no_function(host: ModuleType) -> None:
    host.mask = "a string"  # type: ignore[attr-defined]


def moved_to_a_base_class(host: ModuleType) -> None:
    class Base:
        build = host.Frame.build

    del host.Frame.build
    host.Frame = type("Frame", (host.Frame, Base), {})  # type: ignore[attr-defined]


def compiled(host: ModuleType) -> None:
    host.mask = len  # type: ignore[attr-defined]


CHANGES: dict[str, tuple[Callable[[ModuleType], None], str]] = {
    "a changed body": (changed_body, "guarded_host:helper is not the function that was tested"),
    "a renamed function": (renamed, "guarded_host:Frame.check is not there any more"),
    "a wrapper": (wrapped_by_somebody, "guarded_host:unmask is not the function that was tested"),
    "no source": (without_source, "guarded_host:mask: no source to compare"),
    "no function": (no_function, "guarded_host:mask: a str where a function was expected"),
    "a base class": (moved_to_a_base_class, "is not there any more"),
    "a builtin": (
        compiled,
        "guarded_host:mask is not the function that was tested (digest compiled builtins.len)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_library_that_is_not_as_tested_is_left_untouched(host: ModuleType, change: str) -> None:
    make, reason = CHANGES[change]
    make(host)
    before = state_of(host)
    with pytest.warns(IncompatibleLibraryWarning) as caught:
        handle = adapters.install("guarded")
    assert reason in str(caught[0].message)
    assert caught[0].filename == __file__
    assert state_of(host) == before
    assert (handle.depth, reason in (handle.refused or "")) == (None, True)
    refused = adapters.status()["guarded"]
    assert (refused.depth, refused.replaced, refused.refused) == (None, (), handle.refused)
    handle.uninstall()
    assert state_of(host) == before


def test_refusal_is_warned_of_once_for_each_cause(host: ModuleType) -> None:
    renamed(host)
    with pytest.warns(IncompatibleLibraryWarning, match="Frame.check"):
        adapters.install("guarded")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapters.install("guarded")
    del host.mask
    with pytest.warns(IncompatibleLibraryWarning, match="mask"):
        adapters.install("guarded")


def test_strict_raises_and_leaves_untouched(host: ModuleType) -> None:
    renamed(host)
    before = state_of(host)
    with pytest.raises(IncompatibleLibrary, match=r"guarded was left untouched: .*Frame\.check"):
        adapters.install("guarded", strict=True)
    assert state_of(host) == before
    adapters.install("guarded", depth="mask", strict=True).uninstall()


@pytest.mark.parametrize(
    ("version", "is_tested"),
    [
        ("1.1.9", False),
        ("1.2", True),
        ("1.10", True),
        ("2.5", True),
        ("2.5.1", True),
        ("2.5.post1", True),
        ("2.5rc1", False),
        ("2.5.dev0", False),
        ("2.5+local", False),
        ("2.6", False),
        ("3.0", False),
        (None, False),
    ],
)
def test_only_tested_releases_are_changed(
    host: ModuleType, monkeypatch: pytest.MonkeyPatch, version: str | None, is_tested: bool
) -> None:
    release(monkeypatch, version)
    before = state_of(host)
    with contextlib.nullcontext() if is_tested else pytest.warns(IncompatibleLibraryWarning):
        adapters.install("guarded")
    assert (state_of(host) != before) is is_tested


def test_failure_halfway_takes_back_what_was_done(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(host)
    apply = _guard.Change.apply

    def fail_at_the_fourth(self: _guard.Change) -> None:
        if self.target.endswith("Frame.parse"):
            raise TypeError("cannot set attribute of immutable type")
        apply(self)

    monkeypatch.setattr(_guard.Change, "apply", fail_at_the_fourth)
    with pytest.warns(IncompatibleLibraryWarning, match=r"Frame\.parse cannot be replaced"):
        assert adapters.install("guarded").depth is None
    assert state_of(host) == before


def test_interruption_halfway_takes_back_what_was_done(
    host: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state_of(host)
    apply = _guard.Change.apply

    def interrupted(self: _guard.Change) -> None:
        if self.target.endswith("Frame.build"):
            raise KeyboardInterrupt
        apply(self)

    monkeypatch.setattr(_guard.Change, "apply", interrupted)
    with pytest.raises(KeyboardInterrupt):
        adapters.install("guarded")
    assert state_of(host) == before
    assert adapters.status()["guarded"].depth is None


def test_uninstall_leaves_what_somebody_else_has_put_there(host: ModuleType) -> None:
    adapters.install("guarded")
    theirs = str.upper
    host.mask = theirs  # type: ignore[attr-defined]
    with pytest.warns(IncompatibleLibraryWarning, match="guarded_host:mask left alone"):
        adapters.uninstall("guarded")
    assert host.mask is theirs
    assert host.unmask("x") == "slow unmask of x"
    assert adapters.status()["guarded"].replaced == ()


def test_last_of_several_installations_puts_the_library_back(host: ModuleType) -> None:
    first, second = adapters.install("guarded"), adapters.install("guarded")
    first.uninstall()
    first.uninstall()
    assert host.mask("x").startswith("fast")
    second.uninstall()
    assert host.mask("x").startswith("slow")


def test_uninstall_by_name_ends_all_installations(host: ModuleType) -> None:
    old = adapters.install("guarded")
    adapters.install("guarded")
    adapters.uninstall("guarded")
    assert host.mask("x").startswith("slow")
    adapters.uninstall("guarded")
    new = adapters.install("guarded")
    old.uninstall()
    assert host.mask("x").startswith("fast")
    new.uninstall()
    assert host.mask("x").startswith("slow")


def test_another_depth_has_to_be_uninstalled_first(host: ModuleType) -> None:
    with adapters.install("guarded", depth="mask"):
        with pytest.raises(ValueError, match="installed at depth 'mask' already"):
            adapters.install("guarded", depth="frame")
        assert host.Frame().build() == "slow helper"
    with adapters.install("guarded", depth="frame"):
        assert host.Frame().build() == "fast, not slow helper"


def test_unknown_names_are_refused(host: ModuleType) -> None:
    with pytest.raises(ValueError, match="no adapter for 'requests'"):
        adapters.install("requests")
    with pytest.raises(ValueError, match="no adapter for 'requests'"):
        adapters.uninstall("requests")
    with pytest.raises(ValueError, match="guarded has no depth 'utf8', but mask, frame"):
        adapters.install("guarded", depth="utf8")


def test_accelerated_lasts_as_long_as_the_block(host: ModuleType) -> None:
    def fail_inside() -> None:
        with adapters.accelerated("guarded", "wsaccel"):
            assert host.mask("x").startswith("fast")
            assert sys.modules["wsaccel"].__name__ == "fastframe.adapters.wsaccel"
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert host.mask("x").startswith("slow")
    assert adapters.status()["wsaccel"].depth is None


def test_accelerated_installs_none_where_one_is_refused(host: ModuleType) -> None:
    renamed(host)
    with pytest.raises(IncompatibleLibrary), adapters.accelerated("wsaccel", "guarded", strict=True):
        pytest.fail("entered")
    assert adapters.status()["wsaccel"].depth is None


def test_replacement_that_the_library_has_no_ground_for_is_refused(host: ModuleType) -> None:
    def needs_what_is_gone(original: Any) -> Any:
        return host.Frame.what_it_once_had

    frame = adapters._library("guarded").depths["frame"]  # type: ignore[index]
    last = frame.replaces[-1]._replace(make=needs_what_is_gone)
    adapters._library("guarded").depths["frame"] = replace(  # type: ignore[index]
        frame, replaces=(*frame.replaces[:-1], last)
    )
    before = state_of(host)
    with pytest.raises(IncompatibleLibrary, match=r"Frame\.check cannot be replaced: .*what_it_once_had"):
        adapters.install("guarded", strict=True)
    assert state_of(host) == before


def test_module_that_cannot_be_imported_is_a_reason_like_any_other(host: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "guarded_broken.py").write_text("1/0")
    adapters._library("guarded").depths["mask"] = Depth(  # type: ignore[index]
        replaces=(Replacement("guarded_broken:mask", ("0",), faster),)
    )
    with pytest.raises(IncompatibleLibrary, match="guarded_broken cannot be imported: division by zero"):
        adapters.install("guarded", strict=True)


def test_check_tells_what_install_would_do(host: ModuleType) -> None:
    before = state_of(host)
    assert adapters.check("guarded") == ("2.5", "frame", None)
    renamed(host)
    version, depth, refused = adapters.check("guarded")
    assert (version, depth) == ("2.5", "mask")
    assert refused == "guarded_host:Frame.check is not there any more"
    del host.unmask
    assert adapters.check("guarded") == ("2.5", None, "guarded_host:unmask is not there any more")
    assert state_of(host).keys() == before.keys() - {"unmask", "Frame.check"}
    assert adapters.status()["guarded"].refused is None


def test_check_of_what_is_installed_tells_how_deep(host: ModuleType) -> None:
    with adapters.install("guarded", depth="mask"):
        assert adapters.check("guarded") == ("2.5", "mask", None)


def test_import_brings_what_waits_for_it(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    del sys.modules["guarded_host"]
    told: list[adapters.Installation] = []
    adapters.install_when_imported({"guarded": "mask"}, told.append)
    assert told == []
    fresh = importlib.import_module("guarded_host")
    assert fresh is not host
    assert [(one.library, one.depth) for one in told] == [("guarded", "mask")]
    assert fresh.mask("x").startswith("fast")
    assert host.mask("x").startswith("slow")
    adapters.uninstall("guarded")


def test_import_may_be_waited_for_twice(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    del sys.modules["guarded_host"]
    told: list[adapters.Installation] = []
    for _ in range(3):
        adapters.install_when_imported({"guarded": "mask"}, told.append)
    fresh = importlib.import_module("guarded_host")
    assert fresh.mask("x") == "fast, not slow mask of x"
    assert [(one.library, one.depth) for one in told] == [("guarded", "mask")]
    adapters.uninstall("guarded")


def test_check_imports_and_so_brings_what_waits_for_it(
    host: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    del sys.modules["guarded_host"]
    told: list[adapters.Installation] = []
    adapters.install_when_imported({"guarded": "mask"}, told.append)
    assert adapters.check("guarded") == ("2.5", "mask", None)
    assert [one.depth for one in told] == ["mask"]
    assert adapters.status()["guarded"].depth == "mask"
    adapters.uninstall("guarded")


def test_loader_of_what_is_not_imported_yet_has_all_that_its_own_has(
    host: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    (tmp_path / "data.txt").write_text("data")
    del sys.modules["guarded_host"]
    told: list[adapters.Installation] = []
    adapters.install_when_imported({"guarded": "mask"}, told.append)
    spec = importlib.util.find_spec("guarded_host")
    assert spec is not None
    loader: Any = spec.loader
    assert loader.get_source("guarded_host") == SOURCE
    assert not hasattr(loader, "get_what_no_loader_has")
    assert copy.copy(loader).path == loader.path == host.__file__
    assert told == []
    # It imports the module by what it has found.
    assert pkgutil.get_data("guarded_host", "data.txt") == b"data"
    assert [one.depth for one in told] == ["mask"]
    adapters.uninstall("guarded")


def test_import_of_what_is_not_as_tested_is_told_and_warns_nobody(
    host: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    renamed(host)
    told: list[adapters.Installation] = []
    # Imported already, so at once.
    adapters.install_when_imported({"guarded": None}, told.append)
    assert [(one.depth, one.refused) for one in told] == [
        (None, "guarded_host:Frame.check is not there any more")
    ]
    with pytest.raises(ValueError, match="no adapter for 'requests'"):
        adapters.install_when_imported({"requests": None})
    with pytest.raises(ValueError, match="guarded has no depth 'deep'"):
        adapters.install_when_imported({"guarded": "deep"})


@pytest.mark.parametrize("name", [name for name in adapters.LIBRARIES if name != "wsaccel"])
def test_every_name_of_every_adapter_is_guarded(name: str) -> None:
    """Another digest or another name, for each in turn: that alone leaves the library untouched."""
    library = adapters._library(name)
    depths = library.depths or {}
    known: list[Known | Replacement] = []
    for depth in depths.values():
        known += [*depth.relies_on, *depth.replaces]
    assert known
    for one in known:
        for other, reason in (
            (one._replace(digests=("0123456789abcdef",)), "is not the function that was tested"),
            (one._replace(target=f"{one.target}_of_old"), "is not there any more"),
        ):
            changed = {
                key: Depth(
                    tuple(other if it is one else it for it in depth.replaces),  # type: ignore[misc]
                    tuple(other if it is one else it for it in depth.relies_on),  # type: ignore[misc]
                )
                for key, depth in depths.items()
            }
            with pytest.raises(IncompatibleLibrary, match=re.escape(f"{other.target} {reason}")):
                _guard.planned(replace(library, depths=changed), list(depths)[-1])


def test_importing_fastframe_changes_nothing_and_imports_no_library() -> None:
    script = (
        "import sys, fastframe, fastframe.adapters as a; a.status();"
        "print(*[name for name in ('websockets', 'wsproto', 'tornado', 'autobahn', 'websocket', 'ws4py')"
        " if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


IMPORTED_BY_ANOTHER = """
import importlib, sys, threading, time
from fastframe import adapters

class Gate:
    # One thread's import of wsproto is not done when another wants it, too.
    def find_spec(self, name, path, target=None):
        if name.startswith("wsproto.") and threading.current_thread() is importing:
            inside.set()
            wanted.wait(10)
            time.sleep(0.3)

def asking():
    inside.wait(10)
    wanted.set()
    print(ACT("wsproto").depth)

inside, wanted = threading.Event(), threading.Event()
adapters.install_when_imported({"wsproto": None})
sys.meta_path.insert(0, Gate())
importing = threading.Thread(target=importlib.import_module, args=["wsproto"])
threads = [importing, threading.Thread(target=asking)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(adapters.status()["wsproto"].depth)
"""


@pytest.mark.parametrize("act", ["install", "check"])
def test_import_in_another_thread_is_waited_for_without_holding_it_up(act: str) -> None:
    script = IMPORTED_BY_ANOTHER.replace("ACT", f"adapters.{act}")
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert ran.stdout.split() == ["connection", "connection"]
