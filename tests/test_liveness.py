"""Keepalive: who is given up, when, and why; time is whatever the test says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fastframe.liveness import Liveness

START = 500.0
INTERVALS = [(20, 20), (20, 5), (5, 20), (1, 1), (10, 9.5), (0.5, 30)]


class Drive:
    """Calls `check` at its deadlines, as an event loop does."""

    def __init__(self, interval: float, timeout: float | None) -> None:
        self.liveness = Liveness(interval, timeout, START)
        self.now = 0.0
        self.pings: list[tuple[float, bytes]] = []

    def until(
        self,
        end: float,
        *,
        unsent: Callable[[float], int] = lambda _: 0,
        answer: bool = False,
        heard: bool = False,
        has_taken: bool = False,
    ) -> str | None:
        """Go on until the peer is given up; None if it is not before `end`, in seconds."""
        while self.liveness.deadline - START <= end:
            self.now = self.liveness.deadline - START
            self.liveness.heard = self.liveness.heard or heard
            verdict = self.liveness.check(self.liveness.deadline, unsent(self.now), has_taken)
            if isinstance(verdict, str):
                return verdict
            if verdict is not None:
                self.pings.append((self.now, verdict))
                if answer:
                    self.liveness.heard = True
                    self.liveness.answered(verdict, self.now + START + 0.25)
            assert self.liveness.deadline - START > self.now, "time must go on"
        return None


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_first_ping_leaves_after_the_interval(interval: float, timeout: float) -> None:
    drive = Drive(interval, timeout)
    drive.until(interval * 1.01)
    assert len(drive.pings) == 1
    assert drive.pings[0][0] == pytest.approx(interval)


@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (0.5, 0.5)])
def test_clock_of_whole_milliseconds_puts_no_ping_off(interval: float, timeout: float) -> None:
    liveness = Liveness(interval, timeout, START)
    # Half of the interval twice, each time rounded down.
    liveness.check(START + interval / 2 - 0.0005, 0)
    assert liveness.check(START + interval - 0.001, 0) is not None


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_answering_peer_is_pinged_every_interval_and_kept(interval: float, timeout: float) -> None:
    drive = Drive(interval, timeout)
    assert drive.until(interval * 10.5, answer=True) is None
    gaps = [after[0] - before[0] for before, after in zip(drive.pings, drive.pings[1:], strict=False)]
    assert len(gaps) >= 5
    # A check may come a little before a ping is due, and the next one after it.
    assert all(interval * 0.99 <= gap < interval + min(interval, timeout / 2) + 0.01 for gap in gaps)


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_silent_peer_is_given_up_once_the_timeout_is_over(interval: float, timeout: float) -> None:
    drive = Drive(interval, timeout)
    verdict = drive.until(interval + 3 * timeout + interval)
    assert verdict is not None, f"still waiting after {drive.now} s and {len(drive.pings)} pings"
    assert interval + timeout <= drive.now + 0.01
    assert drive.now <= interval + 2 * timeout + 0.01


def test_verdict_on_a_silent_peer_says_for_how_long() -> None:
    drive = Drive(10, 4)
    verdict = drive.until(100)
    assert verdict is not None
    assert f"silent for {drive.now:.0f} s" in verdict
    assert "4 s" in verdict


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_any_byte_keeps_a_peer_that_sends_no_pong(interval: float, timeout: float) -> None:
    drive = Drive(interval, timeout)
    assert drive.until(20 * (interval + timeout), heard=True) is None


def test_peer_that_falls_silent_later_is_given_up() -> None:
    drive = Drive(20, 10)
    assert drive.until(200, heard=True) is None
    verdict = drive.until(300)
    assert verdict is not None
    assert 200 + 10 <= drive.now <= 200 + 20 + 2 * 10


def test_pong_timer_starts_when_the_ping_has_left() -> None:
    drive = Drive(20, 20)
    left = 35.0
    verdict = drive.until(200, unsent=lambda now: 4096 if 20 <= now < left else 0)
    assert verdict is not None
    assert "silent" in verdict
    assert drive.now >= left + 20


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_full_send_buffer_is_named_as_the_reason(interval: float, timeout: float) -> None:
    drive = Drive(interval, timeout)
    verdict = drive.until(interval * 3 + timeout * 4, unsent=lambda _: 70_000)
    assert verdict is not None, f"still waiting after {drive.now} s and {len(drive.pings)} pings"
    assert "70000 bytes" in verdict
    assert "silent" not in verdict
    assert drive.now >= interval + timeout - 0.01


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
def test_blocked_process_does_not_blame_the_peer(interval: float, timeout: float) -> None:
    liveness = Liveness(interval, timeout, START)
    now = liveness.deadline
    assert isinstance(liveness.check(now, 0), bytes)
    for _ in range(20):
        # Nothing was looked at for longer than a ping may take to be answered.
        now = liveness.deadline + timeout + interval + 2
        assert not isinstance(liveness.check(now, 0), str)


def test_peer_that_stays_silent_after_a_blocked_process_is_given_up() -> None:
    drive = Drive(20, 6)
    drive.until(20)
    drive.liveness.check(START + 100, 0)
    verdict = drive.until(200)
    assert verdict is not None
    assert 100 + 6 <= drive.now <= 100 + 20 + 2 * 6


def test_without_timeout_nobody_is_given_up() -> None:
    drive = Drive(20, None)
    assert drive.until(2000, unsent=lambda now: int(now) % 3) is None
    assert len(drive.pings) == 100


def test_pings_differ_from_each_other() -> None:
    drive = Drive(1, None)
    drive.until(50)
    payloads = [payload for _, payload in drive.pings]
    assert len(set(payloads)) == len(payloads) == 50
    assert all(0 < len(payload) <= 125 for payload in payloads)


def test_latency_is_the_time_from_ping_to_pong() -> None:
    drive = Drive(20, 20)
    assert drive.liveness.latency == 0
    drive.until(20, answer=True)
    assert drive.liveness.latency == pytest.approx(0.25)


@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\0\0\2", b"somebody else's"])
def test_pong_that_answers_nothing_is_no_measurement(payload: bytes) -> None:
    drive = Drive(20, 20)
    drive.until(20)
    drive.liveness.answered(payload, START + 20.5)
    assert drive.liveness.latency == 0
    drive.liveness.answered(drive.pings[0][1], START + 21)
    assert drive.liveness.latency == pytest.approx(1)


def test_second_pong_to_one_ping_is_no_measurement() -> None:
    drive = Drive(20, 20)
    drive.until(20, answer=True)
    drive.liveness.answered(drive.pings[0][1], START + 30)
    assert drive.liveness.latency == pytest.approx(0.25)


@pytest.mark.parametrize(("interval", "timeout"), INTERVALS)
@pytest.mark.parametrize("unsent", [70_000, 0])
def test_peer_that_takes_what_waits_is_kept(interval: float, timeout: float, unsent: int) -> None:
    """Whatever the application adds meanwhile, and though a pong is late behind all that."""
    drive = Drive(interval, timeout)
    assert drive.until(20 * (interval + timeout), unsent=lambda _: unsent, has_taken=True) is None
    start = drive.now
    verdict = drive.until(start + 2 * interval + 3 * timeout, unsent=lambda _: unsent)
    assert verdict is not None, "it takes nothing any more, and is not given up"
    assert ("silent" in verdict) == (not unsent)
    assert drive.now - start >= timeout


def test_verdict_on_a_peer_that_takes_nothing_any_more_says_for_how_long() -> None:
    drive = Drive(10, 4)
    assert drive.until(100, unsent=lambda _: 5, has_taken=True) is None
    verdict = drive.until(200, unsent=lambda _: 5)
    assert verdict == "the peer took nothing for 4 s: 5 bytes unsent"
    assert drive.now == 104


def test_peer_that_took_much_has_been_silent_since_it_was_heard() -> None:
    drive = Drive(10, 4)
    assert drive.until(50, heard=True) is None
    assert drive.until(100, has_taken=True) is None
    verdict = drive.until(200)
    assert verdict is not None
    assert f"silent for {drive.now - 50:.0f} s" in verdict
