"""How many times its size a message may inflate to: `max_ratio`."""

from __future__ import annotations

import random
import sys
import zlib
from types import ModuleType
from typing import Any

import pytest
from deflate_pairs import STATELESS, codec_pair, compressing_with
from traced import traced
from wire import data_frame

from fastframe import MessageTooBig, Role
from fastframe.deflate import PerMessageDeflate

FLOOR = 64 * 1024
KEEPING = PerMessageDeflate()
both = pytest.mark.parametrize("client", [KEEPING, STATELESS], ids=["context", "no context"])


def server_with(max_ratio: float | None, client: PerMessageDeflate = KEEPING) -> Any:
    return codec_pair(client, PerMessageDeflate(max_ratio=max_ratio))[1]


def deflated(message: bytes) -> bytes:
    return codec_pair(STATELESS)[0].compress(message)


def refusal(size: int, allowed: int, max_ratio: float) -> str:
    return (
        f"compressed message of {size} bytes inflates to at least {allowed + 1}, "
        f"which exceeds max_ratio {max_ratio:g}"
    )


@both
@pytest.mark.parametrize("max_ratio", [10, 10.5, 1000])
def test_the_ratio_is_exact(client: PerMessageDeflate, max_ratio: float) -> None:
    # Noise that compression does not shorten, and zeros that take next to nothing.
    noise = random.Random(1).randbytes(20_000)
    with compressing_with("zlib"):
        payload = deflated(noise + bytes(400_000))
        allowed = int(max_ratio * len(payload))
        if allowed >= 420_000:
            assert server_with(max_ratio, client).inflate(payload, None) == noise + bytes(400_000)
            return
        with pytest.raises(MessageTooBig) as caught:
            server_with(max_ratio, client).inflate(payload, None)
    assert str(caught.value) == refusal(len(payload), allowed, max_ratio)
    assert caught.value.close_code == 1009


@both
def test_a_message_of_just_the_ratio_is_inflated(client: PerMessageDeflate) -> None:
    message = random.Random(1).randbytes(10_000) + bytes(190_000)
    payload = deflated(message)
    exact = len(message) / len(payload)
    assert server_with(exact + 1e-6, client).inflate(payload, None) == message
    with pytest.raises(MessageTooBig):
        server_with((len(message) - 1) / len(payload), client).inflate(payload, None)


@both
def test_small_messages_are_let_alone(client: PerMessageDeflate) -> None:
    payload = deflated(bytes(FLOOR))
    assert len(payload) < FLOOR / 500
    assert server_with(1, client).inflate(payload, None) == bytes(FLOOR)
    assert server_with(1, client).inflate(b"\0", None) == b""
    payload = deflated(bytes(FLOOR + 1))
    with pytest.raises(MessageTooBig) as caught:
        server_with(1, client).inflate(payload, None)
    assert str(caught.value) == refusal(len(payload), FLOOR, 1)


@both
@pytest.mark.parametrize(
    ("max_size", "said"),
    [
        (FLOOR - 1, f"message of at least {FLOOR} bytes exceeds max_message_size {FLOOR - 1}"),
        (FLOOR, f"message of at least {FLOOR + 1} bytes exceeds max_message_size {FLOOR}"),
        (FLOOR + 1, refusal(len(deflated(bytes(10**6))), FLOOR, 20)),
        (2**70, refusal(len(deflated(bytes(10**6))), FLOOR, 20)),
        (None, refusal(len(deflated(bytes(10**6))), FLOOR, 20)),
    ],
)
def test_the_smaller_limit_is_the_one_that_is_named(
    client: PerMessageDeflate, max_size: int | None, said: str
) -> None:
    with pytest.raises(MessageTooBig) as caught:
        server_with(20, client).inflate(deflated(bytes(10**6)), max_size)
    assert str(caught.value) == said


@both
def test_without_a_ratio_deflate_sets_the_limit(client: PerMessageDeflate) -> None:
    message = bytes(10_000_000)
    compressor = zlib.compressobj(9, wbits=-15)
    payload = compressor.compress(message) + compressor.flush()
    assert len(message) / len(payload) > 1000
    assert codec_pair(client)[1].inflate(payload + b"\0", None) == message
    assert server_with(1032, client).inflate(payload + b"\0", None) == message


@both
@pytest.mark.parametrize("fragments", [1, 2, 50])
def test_fragments_are_judged_together(codec: ModuleType, client: PerMessageDeflate, fragments: int) -> None:
    noise = random.Random(2).randbytes(30_000)
    good, bomb = deflated(noise + bytes(100_000)), deflated(bytes(1_000_000))

    def wire(payload: bytes) -> bytes:
        pieces = [
            payload[i * len(payload) // fragments : (i + 1) * len(payload) // fragments]
            for i in range(fragments)
        ]
        return b"".join(
            data_frame(Role.SERVER, 0 if i else 2, piece, fin=i == fragments - 1, rsv=0 if i else 4)
            for i, piece in enumerate(pieces)
        )

    decoder = codec.MessageDecoder(
        Role.SERVER, inflate=server_with(10, client).inflate, max_message_size=None
    )
    assert decoder.receive(wire(good)) == [noise + bytes(100_000)]
    with pytest.raises(MessageTooBig, match="max_ratio 10$") as caught:
        decoder.receive(wire(good) + wire(bomb))
    assert caught.value.decoded == [noise + bytes(100_000)]


def test_context_counts_for_the_message_that_uses_it() -> None:
    client, server = codec_pair(server=PerMessageDeflate(max_ratio=20))
    client._compressor = zlib.compressobj(wbits=-12)
    block = random.Random(3).randbytes(3000)
    # Each but the first is a few bytes that refer to the message before, and small enough.
    for _ in range(4):
        payload = client.compress(block)
        assert server.inflate(payload, None) == block
    assert len(block) > 20 * len(payload)
    payload = client.compress(block * 30)
    with pytest.raises(MessageTooBig) as caught:
        server.inflate(payload, None)
    assert str(caught.value) == refusal(len(payload), max(FLOOR, 20 * len(payload)), 20)


@both
def test_final_blocks_count_as_one_message(client: PerMessageDeflate) -> None:
    compressor = zlib.compressobj(9, wbits=-12)
    block = compressor.compress(bytes(40_000)) + compressor.flush(zlib.Z_FINISH)
    assert server_with(20, client).inflate(block, None) == bytes(40_000)
    with pytest.raises(MessageTooBig) as caught:
        server_with(20, client).inflate(block * 2, None)
    assert str(caught.value) == refusal(2 * len(block), FLOOR, 20)


@both
def test_no_more_is_ever_inflated_than_allowed(client: PerMessageDeflate) -> None:
    payload = deflated(bytes(50_000_000))
    allowed = 30 * len(payload)
    server = server_with(30, client)
    with traced() as memory:
        with pytest.raises(MessageTooBig, match="max_ratio 30$"):
            server.inflate(payload, None)
        _, peak = memory()
    # As much again while the output's pieces are joined, and the input with its tail.
    assert allowed < peak < 2 * allowed + 2 * len(payload) + 100_000 < 50_000_000


def test_the_ratio_is_each_side_s_own() -> None:
    client, server = codec_pair(PerMessageDeflate(max_ratio=5), PerMessageDeflate())
    message = bytes(100_000)
    assert server.inflate(client.compress(message), None) == message
    with pytest.raises(MessageTooBig, match="max_ratio 5$"):
        client.inflate(server.compress(message), None)


@pytest.mark.parametrize("max_ratio", [0, 0.9, -1, True, "20", float("inf"), float("nan"), (1,)])
def test_what_is_no_ratio_is_refused(max_ratio: Any) -> None:
    with pytest.raises(ValueError, match=r"^max_ratio must be at least 1, or None, got "):
        PerMessageDeflate(max_ratio=max_ratio)


@pytest.mark.parametrize("max_ratio", [None, 1, 1.5, 10**6, sys.maxsize * 4, sys.float_info.max, 10**400])
def test_any_other_ratio_is_taken(max_ratio: float | None) -> None:
    assert server_with(max_ratio).inflate(deflated(b"Hello" * 9), None) == b"Hello" * 9


@both
@pytest.mark.parametrize("max_ratio", [1032, 2048, 1e300, sys.float_info.max, 10**400])
def test_a_ratio_beyond_that_of_deflate_refuses_nothing(
    codec: ModuleType, client: PerMessageDeflate, max_ratio: float
) -> None:
    message = bytes(5_000_000)
    compressor = zlib.compressobj(9, wbits=-12)
    payload = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
    wire = data_frame(Role.SERVER, 2, payload[:-4], rsv=4)

    def decoder(max_message_size: int | None) -> Any:
        inflate = server_with(max_ratio, client).inflate
        return codec.MessageDecoder(Role.SERVER, inflate=inflate, max_message_size=max_message_size)

    assert decoder(None).receive(wire) == [message]
    with pytest.raises(MessageTooBig, match="exceeds max_message_size 4999999$"):
        decoder(4_999_999).receive(wire)
