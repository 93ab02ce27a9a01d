"""docs/security.md says what the code does: limits from their defaults, attacks from their declarations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def page() -> Any:
    path = Path(__file__).parent / "attacks" / "page.py"
    spec = importlib.util.spec_from_file_location("attacks_page", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says() -> None:
    module = page()
    text = module.PAGE.read_text(encoding="utf-8")
    assert module.rendered(text) == text, "run: python tests/attacks/page.py"


def test_the_tables_are_not_empty() -> None:
    assert {name: len(lines) > 12 for name, lines in page().tables().items()} == {
        "limits": True,
        "attacks": True,
        "hostile": True,
    }
