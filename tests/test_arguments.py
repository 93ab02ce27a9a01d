"""What callers hand in that is odd: numbers that are none, or not what they say; arrays with gaps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from fastframe import Role


class Lying(int):
    """Is in every range, if it is asked."""

    def __ge__(self, other: object) -> bool:
        return True

    def __le__(self, other: object) -> bool:
        return True

    __gt__ = __lt__ = __ge__


def lending(codec: ModuleType) -> Any:
    """A decoder that has lent the memory for 10 bytes."""
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x82\x0a")
    assert decoder.get_buffer() is not None
    return decoder


EMPTY = b"\x82\x00"
SIZES: dict[str, Callable[[ModuleType, Any], Any]] = {
    "FrameDecoder.receive": lambda codec, size: codec.FrameDecoder(Role.CLIENT).receive(EMPTY, size),
    "MessageDecoder.receive": lambda codec, size: codec.MessageDecoder(Role.CLIENT).receive(EMPTY, size),
    "MessageDecoder.received": lambda codec, size: lending(codec).received(size),
    "encode_header": lambda codec, size: codec.encode_header(2, size),
    "Utf8Validator.decode": lambda codec, size: codec.Utf8Validator().decode(size),
}
NEEDS_A_NUMBER = [name for name in SIZES if not name.endswith("receive")]


@pytest.mark.parametrize("name", SIZES)
def test_number_counts_by_its_value(codec: ModuleType, name: str) -> None:
    for wrong in (Lying(2**70), Lying(-1)):
        with pytest.raises(ValueError, match=r"must be in 0\.\."):
            SIZES[name](codec, wrong)
    assert SIZES[name](codec, Lying(2)) == SIZES[name](codec, 2)


@pytest.mark.parametrize("name", SIZES)
def test_what_is_no_whole_number_is_refused(codec: ModuleType, name: str) -> None:
    for wrong in (2.0, "2"):
        with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
            SIZES[name](codec, wrong)


@pytest.mark.parametrize("name", NEEDS_A_NUMBER)
def test_none_is_no_number(codec: ModuleType, name: str) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        SIZES[name](codec, None)


def test_refused_size_leaves_the_decoder_as_it_was(codec: ModuleType) -> None:
    decoder = lending(codec)
    for wrong in (2.0, None, -1, 11, Lying(11)):
        with pytest.raises((TypeError, ValueError)):
            decoder.received(wrong)
    assert decoder.received(0) == []
    assert decoder.receive(b"0123456789") == [b"0123456789"]


@pytest.mark.parametrize("wrong", [0, -1, Lying(0), 1.0, None])
def test_least_number_of_bytes_is_a_positive_one(codec: ModuleType, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        lending(codec).get_buffer(wrong)


def test_number_may_call_the_decoder_that_asks_it(codec: ModuleType) -> None:
    class Calling:
        def __index__(self) -> int:
            decoder.receive(b"x" * 10)
            return 1

    decoder = lending(codec)
    with pytest.raises(ValueError, match="without get_buffer"):
        decoder.received(Calling())
    decoder = lending(codec)
    assert decoder.get_buffer(Calling()) is None


# Of inspect.BufferFlags, which Python has from 3.12 on.
WRITABLE, STRIDES = 0x0001, 0x0018


class WithGaps:
    """Bytes with others between them, as arrays have them whose steps are larger than 1."""

    def __init__(self, data: bytes, *, is_read_only: bool = False) -> None:
        self.data = bytearray(len(data) * 2)
        self.data[::2] = data
        self._is_read_only = is_read_only

    def __buffer__(self, flags: int) -> memoryview:
        # In numpy's words, and as the exception that numpy has for it.
        if self._is_read_only and flags & WRITABLE:
            raise ValueError("buffer source array is read-only")
        if flags & STRIDES != STRIDES:
            raise ValueError("ndarray is not C-contiguous")
        return memoryview(self.data)[::2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="only C has buffers of its own before")
def test_data_may_have_gaps_whatever_its_exporter_says_of_them(codec: ModuleType) -> None:
    data = b"Hello"
    with_gaps: Any = WithGaps(data)
    assert codec.apply_mask(with_gaps, b"abcd") == codec.apply_mask(data, b"abcd")
    assert codec.Masker(b"abcd").process(with_gaps) == codec.apply_mask(data, b"abcd")
    assert codec.encode_frame(2, with_gaps) == b"\x82\x05Hello"
    assert codec.is_valid_utf8(with_gaps)
    encoder = codec.FrameEncoder(Role.SERVER)
    encoder.append_message(with_gaps)
    assert encoder.take() == b"\x82\x05Hello"
    [message] = codec.MessageDecoder(Role.CLIENT).receive(WithGaps(b"\x81\x05Hello"))
    assert message == "Hello"
    for unwritable in (with_gaps, WithGaps(data, is_read_only=True)):
        with pytest.raises(TypeError, match="^buffer must be writable and contiguous$"):
            codec.apply_mask_inplace(unwritable, b"abcd")


def test_what_has_no_buffer_is_called_so(codec: ModuleType) -> None:
    with pytest.raises(TypeError, match="^a bytes-like object is required, not 'str'$"):
        codec.apply_mask_inplace("abcd", b"keys")


def test_what_was_released_is_called_so(codec: ModuleType) -> None:
    view = memoryview(bytearray(4))
    view.release()
    for call in (codec.apply_mask, codec.apply_mask_inplace):
        with pytest.raises(ValueError, match="released memoryview"):
            call(view, b"keys")
