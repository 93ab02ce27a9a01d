"""Several threads at once, each with its own objects, all with the same functions, keys and read-only data.

Without the GIL (`make portability PORTABILITY=free-threaded`) they really run at once.
"""

from __future__ import annotations

import sys
import sysconfig
import threading
import zlib
from collections.abc import Callable
from types import ModuleType

import pytest
from wire import data_frame, xor

from fastframe import Role, masking_keys

THREADS = 4
ROUNDS = 60
TEXT = "ascii, then aä你🌍 " * 400
PAYLOAD = bytes(index * 167 % 256 for index in range(5000))
KEY = bytes.fromhex("37fa213d")


def at_once(work: Callable[[int], None]) -> None:
    """Run `work` with each thread's number; the first failure of any is raised."""
    start = threading.Barrier(THREADS)
    failures: list[BaseException] = []

    def begin(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter has a GIL")
def test_the_gil_stays_off(codec: ModuleType) -> None:
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined,unused-ignore]


def test_functions_share_what_they_only_read(codec: ModuleType) -> None:
    expected = xor(PAYLOAD, KEY)
    data = TEXT.encode()

    def work(number: int) -> None:
        for _ in range(ROUNDS):
            assert codec.apply_mask(PAYLOAD, KEY) == expected
            assert codec.is_valid_utf8(data)
            assert codec.encode_frame(2, PAYLOAD)[-len(PAYLOAD) :] == PAYLOAD

    at_once(work)


def test_each_thread_masks_its_own_part_of_one_buffer(codec: ModuleType) -> None:
    # Worth giving up the GIL for in the compiled half, and with borders that are aligned in nothing.
    part = (1 << 20) + 7 if codec.__name__.endswith("_c") else 10_007
    buffer = bytearray((bytes(range(256)) * (part * THREADS // 256 + 1))[: part * THREADS])
    expected = xor(bytes(buffer), KEY)

    def work(number: int) -> None:
        with memoryview(buffer)[number * part : (number + 1) * part] as own:
            for _ in range(5):
                codec.apply_mask_inplace(own, KEY, number * part % 4)

    at_once(work)
    assert buffer == expected


def test_each_thread_has_its_own_decoders_and_encoders(codec: ModuleType) -> None:
    def work(number: int) -> None:
        decoder, encoder = codec.MessageDecoder(Role.SERVER), codec.FrameEncoder(Role.CLIENT)
        for round_ in range(ROUNDS):
            sent = [f"{number} {round_} {TEXT}", PAYLOAD[: 37 * round_], "x" * round_]
            for message in sent:
                encoder.append_message(message)
            wire = bytes(encoder.take())
            cut = len(wire) * (number + 1) // (THREADS + 1)
            assert [*decoder.receive(wire[:cut]), *decoder.receive(wire[cut:])] == sent

    at_once(work)


def test_no_two_threads_draw_the_same_block_of_keys() -> None:
    drawn: list[list[bytes]] = [[] for _ in range(THREADS)]

    def work(number: int) -> None:
        for _ in range(500):
            drawn[number].append(masking_keys.take_block())

    at_once(work)
    blocks = [block for own in drawn for block in own]
    assert len(set(blocks)) == len(blocks) == 500 * THREADS


def test_threads_inflate_at_once(codec: ModuleType) -> None:
    def work(number: int) -> None:
        text = f"{number} {TEXT}"
        compressor = zlib.compressobj(wbits=-15)
        inflater = zlib.decompressobj(wbits=-15)
        decoder = codec.MessageDecoder(
            Role.CLIENT,
            inflate=lambda payload, limit: inflater.decompress(payload + b"\x00\x00\xff\xff", limit or 0),
        )
        for _ in range(ROUNDS):
            payload = (compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
            assert decoder.receive(data_frame(Role.CLIENT, 1, payload, rsv=4)) == [text]

    at_once(work)
