"""Messages through permessage-deflate and back, within the windows that were agreed on."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deflate_pairs import BACKENDS, HELLO, STATELESS, TAIL, all_wishes, codec_pair, compressing_with, contents
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import permessage_deflate as peer
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode as PeerOpcode

from fastframe import MessageDecoder, Role
from fastframe.deflate import DeflateParameters, PerMessageDeflate


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with compressing_with(request.param) as name:
        yield name


HELLO_AGAIN = bytes.fromhex("f200110000")
EXAMPLES = {
    "7.2.3.1": (["c107 f248cdc9c90700"], ["Hello"]),
    "7.2.3.1 fragments": (["4103 f248cd", "8004 c9c90700"], ["Hello"]),
    "7.2.3.2 shared window": (["c107 f248cdc9c90700", "c105 f200110000"], ["Hello", "Hello"]),
    "7.2.3.2 no context": (["c107 f248cdc9c90700"] * 2, ["Hello", "Hello"]),
    "7.2.3.3 stored block": (["c10b 000500faff48656c6c6f00"], ["Hello"]),
    "7.2.3.4 BFINAL": (["c108 f348cdc9c9070000"], ["Hello"]),
    "7.2.3.5 two blocks": (["c10d f2480500 0000ffff cac9c90700"], ["Hello"]),
    "7.2.3.6 empty": (["c101 00"], [""]),
}


@pytest.mark.parametrize(
    ("example", "wishes"),
    [
        *((example, PerMessageDeflate()) for example in sorted(EXAMPLES)),
        *((example, STATELESS) for example in sorted(EXAMPLES) if "shared" not in example),
    ],
)
def test_examples_of_the_rfc_are_inflated(example: str, wishes: PerMessageDeflate) -> None:
    frames, messages = EXAMPLES[example]
    codec, _ = codec_pair(wishes)
    decoder = MessageDecoder(Role.CLIENT, inflate=codec.inflate)
    wire = bytes.fromhex("".join(frames))
    assert decoder.receive(wire) == messages
    # And what comes after is not disturbed, whatever kind of block was last.
    assert decoder.receive(bytes.fromhex("c107 f248cdc9c90700") + wire) == ["Hello", *messages]


def test_examples_of_the_rfc_are_compressed() -> None:
    with compressing_with("zlib"):
        keeping, _ = codec_pair()
        assert [keeping.compress(b"Hello") for _ in range(2)] == [HELLO, HELLO_AGAIN]
        stateless, _ = codec_pair(STATELESS)
        assert [stateless.compress(b"Hello") for _ in range(2)] == [HELLO, HELLO]


def test_empty_messages_are_one_octet(backend: str) -> None:
    client, server = codec_pair()
    messages = [b"", b"", b"Hello" * 20, b"", b"", b"Hello" * 20, b""]
    compressed = [client.compress(message) for message in messages]
    assert [payload for payload, message in zip(compressed, messages, strict=True) if not message] == [
        b"\0"
    ] * 5
    assert [server.inflate(payload, 100) for payload in compressed] == messages
    assert client.compress(memoryview(b"abc")[1:1]) == client.compress(bytearray()) == b"\0"


exchanges = st.lists(st.tuples(st.booleans(), contents), max_size=8)


@given(all_wishes, all_wishes, exchanges)
def test_codecs_understand_each_other(
    backend: str,
    client_wishes: PerMessageDeflate,
    server_wishes: PerMessageDeflate,
    messages: list[tuple[bool, bytes]],
) -> None:
    client, server = codec_pair(client_wishes, server_wishes)
    assert client.parameters.server_max_window_bits == server.parameters.server_max_window_bits
    for from_client, message in messages:
        sender, receiver = (client, server) if from_client else (server, client)
        assert receiver.inflate(sender.compress(message), len(message)) == message


@pytest.mark.parametrize("size", [0, 1, 63, 4096, 65_535, 65_536, 70_000, 1_000_000])
@pytest.mark.parametrize("kind", ["random", "zeros", "tails"])
def test_messages_of_every_size_survive(backend: str, size: int, kind: str) -> None:
    made: dict[str, Callable[[int], bytes]] = {
        "random": random.Random(size).randbytes,
        "zeros": bytes,
        "tails": lambda count: (TAIL * (count // 4 + 1))[:count],
    }
    message = made[kind](size)
    for client, server in (codec_pair(), codec_pair(STATELESS)):
        for _ in range(2):
            assert server.inflate(client.compress(message), size) == message
            assert client.inflate(server.compress(message), None) == message


def test_context_makes_messages_smaller(backend: str) -> None:
    message = random.Random(1).randbytes(1000)
    client, server = codec_pair()
    assert len(client.compress(message)) > 1000
    assert len(client.compress(message)) < 50
    assert len(server.compress(message)) > 1000
    assert len(server.compress(message)) < 50
    for stateless in codec_pair(STATELESS):
        assert min(len(stateless.compress(message)) for _ in range(3)) > 1000


def test_any_bytes_like_payload_is_compressed(backend: str, bytes_like: Callable[[bytes], Any]) -> None:
    message = bytes(range(256)) * 3
    client, server = codec_pair()
    for _ in range(2):
        assert server.inflate(client.compress(bytes_like(message)), None) == message


def test_str_is_a_type_error_and_harms_nothing(backend: str) -> None:
    client, server = codec_pair()
    assert server.inflate(client.compress(b"first" * 50), None) == b"first" * 50
    with pytest.raises(TypeError):
        client.compress("text")  # type: ignore[arg-type]
    assert server.inflate(client.compress(b"first" * 50), None) == b"first" * 50


def peer_pair(parameters: DeflateParameters, is_client: bool, bits: int) -> peer.PerMessageDeflate:
    """websockets' end of a connection with these parameters; `bits` limits what it compresses with."""
    flags = [parameters.server_no_context_takeover, parameters.client_no_context_takeover]
    sizes = [parameters.server_max_window_bits or 15, parameters.client_max_window_bits or 15]
    if not is_client:
        flags.reverse()
        sizes.reverse()
    return peer.PerMessageDeflate(*flags, sizes[0], max(9, min(sizes[1], bits)))


@given(all_wishes, all_wishes, exchanges, st.booleans())
def test_websockets_understands_us_and_we_it(
    backend: str,
    client_wishes: PerMessageDeflate,
    server_wishes: PerMessageDeflate,
    messages: list[tuple[bool, bytes]],
    peer_is_client: bool,
) -> None:
    client, server = codec_pair(client_wishes, server_wishes)
    ours = server if peer_is_client else client
    own_bits = ours._inflate_bits
    theirs = peer_pair(client.parameters, peer_is_client, own_bits)
    for from_us, message in messages:
        if from_us:
            frame = PeerFrame(PeerOpcode.BINARY, ours.compress(message), rsv1=True)
            assert bytes(theirs.decode(frame, max_size=len(message) + 1).data) == message
        # It cannot compress an empty message after another, nor with a window of 8 bits.
        elif message and own_bits > 8:
            frame = theirs.encode(PeerFrame(PeerOpcode.BINARY, message))
            assert frame.rsv1
            assert ours.inflate(bytes(frame.data), len(message)) == message


def far_back(size: int) -> bytes:
    """Data that repeats itself at every distance."""
    rng = random.Random(7)
    source = rng.randbytes(size)
    starts = (rng.randrange(size - 40) for _ in range(400))
    return source + b"".join(source[start : start + rng.randint(4, 40)] for start in starts) + source


def inflated_through_window(stream: bytes, bits: int) -> bytes:
    """Inflate one byte at a time, so that zlib has nothing but its window to copy from."""
    decompressor = zlib.decompressobj(-bits)
    pieces: list[bytes] = []
    for start in range(0, len(stream), 64):
        rest = stream[start : start + 64]
        while rest or pieces[-1]:
            pieces.append(decompressor.decompress(rest, 1))
            rest = decompressor.unconsumed_tail
    return b"".join(pieces)


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("level", [1, 6, 9])
def test_no_match_reaches_beyond_the_agreed_window(backend: str, bits: int, level: int) -> None:
    _, server = codec_pair(
        PerMessageDeflate(server_max_window_bits=bits),
        PerMessageDeflate(server_max_window_bits=15, level=level),
    )
    size = 2**bits
    messages = [far_back(size), b"abc" * 200 + bytes(600), far_back(size)[:2000], far_back(size // 2 + 30)]
    stream = b"".join(server.compress(message) + TAIL for message in messages)
    assert inflated_through_window(stream, bits) == b"".join(messages)


def test_matches_beyond_the_window_are_noticed_by_the_test_above() -> None:
    compressor = zlib.compressobj(wbits=-12)
    stream = compressor.compress(far_back(2**11)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert inflated_through_window(stream, 12) == far_back(2**11)
    with pytest.raises(zlib.error, match="invalid distance too far back"):
        inflated_through_window(stream, 9)


def test_a_window_of_8_bits_still_compresses(backend: str) -> None:
    client, server = codec_pair(PerMessageDeflate(server_max_window_bits=8, client_max_window_bits=8))
    assert str(client.parameters).endswith("server_max_window_bits=8; client_max_window_bits=8")
    for sender in (client, server):
        assert len(sender.compress(b"{" + b'"a": 1, ' * 100)) < 600
