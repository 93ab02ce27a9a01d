"""What websockets' tests import as ``tests.utils``; written by what they ask of it."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Returned = TypeVar("Returned")

DATE = "Tue, 24 Nov 2026 12:00:00 GMT"


class GeneratorTestCase(unittest.TestCase):
    """Of parsers that wait for more by yielding."""

    def assertGeneratorRunning(self, generator: Generator[Any, None, Any]) -> None:  # noqa: N802
        try:
            next(generator)
        except StopIteration as stop:
            self.fail(f"it was to wait, and returned {stop.value!r}")

    def assertGeneratorReturns(self, generator: Generator[Any, None, Returned]) -> Returned:  # noqa: N802
        try:
            next(generator)
        except StopIteration as stop:
            returned: Returned = stop.value
            return returned
        raise self.failureException("it was to return, and waits")


class DeprecationTestCase(unittest.TestCase):
    """Of names that have been replaced."""

    @contextmanager
    def assertDeprecationWarning(self, message: str) -> Iterator[None]:  # noqa: N802
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        found = [(one.category, str(one.message)) for one in caught]
        assert found == [(DeprecationWarning, message)]
