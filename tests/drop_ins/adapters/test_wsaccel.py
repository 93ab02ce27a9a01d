"""The module that is wsaccel's API, against wsaccel itself where it is installed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import wsaccel.utf8validator as their_utf8
import wsaccel.xormask as their_xormask
from hypothesis import given
from hypothesis import strategies as st

import fastframe
from fastframe.adapters.wsaccel import utf8validator, xormask

CHUNKS = st.lists(st.one_of(st.none(), st.binary(max_size=300)), max_size=5)


@given(key=st.binary(min_size=4, max_size=4), chunks=CHUNKS)
def test_masker_agrees_with_wsaccel(key: bytes, chunks: list[bytes | None]) -> None:
    ours, theirs = xormask.XorMaskerSimple(key), their_xormask.XorMaskerSimple(key)
    for _ in range(2):
        for chunk in chunks:
            assert ours.process(chunk) == theirs.process(chunk)
            assert ours.pointer() == theirs.pointer()
        ours.reset()
        theirs.reset()


@given(chunks=st.lists(st.binary(max_size=30), max_size=5))
def test_null_masker_agrees_with_wsaccel(chunks: list[bytes]) -> None:
    ours, theirs = xormask.XorMaskerNull(), their_xormask.XorMaskerNull()
    for chunk in chunks:
        assert ours.process(chunk) is chunk
        theirs.process(chunk)
        assert ours.pointer() == theirs.pointer()
    ours.reset()
    assert ours.pointer() == 0


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde", None])
def test_wrong_key_is_a_value_error_in_both(key: bytes | None) -> None:
    for module in (xormask, their_xormask):
        with pytest.raises(ValueError, match="4"):
            module.XorMaskerSimple(key)
        with pytest.raises(ValueError, match="4"):
            module.createXorMasker(key, 10)


@pytest.mark.parametrize("wrong", ["text", 5])
def test_wrong_types_are_type_errors_in_both(wrong: Any) -> None:
    for module in (xormask, their_xormask):
        with pytest.raises(TypeError):
            module.XorMaskerSimple(wrong)
        with pytest.raises(TypeError):
            module.XorMaskerSimple(b"abcd").process(wrong)


@given(chunks=st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=4).map(str.encode)), max_size=6))
def test_validator_agrees_with_wsaccel(chunks: list[bytes]) -> None:
    ours, theirs = utf8validator.Utf8Validator(), their_utf8.Utf8Validator()
    for chunk in chunks:
        assert ours.validate(chunk) == theirs.validate(chunk)


def test_createxormasker_takes_a_length_and_needs_none() -> None:
    for masker in (xormask.createXorMasker(b"abcd"), xormask.createXorMasker(b"abcd", 1000)):
        assert masker.process(b"\0\0\0\0\0") == b"abcda"


def test_installed_modules_are_ours_and_go_again() -> None:
    theirs = {name: sys.modules[name] for name in ("wsaccel", "wsaccel.xormask", "wsaccel.utf8validator")}
    with fastframe.install("wsaccel", strict=True):
        from wsaccel.utf8validator import Utf8Validator
        from wsaccel.xormask import XorMaskerSimple

        assert XorMaskerSimple is xormask.XorMaskerSimple
        assert Utf8Validator is fastframe.Utf8Validator
    assert {name: sys.modules[name] for name in theirs} == theirs


def test_library_that_looks_for_wsaccel_finds_ours_where_there_is_none() -> None:
    script = (
        "import sys, fastframe; fastframe.install('wsaccel');"
        "import wsaccel.xormask; from wsaccel import utf8validator;"
        "print(wsaccel.xormask.__name__, utf8validator.__name__);"
        "fastframe.uninstall('wsaccel'); print([m for m in sys.modules if m.startswith('wsaccel')])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "fastframe.adapters.wsaccel.xormask fastframe.adapters.wsaccel.utf8validator",
        "[]",
    ]


@pytest.mark.parametrize("library", ["ws4py", "autobahn"])
def test_patching_of_a_library_is_to_install_its_adapter(library: str) -> None:
    with fastframe.install("wsaccel", strict=True):
        import wsaccel

        patch = getattr(wsaccel, f"patch_{library}")
        try:
            # Some do so for each connection.
            patch()
            patch()
            assert fastframe.status()[library].depth == "utf8"
        finally:
            fastframe.uninstall(library)
        with fastframe.install(library, depth="mask", strict=True):
            patch()
            assert fastframe.status()[library].depth == "mask"
        assert fastframe.status()[library].depth is None


def test_all_names_of_wsaccel_are_there() -> None:
    for ours, theirs in (
        (fastframe.adapters.wsaccel, import_module("wsaccel")),
        (xormask, their_xormask),
        (utf8validator, their_utf8),
    ):
        assert {name for name in vars(theirs) if name[0] != "_"} <= {*dir(ours)}
    assert fastframe.adapters.wsaccel.__version__


def test_patching_of_a_library_that_is_not_there_is_an_import_error() -> None:
    with fastframe.install("wsaccel", strict=True), pytest.MonkeyPatch.context() as patched:
        patched.setitem(sys.modules, "ws4py", None)
        with pytest.raises(ImportError):
            import_module("wsaccel").patch_ws4py()
