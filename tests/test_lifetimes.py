"""Buffers that are kept, resized or written to at the wrong time: never a crash, never a wrong message.

Under AddressSanitizer these are the tests that would find a use after free.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import weakref
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from wire import data_frame, single_bytes

from fastframe import Ping, ProtocolError, Role

WIRE = data_frame(Role.SERVER, 1, "Hello 你好 ".encode() * 50) + data_frame(Role.SERVER, 2, b"\xff" * 300)
MESSAGES = ["Hello 你好 " * 50, b"\xff" * 300]


def scribble(view: memoryview) -> None:
    """Write all over `view`, unless its owner has taken it back."""
    try:
        view[:] = b"\xee" * len(view)
    except ValueError as error:
        assert "released" in str(error)


@pytest.mark.parametrize("cut", [5, 8, 9, 100, len(WIRE) - 300, len(WIRE) - 5])
def test_data_may_change_as_soon_as_receive_returns(codec: ModuleType, cut: int) -> None:
    decoder = codec.MessageDecoder(Role.SERVER)
    data = bytearray(WIRE[:cut])
    items = decoder.receive(data)
    data[:] = b"\xee" * len(data)
    del data[len(data) // 2 :]
    data.extend(b"\xee" * 100_000)
    assert items + decoder.receive(WIRE[cut:]) == MESSAGES


@pytest.mark.parametrize("written", [b"a" + b"\x80" * 57, b"a" * 57 + b"\xf0", b"\x80" * 58, b"a" * 58])
@pytest.mark.parametrize("begun", ["é".encode(), b"aa"])
def test_text_may_change_once_it_was_validated(codec: ModuleType, begun: bytes, written: bytes) -> None:
    """A part of the view that outlives it: what is handed out is a str, or there is none."""
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x81\x3f" + begun)
    view = decoder.get_buffer(1)
    kept = view[:]
    kept[:58] = b"b" * 56 + begun
    assert decoder.received(58) == []
    kept[:58] = written
    try:
        [message] = decoder.receive("你".encode())
    except (ProtocolError, UnicodeDecodeError):
        assert not written.isascii()
    else:
        assert message.encode() == begun + written + "你".encode()
    assert decoder.get_buffer() is None


def test_chunk_may_change_once_it_was_validated(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x81\x3f" + "é".encode())
    kept = decoder.get_buffer(1)[:]
    kept[:58] = "é".encode() * 28 + "你".encode()[:2]
    decoder.received(58)
    kept[:58] = b"\x80" * 58
    try:
        chunk = decoder.take_chunk()
    except (ProtocolError, UnicodeDecodeError) as error:
        assert decoder.error is error
    else:
        assert isinstance(chunk, str) and len(chunk.encode()) <= 60


@pytest.mark.parametrize("name", ["FrameDecoder", "MessageDecoder"])
def test_frames_do_not_share_the_callers_memory(codec: ModuleType, name: str) -> None:
    data = bytearray(data_frame(Role.CLIENT, 2, b"payload"))
    [received] = getattr(codec, name)(Role.CLIENT).receive(data)
    data[:] = bytes(len(data))
    assert b"payload" in (received, received[1])


@pytest.mark.parametrize("name", ["FrameDecoder", "MessageDecoder"])
def test_data_is_released_when_a_violation_is_kept(codec: ModuleType, name: str) -> None:
    decoder = getattr(codec, name)(Role.CLIENT)
    data = bytearray(b"\x81\x01A\x83\x00")
    for _ in range(2):
        with pytest.raises(ProtocolError):
            decoder.receive(data)
        # decoder.error keeps the traceback, and so the frames that could hold a view of data.
        data.extend(b"more")
    with pytest.raises(ProtocolError):
        decoder.receive(data)
    assert len(data) == 13


def test_data_is_released_when_a_size_is_refused(codec: ModuleType) -> None:
    for name in ("FrameDecoder", "MessageDecoder"):
        data = bytearray(b"\x81\x01A")
        with pytest.raises(ValueError, match="size") as caught:
            getattr(codec, name)(Role.CLIENT).receive(data, 4)
        data.extend(b"more")
        assert caught.value is not None


def test_data_of_a_mmap_view_may_be_closed_afterwards(codec: ModuleType) -> None:
    with mmap.mmap(-1, 8192) as memory:
        memory.write(WIRE)
        with memoryview(memory) as view:
            decoder = codec.MessageDecoder(Role.SERVER)
            items = decoder.receive(view[:20])
            items += decoder.receive(view[20 : len(WIRE)])
    assert items == MESSAGES


LATER: dict[str, Callable[[Any], object]] = {
    "receive": lambda decoder: decoder.receive(b"x" * 400),
    "finish": lambda decoder: decoder.receive(b"x" * 1000),
    "finish-and-more": lambda decoder: decoder.receive(b"x" * 1000 + b"\x82\x05Hello" * 300),
    "get-buffer": lambda decoder: decoder.get_buffer(),
    "received": lambda decoder: decoder.received(500),
    "received-all": lambda decoder: decoder.received(1000),
    "nothing": lambda decoder: None,
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("opcode", [1, 2])
def test_stale_view_may_be_written_to_without_a_crash(codec: ModuleType, opcode: int, later: str) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(bytes([0x80 | opcode]) + b"\x7e\x03\xe8")
    view = decoder.get_buffer()
    view[:] = b"x" * 1000
    kept = LATER[later](decoder)
    scribble(view)
    del decoder
    gc.collect()
    scribble(view)
    del kept
    fresh = codec.MessageDecoder(Role.SERVER)
    assert fresh.receive(WIRE) == MESSAGES
    scribble(view)


def test_stale_view_of_a_growing_frame_may_be_written_to(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, max_message_size=None)
    size = 5 * 1024 * 1024
    decoder.receive(b"\x82\x7f" + size.to_bytes(8, "big"))
    views, have = [], 0
    while have < size:
        view = decoder.get_buffer()
        view[:] = b"x" * len(view)
        views.append(view)
        have += len(view)
        items = decoder.received(len(view))
    assert len(items[0]) == size
    for view in views:
        scribble(view)
    assert decoder.receive(b"\x82\x01y") == [b"y"]


def test_view_of_its_own_memory_may_be_given_back(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x82\x7e\x03\xe8")
    view = decoder.get_buffer()
    view[:] = b"y" * 1000
    try:
        items = decoder.receive(view)
    except (BufferError, ValueError):
        return
    assert [len(item) for item in items] == [1000]


def test_many_unfinished_decoders_may_be_dropped(codec: ModuleType) -> None:
    for cut in range(1, len(WIRE), 7):
        decoder = codec.MessageDecoder(Role.SERVER)
        decoder.receive(WIRE[:cut])
        view = decoder.get_buffer()
        del decoder
        if view is not None:
            scribble(view)
    gc.collect()
    assert codec.MessageDecoder(Role.SERVER).receive(WIRE) == MESSAGES


class Clears(int):
    """A number that tries to take the memory of `data` away whenever it is compared."""

    data: bytearray

    def _clear(self) -> int:
        with contextlib.suppress(BufferError):
            self.data.clear()
        return int(self)

    def __lt__(self, other: int) -> bool:
        return self._clear() < other

    def __le__(self, other: int) -> bool:
        return self._clear() <= other

    def __gt__(self, other: int) -> bool:
        return self._clear() > other

    def __ge__(self, other: int) -> bool:
        return self._clear() >= other


@pytest.mark.parametrize("name", ["FrameDecoder", "MessageDecoder"])
def test_size_whose_comparison_clears_the_data_is_safe(codec: ModuleType, name: str) -> None:
    data = bytearray(b"\x82\x7e\x40\x00" + b"z" * 0x4000)

    decoder = getattr(codec, name)(Role.CLIENT)
    size = Clears(len(data))
    size.data = data
    try:
        received = len(decoder.receive(data, size))
    except ValueError:
        # Taken away before it was looked at, `size` exceeds what is there.
        received = 0
    assert received == (1 if data else 0)
    assert (decoder.error, decoder.retained) == (None, 0)


def test_offset_whose_comparison_clears_the_data_is_safe(codec: ModuleType) -> None:
    data = bytearray(b"\xff" * 100_000 + b"\x82\x05")
    offset = Clears(100_000)
    offset.data = data
    header = codec.parse_header(data, offset)
    assert header is None if not data else header.payload_length == 5


def test_flag_whose_truth_shrinks_the_payload_is_safe(codec: ModuleType) -> None:
    payload = bytearray(b"x" * 100_000)

    class Flag:
        def __bool__(self) -> bool:
            with contextlib.suppress(BufferError):
                payload.clear()
            return True

    encoder = codec.FrameEncoder(Role.SERVER)
    encoder.append(2, payload, Flag())
    [received] = codec.MessageDecoder(Role.CLIENT).receive(encoder.take())
    assert received == payload


HOOKS: dict[str, Callable[[Any, bytearray], object]] = {
    "receive": lambda decoder, _: decoder.receive(b"\x82\x05inner"),
    "receive-unfinished": lambda decoder, _: decoder.receive(b"\x82\x7e\x03\xe8abc"),
    "receive-much": lambda decoder, _: decoder.receive(b"\x02\x7e\x13\x88" + b"x" * 5000),
    "receive-own-data": lambda decoder, data: decoder.receive(data),
    "receive-violation": lambda decoder, _: decoder.receive(b"\x83\x00"),
    "receive-close": lambda decoder, _: decoder.receive(b"\x88\x00"),
    "get-buffer": lambda decoder, _: decoder.get_buffer(),
    "received": lambda decoder, _: decoder.received(0),
    "initialise": lambda decoder, _: decoder.__init__(Role.CLIENT),
    "clear-data": lambda _, data: data.clear(),
    "extend-data": lambda _, data: data.extend(b"x" * 100_000),
    "overwrite-data": lambda _, data: data.__setitem__(slice(None), b"\x89\x00" * (len(data) // 2)),
    "properties": lambda decoder, _: (decoder.retained, decoder.error, decoder.close),
    "collect": lambda *_: gc.collect(),
}


@pytest.mark.parametrize("in_place", [False, True], ids=["receive", "get_buffer"])
@pytest.mark.parametrize("hook", HOOKS)
def test_inflate_may_do_anything_without_a_crash(codec: ModuleType, hook: str, in_place: bool) -> None:
    complaints: list[Exception] = []
    depth = 0

    def inflate(payload: bytes, _limit: int | None) -> bytes:
        nonlocal depth
        depth += 1
        if depth < 5:
            try:
                HOOKS[hook](decoder, data)
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not bring the process down)
                complaints.append(error)
        return payload[::-1]

    decoder = codec.MessageDecoder(Role.CLIENT, inflate=inflate)
    compressed = data_frame(Role.CLIENT, 2, b"abc" * 100, rsv=4)
    data = bytearray((compressed if not in_place else b"") + b"\x89\x00" * 4)
    try:
        items = []
        if in_place:
            decoder.receive(compressed[:4])
            decoder.get_buffer()[:] = compressed[4:]
            items += decoder.received(300)
        items += decoder.receive(data)
    except Exception as error:  # noqa: BLE001
        assert isinstance(error, (ProtocolError, RuntimeError, ValueError, BufferError)), error
    else:
        assert b"cba" * 100 in items
        if hook not in (
            "receive-close",
            "overwrite-data",
            "clear-data",
            "receive-unfinished",
            "receive-much",
        ):
            assert items.count(Ping()) >= 4
    assert depth >= 1
    fresh = codec.MessageDecoder(Role.SERVER)
    assert fresh.receive(WIRE) == MESSAGES


def test_decoder_called_back_from_inflate_says_so(codec: ModuleType) -> None:
    refused: list[str] = []

    def inflate(payload: bytes, _limit: int | None) -> bytes:
        calls: list[Callable[[], object]] = [
            partial(decoder.receive, b"\x81\x00"),
            partial(decoder.received, 0),
            decoder.get_buffer,
        ]
        for call in calls:
            with pytest.raises(RuntimeError) as caught:
                call()
            refused.append(str(caught.value))
        return payload

    decoder = codec.MessageDecoder(Role.CLIENT, inflate=inflate)
    wire = data_frame(Role.CLIENT, 2, b"abc", rsv=4) + data_frame(Role.CLIENT, 1, b"after")
    assert decoder.receive(wire) == [b"abc", "after"]
    assert len(refused) == 3
    assert len(set(refused)) == 1


def test_decoder_in_a_reference_cycle_is_collected(codec: ModuleType) -> None:
    class Inflater:
        decoder: Any = None

        def inflate(self, payload: bytes, _limit: int | None) -> bytes:
            return payload

    inflater = Inflater()
    inflater.decoder = codec.MessageDecoder(Role.CLIENT, inflate=inflater.inflate)
    inflater.decoder.receive(b"\x01\x05Hello")
    watched = weakref.ref(inflater)
    del inflater
    gc.collect()
    assert watched() is None


def test_failed_decoder_is_collected(codec: ModuleType) -> None:
    class Inflater:
        def inflate(self, payload: bytes, _limit: int | None) -> bytes:
            raise ProtocolError("broken block")

    inflater = Inflater()
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=inflater.inflate)
    with pytest.raises(ProtocolError):
        decoder.receive(b"\xc2\x01x")
    watched = weakref.ref(inflater)
    del inflater, decoder
    gc.collect()
    assert watched() is None


def test_encoder_may_be_emptied_while_its_payload_is_converted(codec: ModuleType) -> None:
    encoder = codec.FrameEncoder(Role.SERVER)
    encoder.append(2, b"x" * 1000)
    taken: list[bytes] = []

    class Flag:
        def __bool__(self) -> bool:
            taken.append(encoder.take())
            return True

    encoder.append(2, b"y" * 1000, Flag())
    assert (b"".join(taken) + encoder.take()).count(b"y") == 1000


def test_one_byte_chunks_of_one_changing_buffer(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.SERVER)
    shared, items = bytearray(1), []
    for byte in single_bytes(WIRE):
        shared[:] = byte
        items += decoder.receive(shared)
    assert items == MESSAGES
