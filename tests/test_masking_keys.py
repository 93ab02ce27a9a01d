"""Masking keys: unpredictable and each used once, across threads and forks too."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from fastframe import Role, masking_keys

DRAWN = 20
KEYS_PER_REFILL = masking_keys._BLOCKS_PER_REFILL * masking_keys.BLOCK_SIZE // 4


def keys_of_frames(codec: ModuleType, count: int) -> list[bytes]:
    """The keys that one client encoder puts into `count` frames."""
    encoder = codec.FrameEncoder(Role.CLIENT)
    for _ in range(count):
        encoder.append(1)
    wire = encoder.take()
    assert len(wire) == 6 * count
    return [wire[i + 2 : i + 6] for i in range(0, len(wire), 6)]


@pytest.fixture
def counted_randomness(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OS randomness that never gives the same four bytes twice, so that a repeated key is a reused one."""
    lock = threading.Lock()
    given = 0

    def urandom(size: int) -> bytes:
        nonlocal given
        with lock:
            first, given = given, given + (size + 3) // 4
        return b"".join(value.to_bytes(4, "little") for value in range(first, given))[:size]

    monkeypatch.setattr(os, "urandom", urandom)
    masking_keys._blocks.clear()
    yield
    masking_keys._blocks.clear()


def test_new_masking_key_is_four_bytes_and_different_each_time() -> None:
    keys = [masking_keys.new_masking_key() for _ in range(DRAWN)]
    assert {len(key) for key in keys} == {4}
    assert len(set(keys)) == DRAWN


def test_keys_come_from_the_operating_system_alone(codec: ModuleType, counted_randomness: None) -> None:
    drawn = {int.from_bytes(key, "little") for key in keys_of_frames(codec, 3000)}
    assert len(drawn) == 3000
    # Nothing but what `counted_randomness` gave, a few refills ahead at most.
    assert max(drawn) < 3000 + 2 * KEYS_PER_REFILL


def test_keys_are_not_reused_between_encoders_and_callers(
    codec: ModuleType, counted_randomness: None
) -> None:
    drawn = [masking_keys.new_masking_key() for _ in range(300)]
    for _ in range(20):
        drawn += keys_of_frames(codec, 33)
        drawn.append(masking_keys.new_masking_key())
    assert len(set(drawn)) == len(drawn)


def test_every_bit_of_the_keys_varies(codec: ModuleType) -> None:
    keys = [int.from_bytes(key, "big") for key in keys_of_frames(codec, 2000)]
    for bit in range(32):
        # 1000 expected, 22 the standard deviation: ten of them happen to nobody.
        assert 780 < sum(key >> bit & 1 for key in keys) < 1220


def test_seeding_the_random_module_fixes_nothing(codec: ModuleType) -> None:
    draws = []
    for _ in range(2):
        random.seed(1)
        draws.append(keys_of_frames(codec, DRAWN))
    assert not set(draws[0]) & set(draws[1])


def test_two_processes_draw_different_keys(codec: ModuleType) -> None:
    script = (
        f"import {codec.__name__} as codec; from fastframe import Role\n"
        "encoder = codec.FrameEncoder(Role.CLIENT)\n"
        f"for _ in range({DRAWN}): encoder.append(1)\n"
        "print(encoder.take().hex())"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(outputs) == 2
    first, second = ({line[i + 4 : i + 12] for i in range(0, 12 * DRAWN, 12)} for line in outputs)
    assert not first & second


def drawn_in_child(draw: Callable[[], list[bytes]]) -> list[bytes]:
    """What `draw` returns in a forked child."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"".join(draw()))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert len(data) == 4 * DRAWN
    return [data[i : i + 4] for i in range(0, len(data), 4)]


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


@needs_fork
def test_forked_children_share_no_key_with_their_parent() -> None:
    def draw() -> list[bytes]:
        return [masking_keys.new_masking_key() for _ in range(DRAWN)]

    draw()
    first, second, parent = drawn_in_child(draw), drawn_in_child(draw), draw()
    assert len({*first, *second, *parent}) == 3 * DRAWN


@needs_fork
def test_encoders_in_forked_children_share_no_key(codec: ModuleType) -> None:
    encoder = codec.FrameEncoder(Role.CLIENT)

    def draw() -> list[bytes]:
        for _ in range(DRAWN):
            encoder.append(1)
        wire = encoder.take()
        return [wire[i + 2 : i + 6] for i in range(0, len(wire), 6)]

    draw()
    first, second, parent = drawn_in_child(draw), drawn_in_child(draw), draw()
    assert len({*first, *second, *parent}) == 3 * DRAWN


def in_threads(draw: Callable[[], list[bytes]]) -> list[bytes]:
    """What eight threads draw at the same time."""
    drawn: list[list[bytes]] = []
    start = threading.Barrier(8)

    def run() -> None:
        start.wait()
        drawn.append(draw())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len(drawn) == 8
    return [key for keys in drawn for key in keys]


def test_threads_never_draw_the_same_key(counted_randomness: None) -> None:
    keys = in_threads(lambda: [masking_keys.new_masking_key() for _ in range(3000)])
    assert len(set(keys)) == len(keys) == 24_000


def test_encoders_in_threads_never_use_the_same_key(codec: ModuleType, counted_randomness: None) -> None:
    keys = in_threads(lambda: keys_of_frames(codec, 3000))
    assert len(set(keys)) == len(keys) == 24_000


def test_blocks_are_whole_and_each_handed_out_once(counted_randomness: None) -> None:
    blocks = in_threads(lambda: [masking_keys.take_block() for _ in range(200)])
    assert {len(block) for block in blocks} == {masking_keys.BLOCK_SIZE}
    assert len(set(blocks)) == len(blocks) == 1600


@needs_fork
def test_fork_changes_the_generation_in_the_child_alone() -> None:
    before = bytes(masking_keys.generation)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, masking_keys.generation + bytes([len(masking_keys._blocks)]))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        generation_and_blocks = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    assert generation_and_blocks[:8] != before
    assert generation_and_blocks[8:] == b"\0"
    assert masking_keys.generation == before
