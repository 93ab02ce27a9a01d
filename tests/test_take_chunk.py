"""Messages taken in chunks while they come: `MessageDecoder.take_chunk`, on both halves."""

from __future__ import annotations

import random
from types import ModuleType
from typing import Any

import pytest
from wire import data_frame, receive_in_place, single_bytes

from fastframe import Close, InvalidUtf8, MessageTooBig, Ping, ProtocolError, Role

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
IN_PLACE = pytest.mark.parametrize("in_place", [False, True], ids=["receive", "get_buffer"])
TEXT = "aä你🌍" * 20


def streamed(decoder: Any, pieces: list[bytes], in_place: bool = False) -> list[Any]:
    """What comes out, in order: chunks taken after each piece, and what is complete."""
    came: list[Any] = []
    for piece in pieces:
        if in_place:
            receive_in_place(decoder, piece, came)
        else:
            came += decoder.receive(piece)
        chunk = decoder.take_chunk()
        if chunk is not None:
            came.append(chunk)
    return came


@ROLES
@IN_PLACE
@pytest.mark.parametrize("text_as_bytes", [False, True])
def test_chunks_of_text_are_cut_between_code_points(
    codec: ModuleType, role: Role, in_place: bool, text_as_bytes: bool
) -> None:
    wire = data_frame(role, 1, TEXT.encode())
    decoder = codec.MessageDecoder(role, text_as_bytes=text_as_bytes)
    chunks = streamed(decoder, single_bytes(wire), in_place)
    kind = bytes if text_as_bytes else str
    assert {type(chunk) for chunk in chunks} == {kind}
    if text_as_bytes:
        chunks = [chunk.decode() for chunk in chunks]
    assert "".join(chunks) == TEXT
    assert max(map(len, chunks)) == 1


@ROLES
@IN_PLACE
@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_chunks_and_the_rest_make_the_message(
    codec: ModuleType, role: Role, in_place: bool, opcode: int, seed: int
) -> None:
    """Fragments, pings between them, cuts anywhere, and a message behind it."""
    source = random.Random(seed)
    texts = "aä你🌍", "plain", "x" * 3000, ""
    message = "".join(source.choice(texts) for _ in range(40)).encode()
    wire, start, pings = b"", 0, 0
    while start < len(message):
        size = source.choice([0, 1, 5, 400, 6000])
        fragment = message[start : start + size]
        wire += data_frame(role, opcode if start == 0 and not wire else 0, fragment, fin=False)
        if source.random() < 0.3:
            pings += 1
            wire += data_frame(role, 9, b"p")
        start += size
    wire += data_frame(role, 0, b"") + data_frame(role, opcode, b"next")
    pieces = []
    while wire:
        size = source.choice([1, 2, 7, 300, 5000])
        pieces.append(wire[:size])
        wire = wire[size:]
    came = streamed(codec.MessageDecoder(role), pieces, in_place)
    assert came.count(Ping(b"p")) == pings
    chunks = [item for item in came if not isinstance(item, Ping)]
    assert type(chunks[0])().join(chunks) == (message.decode() + "next" if opcode == 1 else message + b"next")


def test_nothing_under_way_gives_none(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    assert decoder.take_chunk() is None
    assert decoder.receive(b"\x82\x01a\x82") == [b"a"]
    assert decoder.take_chunk() is None
    assert decoder.receive(b"\x03") == []
    assert decoder.take_chunk() == b""
    assert decoder.receive(b"abc") == [b"abc"]
    assert decoder.take_chunk() is None


@pytest.mark.parametrize(("opcode", "empty"), [(1, ""), (2, b"")])
def test_rest_of_a_message_taken_whole_is_empty(codec: ModuleType, opcode: int, empty: Any) -> None:
    decoder = codec.MessageDecoder(Role.SERVER)
    decoder.receive(data_frame(Role.SERVER, opcode, b"all", fin=False))
    assert decoder.take_chunk() == (b"all" if opcode == 2 else "all")
    assert decoder.retained == 0
    assert decoder.receive(data_frame(Role.SERVER, 0, b"")) == [empty]
    assert type(decoder.receive(data_frame(Role.SERVER, opcode, b""))[0]) is type(empty)


def test_chunk_may_be_taken_inside_a_control_frame(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 1, "aä".encode()[:2], fin=False) + b"\x89\x03p")
    assert decoder.take_chunk() == "a"
    assert decoder.receive(b"in" + data_frame(Role.CLIENT, 0, "ä".encode()[1:])) == [Ping(b"pin"), "ä"]


def test_compressed_message_has_no_chunks(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=lambda payload, _: payload[::-1])
    decoder.receive(data_frame(Role.CLIENT, 1, b"ab", fin=False, rsv=4))
    assert decoder.take_chunk() is None
    assert decoder.receive(data_frame(Role.CLIENT, 0, b"cd")) == ["dcba"]


@pytest.mark.parametrize("size", [3, 70_000, 3_000_000])
def test_memory_of_taken_chunks_is_given_back(codec: ModuleType, size: int) -> None:
    payload = random.Random(size).randbytes(size)
    decoder = codec.MessageDecoder(Role.SERVER, max_message_size=None)
    wire = data_frame(Role.SERVER, 2, payload)
    got: list[bytes] = []
    for start in range(0, len(wire), 40_000):
        receive_in_place(decoder, wire[start : start + 40_000], got)
        assert decoder.retained <= 40_000
        if start + 40_000 < len(wire):
            got.append(decoder.take_chunk())
        assert decoder.retained == 0
    assert b"".join(got) == payload


@IN_PLACE
def test_buffer_lent_before_a_chunk_was_taken_does_not_count(codec: ModuleType, in_place: bool) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 2, b"0123456789")[:7])
    view = decoder.get_buffer()
    view[:] = b"xxxxx"
    assert decoder.take_chunk() == b"01234"
    with pytest.raises(ValueError, match="without get_buffer"):
        decoder.received(5)
    if in_place:
        decoder.get_buffer()[:] = b"56789"
        assert decoder.received(5) == [b"56789"]
    else:
        assert decoder.receive(b"56789") == [b"56789"]


def test_memory_that_somebody_still_looks_at_is_not_written_to(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 2, b"0123456789")[:7])
    kept = memoryview(decoder.get_buffer())
    chunk = decoder.take_chunk()
    kept[:] = b"xxxxx"
    assert chunk == b"01234"
    assert decoder.receive(b"56789") == [b"56789"]


# Limits and violations count what was taken.


@ROLES
def test_size_limit_counts_what_was_taken(codec: ModuleType, role: Role) -> None:
    decoder = codec.MessageDecoder(role, max_message_size=10)
    decoder.receive(data_frame(role, 2, b"12345", fin=False))
    assert decoder.take_chunk() == b"12345"
    decoder.receive(data_frame(role, 0, b"678", fin=False))
    with pytest.raises(MessageTooBig, match="message of at least 11 bytes"):
        decoder.receive(data_frame(role, 0, b"9ab", fin=False))
    assert decoder.take_chunk() is None


def test_size_limit_starts_anew_with_each_message(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, max_message_size=10)
    for _ in range(3):
        decoder.receive(data_frame(Role.CLIENT, 2, b"12345678", fin=False))
        assert decoder.take_chunk() == b"12345678"
        assert decoder.receive(data_frame(Role.CLIENT, 0, b"9a")) == [b"9a"]


@ROLES
@pytest.mark.parametrize("before", [0, 1, 5])
def test_bad_text_is_found_at_its_place_in_the_message(codec: ModuleType, role: Role, before: int) -> None:
    decoder = codec.MessageDecoder(role)
    decoder.receive(data_frame(role, 1, "ä".encode() * before + b"\xf0\x9f", fin=False))
    assert decoder.take_chunk() == "ä" * before
    with pytest.raises(InvalidUtf8, match=f"byte 0x41 at index {2 * before + 2}$"):
        decoder.receive(data_frame(role, 0, b"A", fin=False))


@ROLES
def test_text_that_ends_inside_a_code_point_tells_its_whole_length(codec: ModuleType, role: Role) -> None:
    decoder = codec.MessageDecoder(role)
    decoder.receive(data_frame(role, 1, b"abc\xe4\xbd", fin=False))
    assert decoder.take_chunk() == "abc"
    assert decoder.take_chunk() == ""
    with pytest.raises(InvalidUtf8, match="inside a code point, after 5 bytes"):
        decoder.receive(data_frame(role, 0, b""))


def test_nothing_can_be_taken_after_a_close_frame(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 2, b"half", fin=False) + b"\x88\x00")
    assert decoder.close == Close()
    assert decoder.take_chunk() is None


def test_invalid_close_frame_is_not_counted(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    with pytest.raises(ProtocolError, match="999"):
        decoder.receive(
            data_frame(Role.CLIENT, 9, b"") + data_frame(Role.CLIENT, 8, (999).to_bytes(2, "big"))
        )
    assert decoder.control_frames == 1


def test_chunk_may_not_be_taken_from_within_inflate(codec: ModuleType) -> None:
    def inflate(payload: bytes, _: int | None) -> bytes:
        with pytest.raises(RuntimeError):
            decoder.take_chunk()
        return payload

    decoder = codec.MessageDecoder(Role.CLIENT, inflate=inflate)
    assert decoder.receive(data_frame(Role.CLIENT, 2, b"a", rsv=4)) == [b"a"]
