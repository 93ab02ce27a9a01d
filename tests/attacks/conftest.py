from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--scale", type=int, default=1, help="sizes and counts, times this")
    parser.addoption("--every", action="store_true", help="every half with every loop and form")
