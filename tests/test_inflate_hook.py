"""The hook for permessage-deflate: what it is given, and what it may do wrong."""

from __future__ import annotations

import zlib
from types import ModuleType
from typing import Any

import pytest
from wire import Error, data_frame

from fastframe import MessageTooBig, Ping, ProtocolError, Role

PING = data_frame(Role.CLIENT, 9, b"")
TEXT = data_frame(Role.CLIENT, 1, b"plain")
COMPRESSED = data_frame(Role.CLIENT, 2, b"zipped", rsv=4)


class Broken(Exception):
    pass


def raising(error: BaseException) -> Any:
    def inflate(payload: bytes, limit: int | None) -> bytes:
        raise error

    return inflate


def test_inflate_gets_the_joined_payload_and_the_limit(codec: ModuleType) -> None:
    calls: list[tuple[bytes, int | None]] = []

    def inflate(payload: bytes, limit: int | None) -> bytes:
        calls.append((payload, limit))
        return payload.upper()

    for limit in (100, 0, None, 2**70):
        calls.clear()
        decoder = codec.MessageDecoder(Role.SERVER, inflate=inflate, max_message_size=limit)
        pieces = [b"", b"", b""] if limit == 0 else [b"ab", b"", b"cd"]
        wire = data_frame(Role.SERVER, 1, pieces[0], fin=False, rsv=4)
        wire += data_frame(Role.SERVER, 9, b"p") + data_frame(Role.SERVER, 0, pieces[1], fin=False)
        wire += data_frame(Role.SERVER, 0, pieces[2])
        whole = b"".join(pieces)
        assert decoder.receive(wire) == [Ping(b"p"), whole.decode().upper()]
        assert calls == [(whole, limit)]
        assert type(calls[0][0]) is bytes


def test_inflate_default_limit_is_one_mebibyte(codec: ModuleType) -> None:
    limits: list[int | None] = []

    def inflate(payload: bytes, limit: int | None) -> bytes:
        limits.append(limit)
        return payload

    codec.MessageDecoder(Role.CLIENT, inflate=inflate).receive(COMPRESSED)
    assert limits == [1024 * 1024]


def test_plain_messages_are_not_inflated(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=raising(Broken()))
    fragments = data_frame(Role.CLIENT, 2, b"a", fin=False) + data_frame(Role.CLIENT, 0, b"b")
    assert decoder.receive(TEXT + fragments + PING) == ["plain", b"ab", Ping()]


def test_real_deflate_round_trip(codec: ModuleType) -> None:
    deflater = zlib.compressobj(wbits=-15)
    inflater = zlib.decompressobj(wbits=-15)
    texts = ["Hello 你好 " * 50, "", "Hello again " * 50]
    wire = b""
    for text in texts:
        payload = deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH)
        wire += data_frame(Role.SERVER, 1, payload[:-4], rsv=4)

    def inflate(payload: bytes, limit: int | None) -> bytes:
        assert limit is not None
        return inflater.decompress(payload + b"\0\0\xff\xff", limit + 1)

    assert codec.MessageDecoder(Role.SERVER, inflate=inflate).receive(wire) == texts


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [11, 12, 1_000_000])
def test_inflating_too_much_is_too_big(codec: ModuleType, opcode: int, size: int) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, max_message_size=10, inflate=lambda *_: b"x" * size)
    with pytest.raises(MessageTooBig) as caught:
        decoder.receive(PING + data_frame(Role.CLIENT, opcode, b"zipped", rsv=4))
    said = f"message of at least {size} bytes exceeds max_message_size 10"
    assert Error.of(caught.value) == Error("MessageTooBig", 1009, said)
    assert caught.value.decoded == [Ping()]


def test_unlimited_inflate_may_return_anything(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, max_message_size=None, inflate=lambda *_: bytes(3_000_000))
    assert decoder.receive(COMPRESSED) == [bytes(3_000_000)]


@pytest.mark.parametrize("error", [Broken("why"), ValueError("bad block"), KeyError(1)])
def test_inflate_error_propagates_and_is_kept(codec: ModuleType, error: Exception) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=raising(error))
    for data in (TEXT + COMPRESSED + TEXT, TEXT, b""):
        with pytest.raises(type(error)) as caught:
            decoder.receive(data)
        assert caught.value is error is decoder.error
    assert decoder.get_buffer() is None
    with pytest.raises(type(error)):
        decoder.received(0)


def test_inflate_interrupted_is_kept_too(codec: ModuleType) -> None:
    # What followed the message in the same read is lost, so to go on would be to decode from a wrong place.
    interrupt = KeyboardInterrupt()
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=raising(interrupt))
    for data in (COMPRESSED + TEXT[:3], TEXT[3:]):
        with pytest.raises(KeyboardInterrupt) as caught:
            decoder.receive(data)
        assert caught.value is interrupt


def test_inflate_protocol_error_carries_what_was_decoded(codec: ModuleType) -> None:
    error = ProtocolError("invalid block type in a compressed message")
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=raising(error))
    with pytest.raises(ProtocolError) as caught:
        decoder.receive(TEXT + PING + COMPRESSED)
    assert caught.value is error
    assert error.decoded == ["plain", Ping()]
    with pytest.raises(ProtocolError):
        decoder.receive(TEXT)
    assert error.decoded == []


class BytesAndMore(bytes):
    pass


@pytest.mark.parametrize(
    "result",
    [None, 5, "text", [1], object(), bytearray(b"hi"), BytesAndMore(b"hi")],
    ids=["None", "int", "str", "list", "object", "bytearray", "subclass"],
)
@pytest.mark.parametrize("opcode", [1, 2])
def test_inflate_returning_no_bytes_is_a_type_error(codec: ModuleType, opcode: int, result: Any) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT, inflate=lambda *_: result)
    wire = data_frame(Role.CLIENT, opcode, b"zipped", rsv=4)
    with pytest.raises(TypeError) as caught:
        decoder.receive(wire)
    assert str(caught.value) == f"inflate must return bytes, got {type(result).__name__}"
    assert decoder.error is caught.value
    with pytest.raises(TypeError) as again:
        decoder.receive(wire)
    assert again.value is caught.value


@pytest.mark.parametrize("max_message_size", [0, 16, 1000, 65536])
def test_wire_limit_of_compressed_messages_allows_for_incompressible_data(
    codec: ModuleType, max_message_size: int
) -> None:
    wire_limit = max_message_size + max_message_size // 8 + 64
    options = {"max_message_size": max_message_size, "inflate": lambda *_: b""}
    fits = data_frame(Role.CLIENT, 2, bytes(wire_limit), rsv=4)
    assert codec.MessageDecoder(Role.CLIENT, **options).receive(fits) == [b""]
    over = data_frame(Role.CLIENT, 2, bytes(wire_limit + 1), rsv=4)
    with pytest.raises(MessageTooBig, match=f"^message of at least {wire_limit + 1} bytes exceeds"):
        codec.MessageDecoder(Role.CLIENT, **options).receive(over)
