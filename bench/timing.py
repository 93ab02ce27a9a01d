"""How a time is taken: compiled loops, interleaved rounds, one pinned processor.

Every contestant's statement is compiled into a loop of its own, as timeit
does: no call, no closure and no attribute look-up is added to what is
measured, and what the loop itself costs (`EMPTY_LOOP` shows it) is in every
figure alike and subtracted from none. A code object of its own matters since
CPython 3.11 specialises call sites: a shared one would see every contestant's
types and serve none.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

COUNTS_PROCESSOR_TIME = time.get_clock_info("thread_time").resolution < 1e-6
"""Whether times are of the processor and not of the wall: what other programs take is then in none of them.

The two agree on an idle machine; where the processor's clock is too coarse (Windows), the wall's is used.
"""

_clock = time.thread_time if COUNTS_PROCESSOR_TIME else time.perf_counter

_LOOP = """
def loop(_iterations, _repeat, _clock{parameters}):
    _passes = _repeat(None, _iterations)
    _start = _clock()
    for _pass in _passes:
{body}
    return _clock() - _start
"""

_CALL = """
def call({parameters}):
{body}
"""


Item = TypeVar("Item")


class Runner(Protocol):
    """Something that can be timed and whose result can be looked at."""

    def seconds(self, iterations: int) -> float:
        """Do it `iterations` times and return the seconds that took."""

    def result(self) -> object:
        """Do it once and return what came out."""


@dataclass(frozen=True)
class Snippet:
    """A statement to time, as source text and the names in it.

    Attributes:
        expression: what is evaluated; its value is what is checked.
        names: the values of the names in the text; they are locals of the loop.
        before: statements that run, and are timed, before the expression.
        normalise: brings the value into the form that the case expects; not timed.
    """

    expression: str
    names: Mapping[str, Any]
    before: str = ""
    normalise: Callable[[Any], object] = field(default=lambda value: value)

    def call(self) -> Callable[[], Any]:
        """Compile the statement into a function without arguments."""
        text = f"{self.before}\nreturn {self.expression}"
        defaults = ", ".join(f"{name}={name}" for name in self.names)
        return self._compile(_CALL.format(parameters=defaults, body=textwrap.indent(text, " " * 4)), "call")

    def loop(self) -> Callable[[int], float]:
        """Compile the statement into a loop that returns the seconds it took."""
        text = f"{self.before}\n{self.expression}"
        parameters = "".join(f", {name}" for name in self.names)
        source = _LOOP.format(parameters=parameters, body=textwrap.indent(text, " " * 8))
        loop = self._compile(source, "loop")
        values = tuple(self.names.values())

        def seconds(iterations: int) -> float:
            elapsed: float = loop(iterations, itertools.repeat, _clock, *values)
            return elapsed

        return seconds

    def runner(self) -> Runner:
        return _SnippetRunner(self)

    def _compile(self, source: str, function: str) -> Callable[..., Any]:
        namespace = dict(self.names)
        exec(compile(source, f"<bench: {self.expression}>", "exec"), namespace)
        compiled: Callable[..., Any] = namespace[function]
        return compiled


class _SnippetRunner:
    def __init__(self, snippet: Snippet) -> None:
        self._snippet = snippet
        self._loop = snippet.loop()

    def seconds(self, iterations: int) -> float:
        return self._loop(iterations)

    def result(self) -> object:
        return self._snippet.normalise(self._snippet.call()())


EMPTY_LOOP = Snippet("None", {})


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        rounds: samples taken of each contestant.
        sample_time: seconds that one sample should last at least.
    """

    rounds: int
    sample_time: float


@dataclass(frozen=True)
class Samples:
    """The samples of one contestant in one case.

    Attributes:
        nanoseconds: per unit of work, one for each round.
        iterations: how often the statement ran in each sample.
    """

    nanoseconds: tuple[float, ...]
    iterations: int

    @property
    def median(self) -> float:
        """Nanoseconds per unit."""
        return statistics.median(self.nanoseconds)

    @property
    def spread(self) -> float:
        """The interquartile range, in nanoseconds per unit."""
        if len(self.nanoseconds) < 2:
            return 0.0
        first, _, third = statistics.quantiles(self.nanoseconds, n=4, method="inclusive")
        return third - first


def calibrate(runner: Runner, sample_time: float) -> int:
    """Return how many iterations last `sample_time` seconds, warming up on the way."""
    iterations = 1
    while True:
        elapsed = runner.seconds(iterations)
        if elapsed >= sample_time / 2:
            return max(1, round(iterations * sample_time / elapsed))
        # A first pass is slower than the rest (cold caches, unspecialised
        # bytecode), so its time is trusted to double the count and no more.
        iterations *= 2


def round_order(names: Sequence[Item], number: int) -> list[Item]:
    """The order of a round: each starts with another one, and every other round goes backwards.

    So no one always follows the same neighbour.
    """
    start = number % len(names) if names else 0
    order = [*names[start:], *names[:start]]
    return order if number % 2 == 0 else order[::-1]


def interleave(runners: Mapping[str, Runner], units: int, plan: Plan) -> dict[str, Samples]:
    """Time all contestants of a case in rounds.

    An untimed iteration before each sample brings the caches to where the
    contestant's own work leaves them.

    Args:
        runners: by name.
        units: units of work (frames, say) in one iteration.
        plan: how long.
    """
    iterations = {name: calibrate(runner, plan.sample_time) for name, runner in runners.items()}
    samples: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    for number in range(plan.rounds):
        for name in round_order(names, number):
            runners[name].seconds(1)
            elapsed = runners[name].seconds(iterations[name])
            samples[name].append(elapsed * 1e9 / iterations[name] / units)
    return {name: Samples(tuple(samples[name]), iterations[name]) for name in names}


def settle_allocator() -> None:
    """Bring malloc into the state of a process that has freed large messages before.

    glibc gives a large block back to the system, page by page to be faulted in
    again, until a block of that size has been freed once; then it keeps such
    blocks. Which contestant pays for pages would hang on the order of the
    cases. 32 MiB is the most that glibc adapts to; elsewhere this does nothing.
    """
    block = bytearray(31 << 20)
    del block


@contextlib.contextmanager
def quiet_processor(cpu: int | None = None) -> Iterator[int | None]:
    """Pin this process, and those it starts, to one processor; no garbage collection, a settled allocator.

    Args:
        cpu: its number; the last one allowed if None, because the first is
            the one that serves most interrupts.

    Yields:
        The processor's number, or None where the system cannot pin.
    """
    collecting = gc.isenabled()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    chosen = max(allowed) if allowed and cpu is None else cpu
    gc.collect()
    gc.disable()
    settle_allocator()
    try:
        if allowed is not None and chosen is not None:
            os.sched_setaffinity(0, {chosen})
        yield chosen if allowed is not None else None
    finally:
        if allowed is not None:
            os.sched_setaffinity(0, allowed)
        if collecting:
            gc.enable()
