from __future__ import annotations

import contextlib
import ctypes
import mmap
from array import array
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

KEY = bytes.fromhex("37fa003d")
NOISE = bytes((i * 167 + i // 7) & 0xFF for i in range(512))


def reference(data: bytes, key: bytes, offset: int = 0) -> bytes:
    return bytes(byte ^ key[(offset + i) % 4] for i, byte in enumerate(data))


@pytest.mark.parametrize("offset", range(64))
def test_apply_mask_matches_the_reference_at_every_alignment(codec: ModuleType, offset: int) -> None:
    view = memoryview(NOISE)[offset:]
    masked = reference(view[:300].tobytes(), KEY)
    for size in range(301):
        assert codec.apply_mask(view[:size], KEY) == masked[:size]


@pytest.mark.parametrize("offset", range(64))
def test_apply_mask_inplace_matches_the_reference_and_touches_nothing_else(
    codec: ModuleType, offset: int
) -> None:
    for size in range(301):
        memory = bytearray(NOISE)
        with memoryview(memory)[offset : offset + size] as view:
            assert codec.apply_mask_inplace(view, KEY, offset) is None
        assert memory[:offset] == NOISE[:offset]
        assert memory[offset : offset + size] == reference(NOISE[offset : offset + size], KEY, offset)
        assert memory[offset + size :] == NOISE[offset + size :]


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 7, 8, 15, 16, 31, 33, 63, 65, 129])
def test_masker_goes_on_where_it_stopped(codec: ModuleType, chunk: int) -> None:
    masker = codec.Masker(KEY)
    assert masker.offset == 0
    masked = b""
    for start in range(0, len(NOISE), chunk):
        piece = masker.process(NOISE[start : start + chunk])
        assert type(piece) is bytes
        masked += piece
        assert masker.process(b"") == b""
        assert masker.offset == len(masked)
    assert masked == reference(NOISE, KEY)


@pytest.mark.parametrize("first", range(70))
def test_masker_cut_anywhere_masks_the_rest_in_phase(codec: ModuleType, first: int) -> None:
    masker = codec.Masker(masking_key=KEY)
    assert masker.process(NOISE[:first]) + masker.process(data=NOISE[first:]) == reference(NOISE, KEY)


@pytest.mark.parametrize("key", ["00000000", "ffffffff", "000000ff", "ff000000", "01020304", "80000000"])
def test_masking_uses_the_key_in_wire_order(codec: ModuleType, key: str) -> None:
    assert codec.apply_mask(NOISE, bytes.fromhex(key)) == reference(NOISE, bytes.fromhex(key))


@pytest.mark.parametrize("size", [4095, 65536, 65537, 16 * 1024 * 1024 + 3])
def test_large_data_is_masked_whole(codec: ModuleType, size: int) -> None:
    data = (NOISE * (size // len(NOISE) + 1))[:size]
    key_stream = int.from_bytes((KEY * (size // 4 + 1))[:size], "little")
    expected = (int.from_bytes(data, "little") ^ key_stream).to_bytes(size, "little")
    assert codec.apply_mask(data, KEY) == expected
    in_place = bytearray(data)
    codec.apply_mask_inplace(in_place, KEY)
    assert in_place == expected
    masker = codec.Masker(KEY)
    assert masker.process(data[:4099]) + masker.process(data[4099:]) == expected


@pytest.mark.parametrize("size", [0, 1, 4, 21, 300])
def test_apply_mask_takes_every_bytes_like(
    codec: ModuleType, bytes_like: Callable[[bytes], Any], size: int
) -> None:
    masked = codec.apply_mask(bytes_like(NOISE[:size]), KEY)
    assert masked == reference(NOISE[:size], KEY)
    assert type(masked) is bytes
    assert codec.Masker(KEY).process(bytes_like(NOISE[:size])) == masked
    assert codec.apply_mask(data=NOISE[:size], mask=bytes_like(KEY)) == masked
    assert codec.Masker(bytes_like(KEY)).process(NOISE[:size]) == masked


def test_wide_items_are_masked_by_their_bytes(codec: ModuleType) -> None:
    floats = array("f", [1.5, -2.25, 3e10])
    assert codec.apply_mask(floats, KEY) == reference(floats.tobytes(), KEY)
    assert codec.apply_mask(memoryview(floats)[::-1], KEY) == reference(floats[::-1].tobytes(), KEY)
    assert codec.apply_mask(NOISE, array("f", [1.5])) == reference(NOISE, array("f", [1.5]).tobytes())
    number = ctypes.c_uint32(0x01020304)
    assert codec.apply_mask(number, KEY) == reference(bytes(number), KEY)
    table = memoryview(bytearray(NOISE[:24])).cast("B", (4, 6))
    assert codec.apply_mask(table, KEY) == reference(NOISE[:24], KEY)


def test_apply_mask_of_a_whole_mmap_works(codec: ModuleType) -> None:
    with mmap.mmap(-1, 4096) as memory:
        memory.write(NOISE)
        assert codec.apply_mask(memory, KEY)[: len(NOISE)] == reference(NOISE, KEY)
        codec.apply_mask_inplace(memory, KEY)
        assert memory[: len(NOISE)] == reference(NOISE, KEY)


@pytest.mark.parametrize(
    "make",
    [
        bytearray,
        lambda data: memoryview(bytearray(data)),
        lambda data: array("B", data),
        lambda data: array("f", data),
        lambda data: (ctypes.c_uint16 * (len(data) // 2)).from_buffer_copy(data),
        lambda data: memoryview(bytearray(data)).cast("B", (4, len(data) // 4)),
        lambda data: memoryview(bytearray(data)).cast("I"),
    ],
    ids=["bytearray", "memoryview", "array-B", "array-f", "ctypes", "two-dimensional", "cast-I"],
)
def test_apply_mask_inplace_takes_writable_contiguous_memory(codec: ModuleType, make: Any) -> None:
    buffer = make(NOISE[:48])
    codec.apply_mask_inplace(buffer=buffer, mask=KEY, offset=1)
    assert memoryview(buffer).tobytes() == reference(NOISE[:48], KEY, 1)


@pytest.mark.parametrize(
    "buffer",
    [
        bytes(8),
        b"",
        memoryview(bytes(8)),
        memoryview(bytearray(8)).toreadonly(),
        memoryview(bytearray(8))[::2],
        memoryview(bytearray(8))[::-1],
        memoryview(array("I", range(8)))[::2],
    ],
    ids=["bytes", "empty", "view-of-bytes", "read-only", "strided", "reversed", "strided-wide"],
)
def test_apply_mask_inplace_refuses_read_only_and_strided(codec: ModuleType, buffer: Any) -> None:
    with pytest.raises(TypeError, match="^buffer must be writable and contiguous$"):
        codec.apply_mask_inplace(buffer, KEY)


@pytest.mark.parametrize("value", ["abcd", None, 7, [1, 2, 3, 4], object()])
def test_masking_refuses_what_is_not_bytes_like(codec: ModuleType, value: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: codec.apply_mask(value, KEY),
        lambda: codec.apply_mask(NOISE, value),
        lambda: codec.apply_mask_inplace(value, KEY),
        lambda: codec.apply_mask_inplace(bytearray(4), value),
        lambda: codec.Masker(value),
        lambda: codec.Masker(KEY).process(value),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8, 1000])
def test_mask_of_other_than_4_bytes_is_an_error(codec: ModuleType, size: int) -> None:
    mask = bytes(size)
    buffer = bytearray(b"abcd")
    with pytest.raises(ValueError, match=f"^mask must be 4 bytes, got {size}$"):
        codec.apply_mask(b"abcd", mask)
    with pytest.raises(ValueError, match=f"^mask must be 4 bytes, got {size}$"):
        codec.apply_mask_inplace(buffer, mask)
    with pytest.raises(ValueError, match=f"^masking_key must be 4 bytes, got {size}$"):
        codec.Masker(mask)
    assert buffer == b"abcd"


def test_mask_is_measured_in_bytes(codec: ModuleType) -> None:
    with pytest.raises(ValueError, match="^mask must be 4 bytes, got 16$"):
        codec.apply_mask(b"abcd", array("f", [1, 2, 3, 4]))


@pytest.mark.parametrize(
    "offset", [0, 1, 2, 3, 4, 5, 2**31 + 1, 2**32 + 2, 2**63 + 3, 2**64 + 1, 10**40 + 2, True]
)
def test_apply_mask_inplace_offset_of_any_size_sets_the_phase(codec: ModuleType, offset: int) -> None:
    buffer = bytearray(NOISE)
    codec.apply_mask_inplace(buffer, KEY, offset)
    assert buffer == reference(NOISE, KEY, offset % 4)


@pytest.mark.parametrize("offset", [-1, -4, -(2**63), -(2**70)])
def test_apply_mask_inplace_negative_offset_is_an_error(codec: ModuleType, offset: int) -> None:
    buffer = bytearray(8)
    with pytest.raises(ValueError, match=f"^offset must not be negative, got {offset}$"):
        codec.apply_mask_inplace(buffer, KEY, offset)
    assert buffer == bytes(8)


@pytest.mark.parametrize("offset", [1.0, "1", None])
def test_apply_mask_inplace_offset_has_to_be_an_integer(codec: ModuleType, offset: Any) -> None:
    with pytest.raises(TypeError):
        codec.apply_mask_inplace(bytearray(8), KEY, offset)


def test_apply_mask_inplace_mask_may_lie_in_the_buffer(codec: ModuleType) -> None:
    buffer = bytearray(NOISE)
    codec.apply_mask_inplace(buffer, memoryview(buffer)[8:12])
    assert buffer == reference(NOISE, NOISE[8:12])


class Clears(int):
    """A number that tries to take the memory of `buffer` away when it is compared."""

    buffer: bytearray

    def __lt__(self, other: int) -> bool:
        with contextlib.suppress(BufferError):
            self.buffer.clear()
        return int(self) < other


def test_apply_mask_inplace_survives_a_resize_during_the_call(codec: ModuleType) -> None:
    buffer = bytearray(NOISE * 1000)
    offset = Clears(1)
    offset.buffer = buffer
    codec.apply_mask_inplace(buffer, KEY, offset)
    assert buffer in (b"", reference(NOISE * 1000, KEY, 1))


def test_bytearray_can_be_resized_after_every_call(codec: ModuleType) -> None:
    buffer = bytearray(b"data")
    masker = codec.Masker(buffer)
    calls: list[Callable[[], object]] = [
        lambda: codec.apply_mask(buffer, b"1234"),
        lambda: codec.apply_mask(b"data", buffer),
        lambda: codec.apply_mask(buffer, b"123"),
        lambda: codec.apply_mask_inplace(buffer, b"1234"),
        lambda: codec.apply_mask_inplace(buffer, b"123"),
        lambda: codec.apply_mask_inplace(buffer, b"1234", -1),
        lambda: codec.apply_mask_inplace(bytes(4), buffer),
        lambda: masker.process(buffer),
        lambda: codec.Masker(buffer),
    ]
    for call in calls:
        buffer[:] = b"data"
        kept: list[object] = []
        # A kept exception keeps its traceback, and so the frames that could hold a view.
        try:
            kept.append(call())
        except (TypeError, ValueError) as error:
            kept.append(error)
        buffer.extend(b"more")
        assert len(buffer) == 8


def test_apply_mask_result_does_not_share_memory(codec: ModuleType) -> None:
    buffer = bytearray(b"data")
    masked = codec.apply_mask(buffer, bytes(4))
    buffer[:] = b"DATA"
    assert masked == b"data"
