from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from wire import (
    Case,
    Error,
    Outcome,
    cases,
    data_frame,
    every_cut,
    expand,
    feed,
    frame,
    load,
    masked_header,
    outcome_for,
    single_bytes,
)

from fastframe import Frame, Opcode, ProtocolError, Role


@pytest.mark.parametrize("case", cases("frames", frame))
def test_frame_vectors_give_the_same_whatever_the_cut(codec: ModuleType, case: Case) -> None:
    for chunks in every_cut(case.wire):
        decoder = codec.FrameDecoder(case.role, **case.options)
        assert feed(decoder, chunks) == outcome_for(case, chunks)


HEADER_ERRORS = [
    pytest.param(vector, name, id=f"{vector['name']}-{name}")
    for vector in load("header_errors")
    for name in vector["by"]
    # It knows no role and no extensions; test_header.py runs its share.
    if name != "parse_header"
]


@pytest.mark.parametrize(("vector", "decoder_name"), HEADER_ERRORS)
def test_header_errors_surface_at_the_decisive_byte(
    codec: ModuleType, vector: dict[str, Any], decoder_name: str
) -> None:
    for role in Role:
        header = expand(vector["header"])
        if "role" in vector:
            if vector["role"] != role.value:
                continue
        elif role is Role.SERVER:
            header = masked_header(header, b"\1\2\3\4")
        wire = data_frame(role, 2, b"before") + header + b"\xff" * 20
        error_at = len(data_frame(role, 2, b"before")) + vector["at"]
        before = b"before" if decoder_name == "MessageDecoder" else Frame(Opcode.BINARY, b"before")
        case = Case(role, wire, [before], Error(*vector["error"]), error_at)
        for chunks in every_cut(wire):
            decoder = getattr(codec, decoder_name)(role)
            assert feed(decoder, chunks) == outcome_for(case, chunks)


@pytest.mark.parametrize("role", Role)
def test_frames_have_the_promised_types(codec: ModuleType, role: Role) -> None:
    [received] = codec.FrameDecoder(role, rsv2=True).receive(data_frame(role, 1, b"text", rsv=2))
    assert type(received) is Frame
    assert [type(value) for value in received] == [Opcode, bytes, bool, bool, bool, bool]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("size", [0, 5, 130, 70_000])
def test_retained_counts_the_unfinished_frame(codec: ModuleType, role: Role, size: int) -> None:
    wire = data_frame(role, 2, bytes(size))
    places = {*range(min(len(wire), 200)), len(wire) // 2, len(wire) - 1}
    for place in sorted(places):
        decoder = codec.FrameDecoder(role)
        assert decoder.retained == 0
        assert decoder.receive(wire[:place]) == []
        assert decoder.retained == place
        assert decoder.receive(wire[place:]) == [Frame(Opcode.BINARY, bytes(size))]
        assert decoder.retained == 0


def test_retained_counts_only_the_tail_after_whole_frames(codec: ModuleType) -> None:
    decoder = codec.FrameDecoder(Role.CLIENT)
    assert len(decoder.receive(data_frame(Role.CLIENT, 1, b"abc") * 3 + b"\x82\x05xy")) == 3
    assert decoder.retained == 4
    assert decoder.receive(b"z") == []
    assert decoder.retained == 5


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 14])
def test_receive_counts_only_the_first_size_bytes(codec: ModuleType, size: int) -> None:
    wire = data_frame(Role.CLIENT, 1, b"Hello") * 2
    decoder = codec.FrameDecoder(Role.CLIENT)
    assert len(decoder.receive(wire, size)) == size // 7
    assert len(decoder.receive(data=wire[size:], size=None)) == 2 - size // 7


@pytest.mark.parametrize("size", [-1, 8, 2**31, 2**63, 2**64, -(2**64)])
@pytest.mark.parametrize("decoder_name", ["FrameDecoder", "MessageDecoder"])
def test_receive_size_out_of_range_is_an_error(codec: ModuleType, decoder_name: str, size: int) -> None:
    decoder = getattr(codec, decoder_name)(Role.CLIENT)
    with pytest.raises(ValueError, match=rf"^size must be in 0\.\.7, got {size}$"):
        decoder.receive(b"\x81\x05Hello", size)
    assert (decoder.retained, decoder.error) == (0, None)
    assert len(decoder.receive(b"\x81\x05Hello", 7)) == 1


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("decoder_name", ["FrameDecoder", "MessageDecoder"])
def test_receive_takes_every_bytes_like(
    codec: ModuleType, bytes_like: Callable[[bytes], Any], decoder_name: str, role: Role
) -> None:
    wire = data_frame(role, 2, bytes(range(200))) + data_frame(role, 1, b"Hi")
    decoder = getattr(codec, decoder_name)(role)
    expected = getattr(codec, decoder_name)(role).receive(wire)
    assert len(expected) == 2
    assert decoder.receive(bytes_like(wire)) == expected
    one_by_one = [item for byte in single_bytes(wire) for item in decoder.receive(bytes_like(byte))]
    assert one_by_one == expected
    assert decoder.receive(bytes_like(b"")) == []


@pytest.mark.parametrize("data", ["\x81\x00", None, 5, [0x81, 0]])
@pytest.mark.parametrize("decoder_name", ["FrameDecoder", "MessageDecoder"])
def test_receive_refuses_what_is_not_bytes_like(codec: ModuleType, decoder_name: str, data: Any) -> None:
    decoder = getattr(codec, decoder_name)(Role.CLIENT)
    with pytest.raises(TypeError):
        decoder.receive(data)
    assert decoder.error is None
    assert len(decoder.receive(b"\x81\x00")) == 1


@pytest.mark.parametrize("decoder_name", ["FrameDecoder", "MessageDecoder"])
@pytest.mark.parametrize("wire", ["81 01 41 83 00", "81 01 41 82 7f ffff", "81 01 41 c1"])
def test_error_is_raised_again_with_nothing_decoded(codec: ModuleType, decoder_name: str, wire: str) -> None:
    decoder = getattr(codec, decoder_name)(Role.CLIENT)
    data = bytes.fromhex(wire) + b"\xff" * 10
    with pytest.raises(ProtocolError) as first:
        decoder.receive(data)
    assert len(first.value.decoded) == 1
    for more in (b"", b"\x81\x01B", data):
        with pytest.raises(ProtocolError) as again:
            decoder.receive(more)
        assert again.value is first.value is decoder.error
        assert again.value.decoded == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_interrupted_decoder_does_not_go_on(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    # In the pure half alone there is something to put an interrupt into.
    pure = importlib.import_module("fastframe._codec_py_frame_decoder")
    read_header, calls = pure.read_header, iter(range(100))

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 2:
            raise error
        return read_header(*arguments)

    monkeypatch.setattr(pure, "read_header", interrupted)
    decoder = pure.FrameDecoder(Role.CLIENT)
    frames = data_frame(Role.CLIENT, 2, b"x") * 4
    for data in (frames[:-1], frames[-1:], b""):
        with pytest.raises(type(error)) as caught:
            decoder.receive(data)
        assert caught.value is error is decoder.error
    assert decoder.retained == 0


@pytest.mark.parametrize("name", ["FrameDecoder", "MessageDecoder", "FrameEncoder"])
@pytest.mark.parametrize("role", ["client", "SERVER", None, 0, 1, Opcode.TEXT, Role])
def test_role_has_to_be_a_role(codec: ModuleType, name: str, role: Any) -> None:
    with pytest.raises(TypeError) as caught:
        getattr(codec, name)(role)
    assert str(caught.value) == f"role must be Role.CLIENT or Role.SERVER, got {role!r}"


@pytest.mark.parametrize("limit", [-1, -(2**63), -(2**64)])
@pytest.mark.parametrize(
    ("name", "option", "rule"),
    [
        ("FrameDecoder", "max_frame_size", "not be negative"),
        ("MessageDecoder", "max_frame_size", "not be negative"),
        ("MessageDecoder", "max_message_size", "not be negative"),
        ("MessageDecoder", "max_fragments", "be positive"),
    ],
)
def test_negative_limit_is_an_error(codec: ModuleType, name: str, option: str, rule: str, limit: int) -> None:
    with pytest.raises(ValueError, match=f"^{option} must {rule}, got {limit}$"):
        getattr(codec, name)(Role.CLIENT, **{option: limit})


@pytest.mark.parametrize("limit", [1.5, 2.0, "7", b"7"])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("FrameDecoder", "max_frame_size"),
        ("MessageDecoder", "max_frame_size"),
        ("MessageDecoder", "max_message_size"),
        ("MessageDecoder", "max_fragments"),
    ],
)
def test_limit_that_is_no_whole_number_is_an_error(
    codec: ModuleType, name: str, option: str, limit: Any
) -> None:
    with pytest.raises(
        TypeError, match=f"^{option} must be a whole number or None, got {re.escape(repr(limit))}$"
    ):
        getattr(codec, name)(Role.CLIENT, **{option: limit})


def test_max_fragments_zero_is_an_error(codec: ModuleType) -> None:
    with pytest.raises(ValueError, match="^max_fragments must be positive, got 0$"):
        codec.MessageDecoder(Role.CLIENT, max_fragments=0)


@pytest.mark.parametrize("limit", [None, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**100])
def test_limits_of_any_size_are_taken(codec: ModuleType, limit: int | None) -> None:
    wire = data_frame(Role.CLIENT, 2, bytes(70_000))
    frames = feed(codec.FrameDecoder(Role.CLIENT, max_frame_size=limit), [wire])
    assert frames == Outcome([Frame(Opcode.BINARY, bytes(70_000))])
    options = {"max_frame_size": limit, "max_message_size": limit, "max_fragments": limit}
    assert feed(codec.MessageDecoder(Role.CLIENT, **options), [wire]) == Outcome([bytes(70_000)])


def test_every_first_two_bytes_are_judged_alike_with_and_without_the_rest(codec: ModuleType) -> None:
    for first in range(256):
        for second in (0, 1, 125, 126, 127, 128, 129, 253, 254, 255):
            start = bytes([first, second])
            for role in Role:
                short = feed(codec.FrameDecoder(role), [start])
                long = feed(codec.FrameDecoder(role), [start, b""])
                assert short.error == long.error
                allowed = first & 0x7F in (0, 1, 2) or first in (0x88, 0x89, 0x8A)
                too_long = first & 8 and second & 0x7F > 125
                wrong_mask = (second >= 0x80) != (role is Role.SERVER)
                assert (short.error is None) == (allowed and not too_long and not wrong_mask)
