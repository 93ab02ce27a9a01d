"""The tour: what it prints, and that it finds what is wrong."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

import fastframe
from fastframe import tour


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastframe", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )


def test_tour_passes_and_prints_plain_text() -> None:
    finished = command("tour")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stderr == ""
    assert finished.stdout.splitlines()[-1].endswith(" checks passed, 0 failed")
    assert f"the {fastframe.BACKEND} codec" in finished.stdout
    assert "\x1b" not in finished.stdout


def test_bench_prints_speeds_alone_and_where_the_others_are() -> None:
    finished = command("bench")
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    assert [line.split()[0] for line in lines if "x  " in line] == [f"{size:,}" for size in tour.SIZES]
    assert "make bench" in finished.stdout and "ok" not in finished.stdout
    assert "\x1b" not in finished.stdout


def test_tour_is_repeatable() -> None:
    def stream_lines() -> list[str]:
        out = io.StringIO()
        report = tour.Report(out)
        tour.show_cuts(report, seed=7)
        assert report.passed == 4, out.getvalue()
        return out.getvalue().splitlines()

    assert stream_lines() == stream_lines()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_only_where_it_is_welcome(
    no_color: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    tour.show_utf8(tour.Report(out))
    assert ("\x1b" in out.getvalue()) is coloured


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("apply_mask", lambda data, mask: bytes(data)),
        ("is_valid_utf8", lambda data: True),
        ("encode_header", lambda *arguments: b""),
    ],
)
def test_tour_finds_a_codec_that_is_wrong(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastframe, name, wrong)
    monkeypatch.setattr(tour, "SIZES", (1,))
    out = io.StringIO()
    assert tour.run(seed=1, out=out) == 1
    assert "FAILED" in out.getvalue()


def test_tour_finds_a_hostile_frame_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gullible:
        def __init__(self, role: fastframe.Role) -> None:
            pass

        def receive(self, data: bytes) -> list[object]:
            return []

    monkeypatch.setattr(fastframe, "MessageDecoder", Gullible)
    report = tour.Report(io.StringIO())
    tour.show_hostile_frames(report)
    assert (report.passed, report.failed) == (0, len(tour.HOSTILE_FRAMES))
