"""Programs that the tests need and that Python's package index does not have."""

from __future__ import annotations

import shutil

import pytest


def need(*names: str) -> str:
    """The path of the first of these commands that is installed.

    Without any the test fails, or is skipped where neither node nor a way to
    install what is missing exists.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    if shutil.which("node") is None and shutil.which("apt-get") is None:
        pytest.skip(f"not run: no {' or '.join(names)}, and no apt-get to install it")
    raise AssertionError(f"install {' or '.join(names)}")
