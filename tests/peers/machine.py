"""Programs that the tests need and that Python's package index does not have."""

from __future__ import annotations

import os
import shutil

import pytest


def need(*names: str) -> str:
    """The path of the first of these commands that is installed.

    Without any the test is skipped, and says so; with REQUIRE=1 in the environment it fails.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    missing = f"no {' or '.join(names)} on this machine"
    if os.environ.get("REQUIRE") == "1":
        raise AssertionError(missing)
    pytest.skip(f"not run: {missing}")
