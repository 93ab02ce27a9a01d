from __future__ import annotations

import platform
import sys
from types import ModuleType

import pytest
from wire import data_frame, xor

from fastframe import Close, InvalidUtf8, Ping, ProtocolError, Role

KEY = bytes.fromhex("37fa213d")
UNLIMITED = {"max_message_size": None}


def header_of(role: Role, opcode: int, size: int, fin: bool = True) -> bytes:
    return data_frame(role, opcode, bytes(size), fin=fin)[:-size]


@pytest.mark.parametrize(
    "before", [b"", b"\x82", b"\x82\x7e", b"\x82\x7e\x01", b"\x82\x7e\x01\x00" + b"a" * 256]
)
def test_get_buffer_is_none_outside_a_payload(codec: ModuleType, before: bytes) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(before)
    assert decoder.get_buffer() is None
    assert decoder.get_buffer(minimum=1) is None


@pytest.mark.parametrize("wire", ["82 00", "89 05 41", "88 05 03", "8a 05", "82 85 01"])
def test_get_buffer_is_none_for_headers_control_and_empty_frames(codec: ModuleType, wire: str) -> None:
    role = Role.SERVER if wire[3] == "8" else Role.CLIENT
    decoder = codec.MessageDecoder(role)
    decoder.receive(bytes.fromhex(wire))
    assert decoder.get_buffer() is None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("have", [0, 1, 3, 100])
def test_get_buffer_hands_out_memory_for_the_missing_bytes(
    codec: ModuleType, role: Role, opcode: int, have: int
) -> None:
    wire = data_frame(role, opcode, b"ab" * 500)
    decoder = codec.MessageDecoder(role)
    held = len(wire) - 1000 + have
    assert decoder.receive(wire[:held]) == []
    view = decoder.get_buffer()
    assert type(view) is memoryview
    assert (view.readonly, view.contiguous, view.itemsize, view.ndim) == (False, True, 1, 1)
    assert len(view) == 1000 - have
    view[:] = wire[held:]
    assert decoder.received(len(view)) == ["ab" * 500 if opcode == 1 else b"ab" * 500]
    assert (decoder.retained, decoder.get_buffer()) == (0, None)


@pytest.mark.parametrize(
    ("minimum", "given"), [(1, True), (999, True), (1000, True), (1001, False), (2**64, False)]
)
def test_get_buffer_minimum_is_compared_with_what_is_missing(
    codec: ModuleType, minimum: int, given: bool
) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 2, bytes(1010))[:14])
    assert (decoder.get_buffer(minimum) is not None) is given


@pytest.mark.parametrize("minimum", [0, -1, -(2**64)])
def test_get_buffer_minimum_has_to_be_positive(codec: ModuleType, minimum: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    with pytest.raises(ValueError, match=f"^minimum must be positive, got {minimum}$"):
        decoder.get_buffer(minimum)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 999])
@pytest.mark.parametrize("role", Role)
def test_received_goes_on_from_partial_writes(codec: ModuleType, role: Role, step: int) -> None:
    payload = bytes(range(256)) * 5
    wire = data_frame(role, 2, payload)
    start = len(wire) - len(payload)
    decoder = codec.MessageDecoder(role)
    decoder.receive(wire[:start])
    items: list[object] = []
    while start < len(wire):
        view = decoder.get_buffer()
        size = min(step, len(view))
        view[:size] = wire[start : start + size]
        items += decoder.received(size)
        start += size
    assert items == [payload]


def test_in_place_and_copied_parts_may_alternate(codec: ModuleType) -> None:
    payload = "aä你🌍".encode() * 300
    wire = data_frame(Role.SERVER, 1, payload)
    decoder = codec.MessageDecoder(Role.SERVER)
    decoder.receive(wire[:9])
    position, items, turn = 9, [], 0
    while position < len(wire):
        size = min(1 + turn % 13, len(wire) - position)
        if turn % 2:
            decoder.get_buffer()[:size] = wire[position : position + size]
            items += decoder.received(size)
        else:
            items += decoder.receive(wire[position : position + size])
        position += size
        turn += 1
    assert items == [payload.decode()]


def test_fragments_and_control_frames_between_them(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.SERVER)
    first, second = b"a" * 500, "你".encode() * 400
    assert decoder.receive(header_of(Role.SERVER, 1, 500, fin=False)) == []
    decoder.get_buffer()[:] = xor(first, KEY)
    assert decoder.received(500) == []
    assert decoder.get_buffer() is None
    assert decoder.receive(data_frame(Role.SERVER, 9, b"p") + header_of(Role.SERVER, 0, 1200)) == [Ping(b"p")]
    decoder.get_buffer()[:] = xor(second, KEY)
    assert decoder.received(1200) == ["a" * 500 + "你" * 400]


@pytest.mark.parametrize("bad", [0, 1, 40, 99])
def test_received_refuses_bad_text_at_its_byte(codec: ModuleType, bad: int) -> None:
    payload = b"a" * bad + b"\xff" + b"a" * (99 - bad)
    decoder = codec.MessageDecoder(Role.SERVER)
    decoder.receive(header_of(Role.SERVER, 1, 1000))
    masked = xor(payload, KEY)
    view = decoder.get_buffer()
    view[:bad] = masked[:bad]
    assert decoder.received(bad) == []
    view = decoder.get_buffer()
    view[: 100 - bad] = masked[bad:]
    with pytest.raises(InvalidUtf8, match=f"^text message is not UTF-8: byte 0xFF at index {bad}$") as caught:
        decoder.received(100 - bad)
    assert caught.value.decoded == []
    assert decoder.get_buffer() is None
    with pytest.raises(InvalidUtf8) as again:
        decoder.received(0)
    assert again.value is caught.value


def test_received_zero_changes_nothing(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(header_of(Role.CLIENT, 2, 10))
    decoder.get_buffer()
    assert decoder.received(0) == []
    assert decoder.retained == 0
    decoder.get_buffer()[:] = b"0123456789"
    assert decoder.received(10) == [b"0123456789"]


@pytest.mark.parametrize("size", [-1, 11, 2**31, 2**63, 2**64, -(2**64)])
def test_received_size_out_of_range_is_an_error(codec: ModuleType, size: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(header_of(Role.CLIENT, 2, 10))
    assert len(decoder.get_buffer()) == 10
    with pytest.raises(ValueError, match=rf"^size must be in 0\.\.10, got {size}$"):
        decoder.received(size)
    assert decoder.retained == 0
    assert decoder.receive(b"0123456789") == [b"0123456789"]


@pytest.mark.parametrize("before", ["", "82", "82 0a", "82 0a 41"])
@pytest.mark.parametrize("size", [0, 1])
def test_received_without_a_buffer_is_an_error(codec: ModuleType, before: str, size: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(bytes.fromhex(before))
    with pytest.raises(ValueError, match=r"^received\(\) without get_buffer\(\)$"):
        decoder.received(size)


@pytest.mark.parametrize("after", ["received", "receive", "get_buffer"])
def test_a_buffer_is_used_once(codec: ModuleType, after: str) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(header_of(Role.CLIENT, 2, 10))
    decoder.get_buffer()[:3] = b"012"
    if after == "received":
        decoder.received(3)
    elif after == "receive":
        decoder.receive(b"012")
    else:
        # What is too much to ask for hands out nothing, and takes back what was handed out.
        assert decoder.get_buffer(11) is None
    with pytest.raises(ValueError, match=r"^received\(\) without get_buffer\(\)$"):
        decoder.received(3)


def test_abandoned_buffer_does_not_count(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(header_of(Role.CLIENT, 1, 5))
    decoder.get_buffer()[:] = b"\xff" * 5
    assert decoder.retained == 0
    assert decoder.receive(b"Hello") == ["Hello"]


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 5 * 1024 * 1024 + 3])
def test_buffers_of_a_large_frame_grow_with_what_arrived(codec: ModuleType, size: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, **UNLIMITED)
    decoder.receive(header_of(Role.CLIENT, 2, size))
    payload, have, items = bytes(range(251)) * (size // 251 + 1), 0, []
    payload = payload[:size]
    while have < size:
        view = decoder.get_buffer()
        given = len(view)
        assert 1 <= given <= max(have, 1024 * 1024)
        view[:] = payload[have : have + given]
        items += decoder.received(given)
        have += given
        assert decoder.retained == (have if have < size else 0)
    assert items == [payload]


@pytest.mark.parametrize("announced", [2**31 + 5, 2**32 + 5, 2**63 - 1])
def test_first_buffer_of_a_huge_frame_is_small(codec: ModuleType, announced: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, **UNLIMITED)
    decoder.receive(b"\x82\x7f" + announced.to_bytes(8, "big"))
    assert len(decoder.get_buffer()) <= 1024 * 1024
    assert decoder.get_buffer(announced) is not None
    assert decoder.get_buffer(announced + 1) is None
    decoder.get_buffer()[:4] = b"abcd"
    assert decoder.received(4) == []
    assert decoder.retained == 4


def test_compressed_payload_may_be_received_in_place(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.SERVER, inflate=lambda payload, _: payload[::-1])
    wire = data_frame(Role.SERVER, 1, b"a" * 400 + b"b", rsv=4)
    decoder.receive(wire[:8])
    view = decoder.get_buffer()
    assert len(view) == 401
    view[:] = wire[8:]
    assert decoder.received(401) == ["b" + "a" * 400]


def test_close_ends_handing_out_buffers(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    assert decoder.receive(b"\x02\x05Hello\x88\x00" + header_of(Role.CLIENT, 0, 50)) == [Close()]
    assert decoder.get_buffer() is None
    with pytest.raises(ValueError, match="without get_buffer"):
        decoder.received(0)


def test_bytes_after_the_frame_are_decoded_by_the_next_receive(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(header_of(Role.CLIENT, 2, 300))
    decoder.get_buffer()[:] = b"x" * 300
    assert decoder.received(300) == [b"x" * 300]
    with pytest.raises(ProtocolError):
        decoder.receive(b"\x83\x00")


@pytest.mark.skipif(
    platform.python_implementation() != "CPython" or sys.version_info >= (3, 12),
    reason="only CPython counts references, and those to None only before 3.12",
)
def test_get_buffer_leaves_no_reference_behind(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x82\x7e\x27\x10")
    before = sys.getrefcount(None)
    for _ in range(5000):
        view = decoder.get_buffer(1)
        view[0] = 1
        decoder.received(1)
        del view
    assert sys.getrefcount(None) - before < 1000
