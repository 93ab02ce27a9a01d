from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import product
from types import ModuleType
from typing import Any

import pytest
from wire import data_frame, expand, frame_bytes, load, masked_header, xor

from fastframe import Opcode, Role

SIZES = [0, 1, 5, 124, 125, 126, 127, 128, 1000, 65534, 65535, 65536, 65537, 200_000]
KEY = bytes.fromhex("37fa213d")
UNKNOWN_OPCODES = [3, 4, 5, 6, 7, 11, 15, 16, 129, 256, 258, -1, 2**31 + 1, 2**64]

# (opcode, payload, options, exception, message)
MISTAKES: list[Any] = [
    *((opcode, b"", {}, ValueError, f"opcode {opcode} is not one of RFC 6455") for opcode in UNKNOWN_OPCODES),
    *(
        (opcode, b"", {"fin": False}, ValueError, "a control frame cannot be fragmented")
        for opcode in (8, 9, 10)
    ),
    *(
        (opcode, bytes(size), {}, ValueError, f"a control frame's payload has at most 125 bytes, got {size}")
        for opcode in (8, 9, 10)
        for size in (126, 70_000)
    ),
    *(
        (opcode, "text", {}, TypeError, f"str payload in a frame of opcode 0x{opcode:X}: bytes wanted")
        for opcode in (2, 8, 9, 10)
    ),
    (2, "", {}, TypeError, "str payload in a frame of opcode 0x2: bytes wanted"),
    (1, "a\ud800", {}, UnicodeEncodeError, None),
    (0, "\udfff", {}, UnicodeEncodeError, None),
    (1, "x" * 100_000 + "\ud800", {}, UnicodeEncodeError, None),
    (1, None, {}, TypeError, None),
    (1, 5, {}, TypeError, None),
    (1, [1, 2], {}, TypeError, None),
    ("1", b"", {}, TypeError, None),
    (None, b"", {}, TypeError, None),
]


def noise(size: int) -> bytes:
    return (bytes(range(256)) * (size // 256 + 1))[:size]


def unmask(codec: ModuleType, encoded: bytes) -> tuple[bytes, bytes]:
    """Split one masked frame into its key and the frame that it hides."""
    header = codec.parse_header(encoded)
    payload = xor(encoded[header.header_length :], header.masking_key)
    plain = bytes([encoded[0], encoded[1] & 0x7F]) + encoded[2 : header.header_length - 4]
    return header.masking_key, plain + payload


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [Opcode.CONTINUATION, Opcode.TEXT, Opcode.BINARY])
def test_encode_frame_writes_the_shortest_header_and_the_payload(
    codec: ModuleType, opcode: Opcode, size: int
) -> None:
    payload = noise(size)
    plain = codec.encode_frame(opcode, payload)
    assert plain == data_frame(Role.CLIENT, opcode, payload)
    assert type(plain) is bytes
    assert codec.encode_frame(int(opcode), payload, masking_key=KEY) == data_frame(
        Role.SERVER, opcode, payload
    )


@pytest.mark.parametrize("flags", list(product([False, True], repeat=4)))
@pytest.mark.parametrize("opcode", [0, 1, 2])
def test_encode_frame_sets_fin_and_rsv(codec: ModuleType, opcode: int, flags: tuple[bool, ...]) -> None:
    fin, rsv1, rsv2, rsv3 = flags
    first = fin << 7 | rsv1 << 6 | rsv2 << 5 | rsv3 << 4 | opcode
    options = {"fin": fin, "rsv1": rsv1, "rsv2": rsv2, "rsv3": rsv3}
    assert codec.encode_frame(opcode, b"ab", **options) == bytes([first, 2]) + b"ab"
    encoder = codec.FrameEncoder(Role.SERVER)
    encoder.append(opcode, b"ab", **options)
    encoder.append(opcode, b"ab", fin, rsv1, rsv2, rsv3)
    assert encoder.take() == (bytes([first, 2]) + b"ab") * 2


@pytest.mark.parametrize(
    "key", [KEY, bytes(4), bytearray(KEY), memoryview(KEY[::-1])[::-1], array("f", [1.5])]
)
def test_encode_frame_masks_with_the_given_key(codec: ModuleType, key: Any) -> None:
    encoded = codec.encode_frame(2, noise(300), masking_key=key)
    header = masked_header(b"\x82\x7e\x01\x2c", memoryview(key).tobytes())
    assert encoded == header + xor(noise(300), memoryview(key).tobytes())


@pytest.mark.parametrize("size", [0, 3, 5, 16])
def test_encode_frame_key_of_other_than_4_bytes_is_an_error(codec: ModuleType, size: int) -> None:
    with pytest.raises(ValueError, match=f"^masking_key must be 4 bytes, got {size}$"):
        codec.encode_frame(1, b"x", masking_key=bytes(size))


@pytest.mark.parametrize("vector", load("rfc6455_5_7"), ids=lambda vector: vector["name"])
def test_rfc_examples_are_written_byte_for_byte(codec: ModuleType, vector: dict[str, Any]) -> None:
    wire = expand(vector["wire"])
    rest, written = wire, b""
    while rest:
        header = codec.parse_header(rest)
        end = header.header_length + header.payload_length
        payload = rest[header.header_length : end]
        if header.masking_key:
            payload = xor(payload, header.masking_key)
        written += codec.encode_frame(header.opcode, payload, fin=header.fin, masking_key=header.masking_key)
        rest = rest[end:]
    assert written == wire


@pytest.mark.parametrize(
    "text", ["", "Hello", "x" * 125, "ä" * 63, "é" * 40_000, "Ā你" * 100, "🌍a" * 50, "\0\x7f", "x" * 70_000]
)
@pytest.mark.parametrize("opcode", [0, 1])
def test_str_payload_is_encoded_in_utf8(codec: ModuleType, opcode: int, text: str) -> None:
    expected = data_frame(Role.CLIENT, opcode, text.encode())
    assert codec.encode_frame(opcode, text) == expected
    masked = data_frame(Role.SERVER, opcode, text.encode())
    assert codec.encode_frame(opcode, text, masking_key=KEY) == masked
    server, client = codec.FrameEncoder(Role.SERVER), codec.FrameEncoder(Role.CLIENT)
    server.append(opcode, text)
    assert server.take() == expected
    client.append(opcode, text)
    assert unmask(codec, client.take())[1] == expected


@pytest.mark.parametrize("size", [0, 1, 6, 300])
def test_payload_may_be_every_bytes_like(
    codec: ModuleType, bytes_like: Callable[[bytes], Any], size: int
) -> None:
    expected = data_frame(Role.CLIENT, 2, noise(size))
    assert codec.encode_frame(2, bytes_like(noise(size))) == expected
    server, client = codec.FrameEncoder(Role.SERVER), codec.FrameEncoder(Role.CLIENT)
    server.append(2, bytes_like(noise(size)))
    server.append_encoded(bytes_like(noise(size)))
    assert server.take() == expected + noise(size)
    client.append(2, bytes_like(noise(size)))
    assert unmask(codec, client.take())[1] == expected


def test_wide_items_are_counted_in_bytes(codec: ModuleType) -> None:
    floats = array("f", [1.5] * 40)
    assert codec.encode_frame(2, floats) == data_frame(Role.CLIENT, 2, floats.tobytes())
    with pytest.raises(ValueError, match="at most 125 bytes, got 160$"):
        codec.encode_frame(9, floats)


@pytest.mark.parametrize(("opcode", "payload", "options", "error", "message"), MISTAKES)
@pytest.mark.parametrize("role", Role)
def test_mistakes_are_refused_and_append_nothing(
    codec: ModuleType,
    role: Role,
    opcode: Any,
    payload: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str | None,
) -> None:
    encoder = codec.FrameEncoder(role)
    encoder.append(1, b"before")
    size = len(encoder)
    calls: list[Callable[[], object]] = [
        lambda: encoder.append(opcode, payload, **options),
        lambda: codec.encode_frame(opcode, payload, **options),
        lambda: codec.encode_frame(opcode, payload, masking_key=KEY, **options),
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert message is None or str(caught.value) == message
        assert len(encoder) == size
    encoder.append(1, b"after")
    assert len(encoder.take()) == size + size - 1


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_536])
def test_append_message_takes_the_opcode_from_the_type(codec: ModuleType, role: Role, size: int) -> None:
    encoder = codec.FrameEncoder(role)
    messages: list[Any] = [
        "é" * (size // 2),
        noise(size),
        bytearray(noise(size)),
        array("H", [1] * (size // 2)),
    ]
    for message in messages:
        assert encoder.append_message(message) == len(encoder)
    peer = Role.SERVER if role is Role.CLIENT else Role.CLIENT
    decoder = codec.MessageDecoder(peer, max_message_size=None)
    assert decoder.receive(encoder.take()) == [
        message if isinstance(message, str) else bytes(memoryview(message).cast("B") if size else b"")
        for message in messages
    ]


@pytest.mark.parametrize(
    ("message", "kind"),
    [(None, TypeError), (5, TypeError), ([b"a"], TypeError), ("\ud800", UnicodeEncodeError)],
)
def test_append_message_refuses_and_appends_nothing(
    codec: ModuleType, message: Any, kind: type[Exception]
) -> None:
    encoder = codec.FrameEncoder(Role.SERVER)
    with pytest.raises(kind):
        encoder.append_message(message)
    assert len(encoder) == 0


@pytest.mark.parametrize("value", ["text", None, 5])
def test_append_encoded_refuses_what_is_not_bytes_like(codec: ModuleType, value: Any) -> None:
    encoder = codec.FrameEncoder(Role.SERVER)
    with pytest.raises(TypeError):
        encoder.append_encoded(value)
    assert (len(encoder), encoder.take()) == (0, b"")


def test_server_frames_are_appended_in_order(codec: ModuleType) -> None:
    encoder = codec.FrameEncoder(role=Role.SERVER)
    expected = b""
    for size in SIZES:
        encoder.append(opcode=2, payload=noise(size))
        encoder.append_encoded(b"\x8a\x00")
        expected += data_frame(Role.CLIENT, 2, noise(size)) + b"\x8a\x00"
        assert len(encoder) == len(expected)
    taken = encoder.take()
    assert taken == expected
    assert type(taken) is bytes
    assert (len(encoder), encoder.take()) == (0, b"")
    encoder.append(9)
    assert encoder.take() == b"\x89\x00"


@pytest.mark.parametrize("size", SIZES)
def test_client_frames_hide_the_plain_one(codec: ModuleType, size: int) -> None:
    encoder = codec.FrameEncoder(Role.CLIENT)
    encoder.append(1, b"x" * 3)
    offset = len(encoder)
    encoder.append(2, noise(size), False, True)
    first = 0x42
    header = data_frame(Role.CLIENT, 2, noise(size))[: -size or None]
    _, plain = unmask(codec, encoder.take()[offset:])
    assert plain == bytes([first]) + header[1:] + noise(size)


def test_taken_bytes_are_not_changed_by_later_appends(codec: ModuleType) -> None:
    encoder = codec.FrameEncoder(Role.SERVER)
    taken = []
    for value in range(20):
        encoder.append(2, bytes([value]) * 5000)
        taken.append(encoder.take())
    assert taken == [data_frame(Role.CLIENT, 2, bytes([value]) * 5000) for value in range(20)]


@pytest.mark.parametrize("size", [0, 1, 2, 127, 100_000])
@pytest.mark.parametrize("held", [False, True])
def test_encoded_bytes_are_not_changed_by_what_is_appended_behind_them(
    codec: ModuleType, size: int, held: bool
) -> None:
    encoder = codec.FrameEncoder(Role.SERVER)
    kept = []
    for value in range(5):
        frames = bytes([value]) * size
        if held:
            kept.append(frames)
        encoder.append_encoded(frames)
        del frames
        assert len(encoder) == size
        if value % 2:
            encoder.append(9)
            encoder.append_encoded(b"\x8a\x00")
            assert len(encoder) == size + 4
        assert encoder.take() == bytes([value]) * size + b"\x89\x00\x8a\x00" * (value % 2)
        assert (len(encoder), encoder.take()) == (0, b"")
    assert kept == [bytes([value]) * size for value in range(5)] * held


@pytest.mark.parametrize("payload", [bytearray(b"data"), bytearray(b"data" * 20_000)])
def test_payload_is_copied_and_its_buffer_released(codec: ModuleType, payload: bytearray) -> None:
    original = bytes(payload)
    for role in Role:
        encoder = codec.FrameEncoder(role)
        encoder.append(2, payload)
        encoder.append_encoded(payload)
        payload.extend(b"more")
        payload[:4] = b"DATA"
        frame = data_frame(Role.CLIENT, 2, original)
        taken = encoder.take()
        assert taken.endswith(original)
        body = taken[: -len(original)]
        assert (body if role is Role.SERVER else unmask(codec, body)[1]) == frame
        payload[:] = original


def test_refused_payload_is_released(codec: ModuleType) -> None:
    payload = bytearray(126)
    encoder = codec.FrameEncoder(Role.SERVER)
    kept: list[Exception] = []
    calls: list[Callable[[], object]] = [
        lambda: encoder.append(9, payload),
        lambda: codec.encode_frame(9, payload),
    ]
    for call in calls:
        try:
            call()
        except ValueError as error:
            kept.append(error)
        payload.append(0)
    assert len(kept) == 2


def test_encoded_frames_decode_to_what_was_appended(codec: ModuleType) -> None:
    for role, peer in ((Role.CLIENT, Role.SERVER), (Role.SERVER, Role.CLIENT)):
        encoder = codec.FrameEncoder(role)
        encoder.append(1, "Hello 你好")
        encoder.append(2, noise(70_000))
        encoder.append(1, "frag", fin=False)
        encoder.append(0, "ment")
        decoder = codec.MessageDecoder(peer, max_message_size=100_000)
        assert decoder.receive(encoder.take()) == ["Hello 你好", noise(70_000), "fragment"]


def test_frame_bytes_helper_agrees_with_rfc_example() -> None:
    wire = bytes.fromhex("8185 37fa213d 7f9f4d5158")
    assert frame_bytes(Role.SERVER, b"\x81\x05", b"Hello", KEY) == wire
