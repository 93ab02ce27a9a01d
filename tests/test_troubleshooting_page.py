"""docs/troubleshooting.md leaves out no close code and no HTTP status."""

from __future__ import annotations

import builtins
import re
import ssl

from snippets import ROOT

import fastframe
from fastframe import CloseCode

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SOURCES = {path.name: path.read_text("utf-8") for path in (ROOT / "src" / "fastframe").rglob("*.py")}


def first_column(heading: str) -> list[str]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (?!-|code|status|error)(.+?) \|", section, re.MULTILINE)


def test_every_close_code_has_its_line() -> None:
    codes = [int(cell) for cell in first_column("By close code") if cell.isdigit()]
    assert codes == sorted(CloseCode)


def test_codes_that_we_never_send_are_called_so() -> None:
    source = "".join(SOURCES.values())
    for code in (CloseCode.MANDATORY_EXTENSION, CloseCode.BAD_GATEWAY):
        assert source.count(f"CloseCode.{code.name}") == 0
        (line,) = re.findall(rf"^\| {code:d} \|.*$", PAGE, re.MULTILINE)
        assert "we never send it" in line
    assert PAGE.count("we never send it") == 2


def sent_statuses() -> set[int]:
    """The statuses that a server of ours answers with by itself."""
    found = set()
    for name in ("_handshake_server.py", "_http_head.py", "_http_request.py", "server.py"):
        source = SOURCES[name]
        found |= {int(number) for number in re.findall(r"(?:, |\()([45]\d\d)(?=[,)])", source)}
    return found | {400}  # the default of InvalidRequest


def test_every_status_has_its_line() -> None:
    listed = {int(number) for cell in first_column("By HTTP status") for number in cell.split(", ")}
    assert sent_statuses() >= {400, 403, 405, 408, 414, 426, 431, 500}
    assert sent_statuses() <= listed


def test_an_idle_connection_takes_what_was_measured() -> None:
    measured = (ROOT / "docs" / "benchmarks" / "servers.md").read_text("utf-8")
    table = measured.partition("\n### Bytes a connection\n")[2].partition("\n### ")[0]
    ours = re.findall(r"^\| \**fastframe[^|]*\| \**([\d,]+) ", table, re.MULTILINE)
    kibibytes = [round(int(figure.replace(",", "")) / 1024) for figure in ours]
    assert len(kibibytes) >= 4
    assert f"An idle connection takes {min(kibibytes)} to {max(kibibytes)} KiB" in PAGE


def test_errors_exist() -> None:
    names = re.findall(r"`([\w.]+)", " ".join(first_column("Errors without a status")))
    assert len(names) > 6
    for name in names:
        if name.startswith("FASTFRAME"):
            continue
        place, _, short = name.rpartition(".")
        assert hasattr(ssl if place else fastframe, short) or hasattr(builtins, short), name
