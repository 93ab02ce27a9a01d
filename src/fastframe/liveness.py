"""Whether the peer is still there (RFC 6455 section 5.5.2), sans I/O: the caller brings the time.

A ping goes out every `ping_interval` seconds. From the moment that it has left
for the network the peer has `ping_timeout` seconds to be heard of: any byte
counts, not only the pong. So does any byte of ours that it takes while the
network is full, as only a peer that takes what came before makes room for it;
the ping has to wait behind all that, and the pong with it. A process that could
not look is no proof that the peer was silent, so a late check grants the time
again.
"""

from __future__ import annotations

__all__ = ["Liveness"]

_LATE = 1.0
"""Seconds by which a check may be late before the process itself is blamed."""

_CLOCK = 0.002
"""Seconds that a clock may round by, as uvloop's does: a ping is not put off to the next look for that."""


class Liveness:
    """The keepalive of one connection.

    Args:
        ping_interval: seconds from one ping to the next.
        ping_timeout: seconds without a byte, heard or taken, once a ping has
            left, after which the peer is given up; None for never.
        now: the time, in seconds of a clock that never goes back.

    Attributes:
        heard: to be set whenever a byte comes in.
        deadline: the time at which `check` is to be called.
        latency: seconds from the last ping that was answered to its pong.
    """

    __slots__ = (
        "_asked_at",
        "_counter",
        "_interval",
        "_left_at",
        "_payload",
        "_pinged_at",
        "_timeout",
        "deadline",
        "heard",
        "latency",
        "silent_since",
    )

    def __init__(self, ping_interval: float, ping_timeout: float | None, now: float) -> None:
        self._interval = ping_interval
        self._timeout = ping_timeout
        self._counter = 0
        self._payload = b""
        self._pinged_at = now
        # The first ping since the peer was last heard of, and when it had left.
        self._asked_at: float | None = None
        self._left_at: float | None = None
        self.heard = False
        self.silent_since = now
        self.latency = 0.0
        self.deadline = now + ping_interval

    def check(self, now: float, unsent: int, has_taken: bool = False) -> str | bytes | None:
        """Look whether it is time for something.

        Args:
            now: the time.
            unsent: bytes of ours that have not left for the network.
            has_taken: whether bytes waited for the network at the last look,
                and it has taken some since. What it takes while it has room
                proves nothing: that of a peer that is gone takes it too.

        Returns:
            bytes: send a ping with this payload. str: give the peer up, for
            this reason. None: nothing. `deadline` tells when to call again.
        """
        late = now - self.deadline
        if self.heard or late > _LATE:
            self.heard = False
            self.silent_since = now
            self._asked_at = self._left_at = None
        elif has_taken:
            self._asked_at = self._left_at = None
        elif self._asked_at is not None and self._timeout is not None:
            verdict = self._judge(now, unsent)
            if verdict is not None:
                return verdict
        if now - self._pinged_at < self._interval - _CLOCK:
            self._wait(now)
            return None
        self._counter += 1
        self._payload = self._counter.to_bytes(4, "big")
        self._pinged_at = now
        if self._asked_at is None:
            self._asked_at = now
        self._wait(now)
        return self._payload

    def answered(self, payload: bytes, now: float) -> None:
        """Note a pong."""
        if payload and payload == self._payload:
            self.latency = now - self._pinged_at
            self._payload = b""

    def _judge(self, now: float, unsent: int) -> str | None:
        timeout, asked_at = self._timeout, self._asked_at
        assert timeout is not None, "checked by the caller"
        assert asked_at is not None, "checked by the caller"
        if self._left_at is None:
            if unsent == 0:
                self._left_at = now
            elif now - asked_at >= timeout:
                return f"the peer took nothing for {now - asked_at:.0f} s: {unsent} bytes unsent"
        elif now - self._left_at >= timeout:
            silence = now - self.silent_since
            return f"the peer was silent for {silence:.0f} s, and no pong came within {timeout:g} s"
        return None

    @property
    def step(self) -> float:
        """Seconds from one look to the next."""
        return self._interval if self._timeout is None else min(self._interval, self._timeout / 2)

    def _wait(self, now: float) -> None:
        self.deadline = now + self.step
