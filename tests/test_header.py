from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from wire import Error, expand, load, masked_header

from fastframe import FrameHeader, Opcode, ProtocolError

HEADERS = load("headers")
HEADER_ERRORS = load("header_errors")


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def expected_header(vector: dict[str, Any]) -> FrameHeader:
    rsv1, rsv2, rsv3 = (bit == "1" for bit in vector.get("rsv", "000"))
    key = expand(vector["masking_key"]) if "masking_key" in vector else None
    size = len(expand(vector["header"]))
    return FrameHeader(
        vector.get("fin", True),
        rsv1,
        rsv2,
        rsv3,
        Opcode(vector["opcode"]),
        key,
        vector["payload_length"],
        size,
    )


@pytest.mark.parametrize("vector", named(HEADERS))
def test_parse_header_reads_every_field(codec: ModuleType, vector: dict[str, Any]) -> None:
    wire = expand(vector["header"])
    header = codec.parse_header(wire)
    assert header == expected_header(vector)
    assert isinstance(header, FrameHeader)
    assert [type(value) for value in header[:5]] == [bool, bool, bool, bool, Opcode]
    assert type(header.masking_key) is (bytes if "masking_key" in vector else type(None))
    assert header.masked is ("masking_key" in vector)


@pytest.mark.parametrize("vector", named(HEADERS))
def test_parse_header_wants_more_bytes_of_every_prefix(codec: ModuleType, vector: dict[str, Any]) -> None:
    wire = expand(vector["header"])
    assert [codec.parse_header(wire[:size]) for size in range(len(wire))] == [None] * len(wire)


@pytest.mark.parametrize("vector", named(HEADERS))
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 7, 8, 13, 64])
def test_parse_header_starts_at_offset(codec: ModuleType, vector: dict[str, Any], offset: int) -> None:
    wire = b"\xff" * offset + expand(vector["header"])
    assert codec.parse_header(wire + b"\xff" * 20, offset) == expected_header(vector)
    assert codec.parse_header(data=wire, offset=offset) == expected_header(vector)
    assert codec.parse_header(wire[:-1], offset) is None


@pytest.mark.parametrize("vector", named([v for v in HEADER_ERRORS if "parse_header" in v["by"]]))
def test_parse_header_refuses_at_the_decisive_byte(codec: ModuleType, vector: dict[str, Any]) -> None:
    header, needed = expand(vector["header"]), vector["at"]
    for wire in (header, masked_header(header, b"\1\2\3\4")):
        for size in range(needed):
            assert codec.parse_header(wire[:size]) is None
        for size in range(needed, len(wire) + 1):
            with pytest.raises(ProtocolError) as caught:
                codec.parse_header(wire[:size])
            assert Error.of(caught.value) == Error(*vector["error"])
            assert caught.value.decoded == []


@pytest.mark.parametrize("first", range(256))
def test_parse_header_judges_every_first_byte(codec: ModuleType, first: int) -> None:
    opcode = first & 0x0F
    allowed = opcode in (0, 1, 2) or (opcode in (8, 9, 10) and first & 0x80)
    if not allowed:
        with pytest.raises(ProtocolError):
            codec.parse_header(bytes([first, 5]))
    else:
        bits = [bool(first & bit) for bit in (0x80, 0x40, 0x20, 0x10)]
        assert codec.parse_header(bytes([first, 5])) == (*bits, opcode, None, 5, 2)


@pytest.mark.parametrize("offset", [2, 3, 100, 2**31, 2**63 - 1, 2**63, 2**64, 2**100])
def test_parse_header_offset_at_or_beyond_the_end_needs_more(codec: ModuleType, offset: int) -> None:
    assert codec.parse_header(b"\x81\x00", offset) is None


@pytest.mark.parametrize("offset", [-1, -2, -(2**63), -(2**64)])
def test_parse_header_negative_offset_is_an_error(codec: ModuleType, offset: int) -> None:
    with pytest.raises(ValueError, match=f"^offset must not be negative, got {offset}$"):
        codec.parse_header(b"\x81\x00", offset)


def test_parse_header_takes_every_bytes_like(codec: ModuleType, bytes_like: Any) -> None:
    wire = bytes.fromhex("82fe0100 37fa213d ffff")
    assert codec.parse_header(bytes_like(wire)).payload_length == 256


@pytest.mark.parametrize("data", ["\x81\x00", None, 5, [0x81, 0]])
def test_parse_header_refuses_what_is_not_bytes_like(codec: ModuleType, data: Any) -> None:
    with pytest.raises(TypeError):
        codec.parse_header(data)


@pytest.mark.parametrize("vector", named(HEADERS))
def test_encode_header_writes_the_vector(codec: ModuleType, vector: dict[str, Any]) -> None:
    header = expected_header(vector)
    encoded = codec.encode_header(
        header.opcode,
        header.payload_length,
        fin=header.fin,
        rsv1=header.rsv1,
        rsv2=header.rsv2,
        rsv3=header.rsv3,
        masking_key=header.masking_key,
    )
    assert encoded == expand(vector["header"])
    assert type(encoded) is bytes


@pytest.mark.parametrize("length", [-1, -(2**63), 2**63, 2**64 - 1, 2**64, 2**100])
def test_encode_header_length_out_of_range_is_an_error(codec: ModuleType, length: int) -> None:
    with pytest.raises(ValueError, match=rf"^payload_length must be in 0\.\.2\*\*63-1, got {length}$"):
        codec.encode_header(2, length)


@pytest.mark.parametrize(
    "opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16, 129, 255, 256, 257, -1, 2**31, 2**64]
)
def test_encode_header_unknown_opcode_is_an_error(codec: ModuleType, opcode: int) -> None:
    with pytest.raises(ValueError, match=f"^opcode {opcode} is not one of RFC 6455$"):
        codec.encode_header(opcode, 0)


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_encode_header_control_frame_rules_are_checked(codec: ModuleType, opcode: int) -> None:
    assert codec.encode_header(opcode, 125) == bytes([0x80 | opcode, 125])
    with pytest.raises(ValueError, match="^a control frame cannot be fragmented$"):
        codec.encode_header(opcode, 0, fin=False)
    for size in (126, 65536, 2**63 - 1):
        message = f"^a control frame's payload has at most 125 bytes, got {size}$"
        with pytest.raises(ValueError, match=message):
            codec.encode_header(opcode, size)


@pytest.mark.parametrize("size", [0, 1, 3, 5, 8])
def test_encode_header_key_of_other_than_4_bytes_is_an_error(codec: ModuleType, size: int) -> None:
    with pytest.raises(ValueError, match=f"^masking_key must be 4 bytes, got {size}$"):
        codec.encode_header(1, 0, masking_key=b"k" * size)
