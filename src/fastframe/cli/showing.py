"""Messages as a person may see them: whatever a peer sends, it moves no cursor and rings no bell."""

from __future__ import annotations

import os
import unicodedata
from typing import TextIO

__all__ = ["Style", "as_block", "as_line", "as_they_came", "quoted"]

_LONGEST_TEXT = 4096
"""Characters of a text message that a terminal shows."""

_LONGEST_DUMP = 128
"""Bytes of a binary message that a terminal shows."""

_LONGEST_LINE_OF_BYTES = 64
_DUMP_WIDTH = 16

# Scripts and emoji need them, and they do nothing to a terminal: the zero-width (non-)joiners.
_JOINERS = "\u200c\u200d"

_COLOURS = {"received": 32, "note": 2, "wrong": 31}


class Style:
    """Colours, where they are welcome."""

    def __init__(self, out: TextIO) -> None:
        # https://no-color.org: colour only for a person at a terminal who does not mind it.
        self.coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def paint(self, what: str, text: str) -> str:
        """Return a text in the colour of what it is: "received", "note" or "wrong"."""
        return f"\x1b[{_COLOURS[what]}m{text}\x1b[0m" if self.coloured else text


def quoted(text: str) -> str:
    """Return a text with all that could steer a terminal written out as Python writes it.

    That is every control character, line breaks and tabs too, and every
    invisible one that changes how others are shown, such as those that turn
    the direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escaped(character) for character in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def as_block(message: str | bytes, style: Style) -> str:
    """Return a message for a terminal: marked, its further lines indented, abbreviated if it is long."""
    mark = style.paint("received", "<")
    if isinstance(message, bytes):
        return "\n".join([f"{mark} {_bytes(len(message))}", *_dump(message)])
    lines = message[:_LONGEST_TEXT].replace("\r\n", "\n").split("\n")
    shown = f"{mark} " + "\n  ".join(map(quoted, lines))
    left = len(message) - _LONGEST_TEXT
    return shown if left <= 0 else shown + "\n  " + style.paint("note", f"... {left:,} characters more")


def as_line(message: str | bytes) -> str:
    """Return a message for a pipe: one line; a text is whole, bytes are abbreviated."""
    if isinstance(message, str):
        return quoted(message)
    rest = " ..." if len(message) > _LONGEST_LINE_OF_BYTES else ""
    return f"({_bytes(len(message))}) {message[:_LONGEST_LINE_OF_BYTES].hex(' ')}{rest}".rstrip()


def as_they_came(messages: list[str | bytes]) -> bytes:
    """Return messages for a program: texts in UTF-8, each ended by a line break; bytes as they are."""
    return b"".join(m if isinstance(m, bytes) else m.encode() + b"\n" for m in messages)


def _bytes(count: int) -> str:
    return f"{count:,} byte{'' if count == 1 else 's'}"


def _dump(data: bytes) -> list[str]:
    lines = []
    for offset in range(0, min(len(data), _LONGEST_DUMP), _DUMP_WIDTH):
        row = data[offset : offset + _DUMP_WIDTH]
        letters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"  {offset:04x}  {row.hex(' '):{3 * _DUMP_WIDTH}} {letters}")
    if len(data) > _LONGEST_DUMP:
        lines.append(f"  ... {_bytes(len(data) - _LONGEST_DUMP)} more")
    return lines
