"""What a terminal gets to see of a peer's messages."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest

from fastframe.cli.showing import Style, as_block, as_line, as_they_came, quoted

EVERY_CHARACTER = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Style:
    monkeypatch.setenv("NO_COLOR", "1")
    return Style(Terminal())


def test_nothing_that_is_shown_steers_a_terminal() -> None:
    shown = set(quoted("".join(EVERY_CHARACTER)))
    # Control characters, line and paragraph separators, and what turns the direction of writing.
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs", "Cn", "Co")]
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    assert not [c for c in shown if unicodedata.bidirectional(c) in turning]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hello, 世界, Grüße", "Hello, 世界, Grüße"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\tb\r\n", r"a\tb\r\n"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("👩\u200d💻 a\u00a0b\u3000c", "👩\u200d💻 a\u00a0b\u3000c"),
        ("\U000e0001", r"\U000e0001"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_text_is_quoted_where_it_has_to_be(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_further_lines_of_a_text_cannot_pass_for_a_message_or_for_words_of_ours(plain: Style) -> None:
    shown = as_block("one\r\n< two\nclosed: 1000\r!", plain)
    assert shown.split("\n") == ["< one", "  < two", r"  closed: 1000\r!"]


def test_a_long_text_is_abbreviated_on_a_terminal_alone(plain: Style) -> None:
    text = "x" * 5000
    assert as_block(text, plain).split("\n") == ["< " + "x" * 4096, "  ... 904 characters more"]
    assert as_line(text) == text


def test_bytes_are_dumped(plain: Style) -> None:
    assert as_block(b"\x00Hello\x7f\x80 World! 0123", plain).split("\n") == [
        "< 20 bytes",
        "  0000  00 48 65 6c 6c 6f 7f 80 20 57 6f 72 6c 64 21 20  .Hello.. World! ",
        "  0010  30 31 32 33                                      0123",
    ]
    assert as_block(b"", plain) == "< 0 bytes"


def test_a_long_dump_is_abbreviated(plain: Style) -> None:
    assert len(as_block(bytes(128), plain).split("\n")) == 1 + 8
    lines = as_block(bytes(1129), plain).split("\n")
    assert len(lines) == 1 + 8 + 1
    assert lines[0] == "< 1,129 bytes"
    assert lines[-1] == "  ... 1,001 bytes more"


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("a\nb", r"a\nb"),
        ("", ""),
        (b"", "(0 bytes)"),
        (b"\x01", "(1 byte) 01"),
        (bytes(64), "(64 bytes) " + " ".join(["00"] * 64)),
        (bytes(65), "(65 bytes) " + " ".join(["00"] * 64) + " ..."),
    ],
)
def test_a_message_is_one_line_of_a_pipe(message: str | bytes, line: str) -> None:
    assert as_line(message) == line


def test_raw_messages_are_as_they_came() -> None:
    assert as_they_came(["€\x1b\n", b"\x00\xff", "", b""]) == b"\xe2\x82\xac\x1b\n\n\x00\xff\n"


@pytest.mark.parametrize(
    ("out", "variables", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_only_where_it_is_welcome(
    out: io.StringIO, variables: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in as_block("x", Style(out))) is coloured
