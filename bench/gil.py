"""What a mask of a large buffer means to other threads: ``python -m bench.gil``.

From `GIL_FREE_SIZE` bytes on (1 MiB) the compiled half masks without the GIL.
Each size is masked alone, by two threads at once, and beside a thread that is
busy in Python code. Without the GIL two threads mask side by side; but to take
it back from a busy thread costs up to that thread's whole switch interval
(5 ms), which short work would not be worth.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fastframe import apply_mask_inplace

SECONDS = 0.4
SIZES = (64 * 1024, 256 * 1024, 1024 * 1024 - 1, 1024 * 1024, 4 * 1024 * 1024, 16 * 1024 * 1024)


def masks(size: int, stop: threading.Event) -> int:
    """How often a buffer of `size` bytes is masked until `stop`."""
    buffer = bytearray(size)
    count = 0
    while not stop.is_set():
        apply_mask_inplace(buffer, b"mask")
        count += 1
    return count


def turns(stop: threading.Event) -> int:
    """How often a loop in Python turns until `stop`."""
    count = 0
    while not stop.is_set():
        count += 1
    return count


def side_by_side(*workers: Callable[[threading.Event], int]) -> list[float]:
    """Run the workers in threads of their own; what each did in a second."""
    stop = threading.Event()
    done = [0] * len(workers)

    def run(index: int) -> None:
        done[index] = workers[index](stop)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(workers))]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - start
    return [count / elapsed for count in done]


def main() -> None:
    """Print the table."""
    (idle_turns,) = side_by_side(turns)
    print("     bytes     GB/s alone      GB/s of two   beside Python   Python beside it")
    for size in SIZES:

        def mask(stop: threading.Event, size: int = size) -> int:
            return masks(size, stop)

        (alone,) = side_by_side(mask)
        two = sum(side_by_side(mask, mask))
        beside, busy = side_by_side(mask, turns)
        speeds = "   ".join(f"{rate * size / 1e9:12.1f}" for rate in (alone, two, beside))
        print(f"{size:10,}   {speeds}   {busy / idle_turns:12.0%}")


if __name__ == "__main__":
    main()
