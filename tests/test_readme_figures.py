"""The figures of the README are those of the pages that the benchmarks have written."""

from __future__ import annotations

import re

import pytest

from bench.servers import front

README = front.README.read_text("utf-8")


def test_the_tables_are_up_to_date() -> None:
    assert front.rendered(README) == README, "run: python -m bench.servers.front"


@pytest.mark.parametrize(("heading", "column"), front.PANELS)
def test_the_picture_shows_what_was_measured(heading: str, column: str) -> None:
    picture = front.PICTURE.read_text("utf-8")
    texts = re.findall(r"<text[^>]*>([^<]+)</text>", picture)
    assert column in texts and heading in texts
    for name, value in front.measured(heading, column).items():
        assert name in texts
        assert front.number(value) in texts, (name, value)


def test_where_it_was_measured_is_said() -> None:
    assert front.where() in front.PICTURE.read_text("utf-8").replace("&#x27;", "'")
    assert re.fullmatch(r".+, CPython 3\.\d+\.\d+, uvloop, \d{4}-\d\d-\d\d", front.where())


def test_each_table_has_its_rows() -> None:
    tables = front.tables()
    assert tables["servers"].count("\n") == 2 + len(front.PANELS)
    assert tables["drop-ins"].count(" x |") >= 4 * 6
