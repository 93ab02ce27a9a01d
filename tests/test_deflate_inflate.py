"""What a peer may send to be inflated, and what hostile bytes cannot do."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import traceback
import zlib
from typing import Any

import pytest
from deflate_pairs import HELLO, STATELESS, TAIL, codec_pair, contents
from hypothesis import given
from hypothesis import strategies as st

from fastframe import MessageTooBig, ProtocolError
from fastframe.deflate import PerMessageDeflate

MIB = 1024 * 1024


def final_block(message: bytes, window: bytes = b"") -> bytes:
    compressor = zlib.compressobj(wbits=-12, zdict=window) if window else zlib.compressobj(wbits=-12)
    return compressor.compress(message) + compressor.flush(zlib.Z_FINISH)


def plain_block(message: bytes, window: bytes = b"") -> bytes:
    compressor = zlib.compressobj(wbits=-12, zdict=window) if window else zlib.compressobj(wbits=-12)
    return compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]


@pytest.mark.parametrize("wishes", [PerMessageDeflate(), STATELESS], ids=["context", "no context"])
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (final_block(b"one") + b"\0", b"one"),
        # Section 7.2.3.4 calls the octet after it necessary; not every peer sends it.
        (final_block(b"one"), b"one"),
        (final_block(b"") + b"\0", b""),
        (final_block(b"one") + final_block(b"two") + b"\0", b"onetwo"),
        (final_block(b"one") + final_block(b"two"), b"onetwo"),
        (final_block(b"one") + plain_block(b"two"), b"onetwo"),
        (plain_block(b"one") + TAIL + final_block(b"two") + b"\0", b"onetwo"),
        (final_block(b"one" * 9) + final_block(b"one" * 9, b"one" * 9) + b"\0", b"one" * 18),
        (final_block(b"x") * 64, b"x" * 64),
        # A stored block with BFINAL set that contains what ends a message.
        (b"\x01\x04\x00\xfb\xff" + TAIL + b"\0", TAIL),
    ],
)
def test_data_after_a_final_block_is_inflated(
    wishes: PerMessageDeflate, payload: bytes, message: bytes
) -> None:
    codec, _ = codec_pair(wishes)
    for _ in range(3):
        if codec._peer_is_stateless and payload == final_block(b"x") * 64:
            payload, message = payload[: len(payload) // 64 * 63], b"x" * 63
        assert codec.inflate(payload, len(message)) == message
        assert codec.inflate(HELLO, 5) == b"Hello"


def test_window_outlives_a_final_block() -> None:
    codec, _ = codec_pair()
    rng = random.Random(5)
    sent = b""
    for turn in range(40):
        # Refers to a message some eight messages ago.
        message = rng.randbytes(rng.randint(100, 400)) + sent[-3000:-2800]
        block = final_block if turn % 3 != 1 else plain_block
        payload = block(message, sent[-4096:])
        assert turn < 20 or len(payload) < len(message) - 100
        # With the octet of section 7.2.3.4 and without.
        payload += b"\0" * (block is final_block and turn % 2)
        assert codec.inflate(payload, len(message)) == message
        sent += message


def test_final_blocks_share_one_budget() -> None:
    payload = final_block(bytes(600)) + final_block(bytes(600)) + plain_block(bytes(600))
    assert codec_pair()[0].inflate(payload, 1800) == bytes(1800)
    for limit in (1799, 1200, 1199, 600, 599, 0):
        for wishes in (PerMessageDeflate(), STATELESS):
            with pytest.raises(MessageTooBig, match=f" {limit + 1} bytes exceeds max_message_size {limit}$"):
                codec_pair(wishes)[0].inflate(payload, limit)


@pytest.mark.parametrize("wishes", [PerMessageDeflate(), STATELESS], ids=["context", "no context"])
def test_final_blocks_are_counted(wishes: PerMessageDeflate) -> None:
    for payload in (b"\x03\x00" * 65, b"\x03\x00" * (MIB // 2)):
        start = time.process_time()
        with pytest.raises(
            MessageTooBig, match=r"^compressed message of more than 64 blocks with BFINAL set$"
        ):
            codec_pair(wishes)[0].inflate(payload, None)
        assert time.process_time() - start < 1


@pytest.mark.parametrize("wishes", [PerMessageDeflate(), STATELESS], ids=["context", "no context"])
def test_limit_is_exact(wishes: PerMessageDeflate) -> None:
    for size in (0, 1, 1000, 100_000):
        payload = codec_pair(STATELESS)[1].compress(bytes(size))
        for limit in (size, size + 1, 2**70, sys.maxsize, None):
            assert codec_pair(wishes)[0].inflate(payload, limit) == bytes(size)
        for limit in {0, size // 2, size - 1} - {size, -1}:
            with pytest.raises(MessageTooBig) as caught:
                codec_pair(wishes)[0].inflate(payload, limit)
            assert caught.value.close_code == 1009
            said = f"message of at least {limit + 1} bytes exceeds max_message_size {limit}"
            assert str(caught.value) == said


CORRUPT = {
    "ffffff": "invalid block type",
    "000500000000": "invalid stored block lengths",
    "f200110000": "invalid distance too far back",
    "fcffff": "too many length or distance symbols",
    "04e09324499224499200": "invalid code lengths set",
    "04001200000000": "invalid bit length repeat",
    # Symbols that the fixed codes have and give no meaning to: distance 30, length 286.
    "4a043e": "invalid distance code",
    "1a03": "invalid literal/length code",
}


@pytest.mark.parametrize("wishes", [PerMessageDeflate(), STATELESS], ids=["context", "no context"])
@pytest.mark.parametrize("payload", sorted(CORRUPT))
def test_corrupt_data_is_a_protocol_error_that_says_why(wishes: PerMessageDeflate, payload: str) -> None:
    codec, _ = codec_pair(wishes)
    with pytest.raises(ProtocolError) as caught:
        codec.inflate(bytes.fromhex(payload), 1000)
    assert type(caught.value) is ProtocolError and caught.value.close_code == 1002
    assert str(caught.value) == f"compressed message is not DEFLATE data: {CORRUPT[payload]}"
    with pytest.raises(ProtocolError) as again:
        codec.inflate(HELLO, 1000)
    assert again.value is caught.value


@pytest.mark.parametrize(
    "payload", [b"", HELLO[:3], HELLO[:-1] + b"\x02", b"\0" + TAIL, b"\0\x50\0\xaf\xffabc"]
)
def test_message_cut_inside_a_block_is_noticed_without_context(payload: bytes) -> None:
    for limit in (None, 1000):
        codec, _ = codec_pair(STATELESS)
        with pytest.raises(ProtocolError, match=r"^compressed message ") as caught:
            codec.inflate(payload, limit)
        assert caught.value.close_code == 1002


def test_too_big_is_too_big_ever_after() -> None:
    codec, server = codec_pair()
    payload = server.compress(bytes(100))
    with pytest.raises(MessageTooBig) as caught:
        codec.inflate(payload, 99)
    with pytest.raises(MessageTooBig) as again:
        codec.inflate(HELLO, None)
    assert again.value is caught.value


def frames_of(error: BaseException) -> list[Any]:
    assert error.__context__ is None and error.__cause__ is None
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


@pytest.mark.parametrize("payload", [HELLO, bytes.fromhex(min(CORRUPT))])
def test_kept_failure_keeps_no_data_and_its_traceback_does_not_grow(payload: bytes) -> None:
    codec, _ = codec_pair()
    depths = []
    for _ in range(3):
        with pytest.raises(ProtocolError) as caught:
            codec.inflate(payload, 4)
        frames = frames_of(caught.value)
        depths.append(len(frames))
        if len(depths) == 1:
            assert [frame.f_locals[name] for frame in frames[1:] for name in ("payload", "message")] == [
                b"",
                b"",
            ]
    assert depths == [2, 2, 2]


@given(
    st.lists(st.binary(max_size=80), max_size=4),
    st.integers(0, 3000),
    st.sampled_from([PerMessageDeflate(), STATELESS]),
)
def test_any_bytes_are_inflated_or_refused(
    payloads: list[bytes], limit: int, wishes: PerMessageDeflate
) -> None:
    codec, _ = codec_pair(wishes)
    for payload in payloads:
        try:
            assert len(codec.inflate(payload, limit)) <= limit
        except ProtocolError:
            return


@given(
    st.data(), contents.filter(bool), st.integers(0, 3000), st.sampled_from([PerMessageDeflate(), STATELESS])
)
def test_damaged_messages_are_inflated_or_refused(
    data: st.DataObject, message: bytes, limit: int, wishes: PerMessageDeflate
) -> None:
    client, server = codec_pair(wishes)
    payload = bytearray(client.compress(message))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert len(server.inflate(bytes(payload), limit)) <= limit
    except ProtocolError:
        return


def bomb(mebibytes: int) -> bytes:
    """So many MiB of zeros; a full flush ends each so that the next is the same bytes again."""
    compressor = zlib.compressobj(9, wbits=-15)
    return ((compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)) * mebibytes)[:-4]


BOMB = """
import sys
from fastframe import MessageDecoder, MessageTooBig, Role
from fastframe.deflate import PerMessageDeflate
from fastframe.http_headers import Extension

def peak():  # in KiB; not ru_maxrss, which a process takes over from its parent
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))

payload = sys.stdin.buffer.read()
wishes = PerMessageDeflate(client_no_context_takeover={stateless})
_, codec = wishes.accept([Extension("permessage-deflate")])
decoder = MessageDecoder(Role.SERVER, inflate=codec.inflate, max_message_size={limit})
count = {fragments}
pieces = [payload[i * len(payload) // count : (i + 1) * len(payload) // count] for i in range(count)]
for index, piece in enumerate(pieces):
    first = (index == count - 1) << 7 | (0x42 if index == 0 else 0)
    wire = bytes([first, 0xFF]) + len(piece).to_bytes(8, "big") + bytes(4) + piece
    before = peak()
    try:
        decoder.receive(wire)
    except MessageTooBig as error:
        assert index == count - 1 and error.close_code == 1009
        print(error)
        print(peak() - before)
"""


@pytest.mark.resident_memory
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize("fragments", [1, 7])
@pytest.mark.parametrize("stateless", [False, True])
@pytest.mark.parametrize(("limit", "fewest", "most"), [(MIB, 0, 6), (64 * MIB, 60, 136)])
def test_a_bomb_takes_memory_as_allowed_and_fails_with_1009(
    fragments: int, stateless: bool, limit: int, fewest: int, most: int
) -> None:
    payload = bomb(500)
    assert len(payload) < 600_000
    script = BOMB.format(fragments=fragments, stateless=stateless, limit=limit)
    ran = subprocess.run([sys.executable, "-c", script], input=payload, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    said, grown = ran.stdout.decode().splitlines()
    assert said == f"message of at least {limit + 1} bytes exceeds max_message_size {limit}"
    assert fewest * 1024 <= int(grown) < most * 1024
