"""permessage-deflate: what is agreed on, what is compressed, and what hostile bytes cannot do.

Environment: FASTFRAME_DEFLATE=zlib tests zlib alone, for machines for which
the extra ``deflate`` has no wheels; otherwise its packages have to be there.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import permessage_deflate as peer
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode as PeerOpcode

from fastframe import MessageDecoder, MessageTooBig, ProtocolError, Role, _deflate_codec
from fastframe.deflate import (
    DEFLATE_BACKEND,
    DeflateCodec,
    DeflateParameters,
    PerMessageDeflate,
)
from fastframe.errors import InvalidResponse
from fastframe.http_headers import Extension, parse_extensions

MIB = 1024 * 1024
BACKENDS = ["zlib"] if os.environ.get("FASTFRAME_DEFLATE") == "zlib" else ["zlib", "zlib-ng", "isal"]
TAIL = b"\x00\x00\xff\xff"


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let one backend compress, which must be installed."""
    name: str = request.param
    try:
        new_compressor = _deflate_codec._BACKENDS[name]()
    except ImportError as error:
        pytest.fail(f"{error}: install fastframe[deflate], or set FASTFRAME_DEFLATE=zlib to test zlib alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_deflate_codec, "_new_compressor", new_compressor)
        yield name


def parsed(element: str) -> Extension:
    [extension] = parse_extensions(element)
    return extension


def accepted(wishes: PerMessageDeflate, offers: str) -> tuple[str, DeflateCodec]:
    answer = wishes.accept(parse_extensions(offers))
    assert answer is not None
    return answer


def codec_pair(
    client: PerMessageDeflate | None = None, server: PerMessageDeflate | None = None
) -> tuple[DeflateCodec, DeflateCodec]:
    """A client's and a server's codec, as their handshake makes them."""
    client = client or PerMessageDeflate()
    element, server_codec = accepted(server or PerMessageDeflate(), client.offer())
    return client.confirm(parsed(element)), server_codec


STATELESS = PerMessageDeflate(server_no_context_takeover=True, client_no_context_takeover=True)


# -- Negotiation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "offer"),
    [
        ({}, "permessage-deflate; client_max_window_bits"),
        ({"client_max_window_bits": None}, "permessage-deflate"),
        ({"client_max_window_bits": 9}, "permessage-deflate; client_max_window_bits=9"),
        (
            {
                "server_no_context_takeover": True,
                "server_max_window_bits": 10,
                "client_max_window_bits": None,
            },
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
        (
            {"client_no_context_takeover": True},
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
        ),
    ],
)
def test_offer_says_what_is_wished(wishes: dict[str, Any], offer: str) -> None:
    assert PerMessageDeflate(**wishes).offer() == offer


ANSWERS = [
    # What Chromium and Firefox offer.
    ({}, "; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=12"),
    # RFC 7692 section 7.1.2.2: not offered, so not answered.
    ({}, "", "; server_max_window_bits=12"),
    ({"client_max_window_bits": 10}, "", "; server_max_window_bits=12"),
    ({"client_max_window_bits": 10}, "; client_max_window_bits=9", "; server_max_window_bits=12; client_max_window_bits=9"),
    ({"client_max_window_bits": 10}, "; client_max_window_bits=11", "; server_max_window_bits=12; client_max_window_bits=10"),
    ({"client_max_window_bits": None}, "; client_max_window_bits=11", "; server_max_window_bits=12"),
    ({"client_max_window_bits": 15}, "; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=15"),
    # RFC 7692 section 7.1.2.1: "the same or smaller value as the offer".
    ({}, "; server_max_window_bits=15", "; server_max_window_bits=12"),
    ({}, "; server_max_window_bits=8", "; server_max_window_bits=8"),
    ({"server_max_window_bits": 9}, "; server_max_window_bits=11", "; server_max_window_bits=9"),
    ({"server_max_window_bits": 15}, "; server_max_window_bits=15", "; server_max_window_bits=15"),
    ({"server_max_window_bits": 15}, "; server_max_window_bits=11", "; server_max_window_bits=11"),
    ({"server_max_window_bits": 15}, "", ""),
    ({"server_max_window_bits": 15}, "; server_no_context_takeover", "; server_no_context_takeover"),
    ({"server_max_window_bits": 15}, "; client_no_context_takeover", "; client_no_context_takeover"),
    ({"server_max_window_bits": 15, "server_no_context_takeover": True}, "", "; server_no_context_takeover"),
    ({"server_max_window_bits": 15, "client_no_context_takeover": True}, "", "; client_no_context_takeover"),
    # Quoted values are as good as bare ones (RFC 6455 section 9.1).
    ({}, '; server_max_window_bits="10"', "; server_max_window_bits=10"),
]  # fmt: skip


@pytest.mark.parametrize(("wishes", "offer", "answer"), ANSWERS)
def test_server_answers_an_offer(wishes: dict[str, Any], offer: str, answer: str) -> None:
    element, codec = accepted(PerMessageDeflate(**wishes), "permessage-deflate" + offer)
    assert element == "permessage-deflate" + answer
    assert str(codec.parameters) == element
    assert repr(codec) == f"<DeflateCodec {element}>"


DECLINED = [
    "unknown",
    "unknown=1",
    "Server_no_context_takeover",
    "server_no_context_takeover=true",
    "client_no_context_takeover=1",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "server_max_window_bits=10; server_max_window_bits=10",
    "client_max_window_bits; client_max_window_bits",
    "client_max_window_bits; client_max_window_bits=10",
    "client_max_window_bits=10; client_max_window_bits=11",
    "server_max_window_bits",
    *(
        f"{side}_max_window_bits={value}"
        for side in ("server", "client")
        for value in ("7", "16", "99", "0", "-9", "+9", "08", "015", "9.0", "0x9", "1e1", "9" * 5000, "x")
    ),
]


@pytest.mark.parametrize("parameters", DECLINED)
def test_server_declines_a_malformed_offer(parameters: str) -> None:
    offers = parse_extensions(f"permessage-deflate; {parameters}")
    assert PerMessageDeflate().accept(offers) is None


@pytest.mark.parametrize("parameters", DECLINED)
def test_server_takes_the_fallback_after_a_malformed_offer(parameters: str) -> None:
    offers = f"other; x, permessage-deflate; {parameters}, permessage-deflate; server_max_window_bits=9"
    element, _ = accepted(PerMessageDeflate(), f"{offers}, permessage-deflate")
    assert element == "permessage-deflate; server_max_window_bits=9"


@pytest.mark.parametrize("offers", ["", "other", "x-webkit-deflate-frame", "Permessage-Deflate"])
def test_server_declines_other_extensions(offers: str) -> None:
    assert PerMessageDeflate().accept(parse_extensions(offers)) is None


@pytest.mark.parametrize(
    ("wishes", "answer"),
    [
        ({}, ""),
        ({}, "; server_no_context_takeover"),
        ({}, "; client_no_context_takeover"),
        ({}, "; server_max_window_bits=8"),
        ({}, "; client_max_window_bits=15"),
        ({}, "; client_max_window_bits=8"),
        ({"client_max_window_bits": None}, "; server_max_window_bits=15"),
        ({"server_max_window_bits": 10}, "; server_max_window_bits=10"),
        ({"server_max_window_bits": 10}, "; server_max_window_bits=9"),
        ({"client_max_window_bits": 10}, ""),
        ({"client_max_window_bits": 10}, "; client_max_window_bits=10"),
        ({"server_no_context_takeover": True}, "; server_no_context_takeover"),
    ],
)
def test_client_accepts_an_answer(wishes: dict[str, Any], answer: str) -> None:
    codec = PerMessageDeflate(**wishes).confirm(parsed("permessage-deflate" + answer))
    assert str(codec.parameters) == "permessage-deflate" + answer


def test_client_keeps_its_offer_not_to_take_over_context() -> None:
    wishes = PerMessageDeflate(client_no_context_takeover=True)
    assert wishes.confirm(Extension("permessage-deflate")).parameters.client_no_context_takeover


REFUSED = [
    # CVE-2026-2229, and its neighbours.
    *(
        ({}, f"{side}_max_window_bits={value}", f"{side}_max_window_bits={value}, but it must be 8 to 15")
        for side in ("server", "client")
        for value in ("99", "7", "16", "0", "-1", "08", "1000000000000000000000", "x")
    ),
    ({}, "server_max_window_bits", "server_max_window_bits without a value"),
    ({}, "client_max_window_bits", "client_max_window_bits without a value"),
    ({}, "unknown", "unknown is no parameter of it"),
    ({}, "unknown=7", "unknown=7 is no parameter of it"),
    ({}, "server_no_context_takeover=1", "server_no_context_takeover=1, but it takes no value"),
    (
        {},
        "client_no_context_takeover; client_no_context_takeover",
        "client_no_context_takeover is given after client_no_context_takeover",
    ),
    (
        {},
        "server_max_window_bits=10; server_max_window_bits=11",
        "server_max_window_bits=11 is given after server_max_window_bits=10",
    ),
    (
        {"client_max_window_bits": None},
        "client_max_window_bits=10",
        "has client_max_window_bits=10, but no client_max_window_bits was offered",
    ),
    (
        {"client_max_window_bits": 10},
        "client_max_window_bits=11",
        "has client_max_window_bits=11, but client_max_window_bits=10 was offered",
    ),
    (
        {"server_max_window_bits": 10},
        "server_max_window_bits=11",
        "has server_max_window_bits=11, but server_max_window_bits=10 was offered",
    ),
    (
        {"server_max_window_bits": 10},
        "",
        "has no server_max_window_bits, but server_max_window_bits=10 was offered",
    ),
    (
        {"server_no_context_takeover": True},
        "",
        "has no server_no_context_takeover, but server_no_context_takeover was offered",
    ),
]


@pytest.mark.parametrize(("wishes", "parameters", "complaint"), REFUSED)
def test_client_refuses_an_answer(wishes: dict[str, Any], parameters: str, complaint: str) -> None:
    element = parsed("permessage-deflate" + (f"; {parameters}" if parameters else ""))
    with pytest.raises(InvalidResponse) as caught:
        PerMessageDeflate(**wishes).confirm(element)
    assert str(caught.value).startswith("the server's permessage-deflate")
    assert str(caught.value).endswith(complaint)


def test_client_refuses_another_extension() -> None:
    with pytest.raises(InvalidResponse, match="extension mux, which was not offered"):
        PerMessageDeflate().confirm(Extension("mux"))


names = st.sampled_from(
    ["server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits"]
    + ["client_max_window_bits", "unknown", ""]
)
values = st.none() | st.integers(6, 17).map(str) | st.text(max_size=3)
window_bits = st.none() | st.integers(8, 15)
all_wishes = st.builds(
    PerMessageDeflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=window_bits,
    client_max_window_bits=window_bits | st.just(True),
    level=st.integers(1, 9),
    memory_level=st.integers(1, 9),
)


@given(all_wishes, st.lists(st.tuples(names, values), max_size=5))
def test_no_parameters_crash_a_negotiation(
    wishes: PerMessageDeflate, parameters: list[tuple[str, str | None]]
) -> None:
    element = Extension("permessage-deflate", tuple(parameters))
    answer = wishes.accept([element])
    if answer is not None:
        agreed = DeflateParameters.parse(parsed(answer[0]).parameters, is_offer=False)
        offered = DeflateParameters.parse(parameters, is_offer=True)
        assert agreed.server_no_context_takeover >= offered.server_no_context_takeover
        assert (agreed.server_max_window_bits or 15) <= (offered.server_max_window_bits or 15)
        assert agreed.client_max_window_bits is None or offered.client_max_window_bits is not None
    try:
        codec = wishes.confirm(element)
    except InvalidResponse:
        return
    assert codec.parameters.server_no_context_takeover >= wishes.server_no_context_takeover


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(
            ("server_max_window_bits", "client_max_window_bits"), (7, 16, -9, 0, False, "9", 9.0)
        ),
        ("server_max_window_bits", True),
        *itertools.product(("level", "memory_level"), (0, 10, -1, None, True, 1.5)),
        *itertools.product(("threshold",), (-1, None, 0.5)),
    ],
)
def test_wishes_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be in "):
        PerMessageDeflate(**{name: value})  # type: ignore[arg-type]


def test_threshold_is_handed_on() -> None:
    assert PerMessageDeflate().threshold == 64
    assert [codec.threshold for codec in codec_pair(PerMessageDeflate(threshold=7))] == [7, 64]


def test_is_stateless_is_about_our_own_direction() -> None:
    for server_flag, client_flag in itertools.product((False, True), repeat=2):
        wishes = PerMessageDeflate(
            server_no_context_takeover=server_flag, client_no_context_takeover=client_flag
        )
        client, server = codec_pair(wishes)
        assert (client.is_stateless, server.is_stateless) == (client_flag, server_flag)


# -- RFC 7692 section 7.2.3, byte for byte --------------------------------------------------------

HELLO = bytes.fromhex("f248cdc9c90700")
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


@pytest.mark.parametrize("example", sorted(EXAMPLES))
@pytest.mark.parametrize("wishes", [PerMessageDeflate(), STATELESS], ids=["context", "no context"])
def test_examples_of_the_rfc_are_inflated(example: str, wishes: PerMessageDeflate) -> None:
    frames, messages = EXAMPLES[example]
    if wishes is STATELESS and "shared" in example:
        pytest.xfail("that example is about kept context")
    codec, _ = codec_pair(wishes)
    decoder = MessageDecoder(Role.CLIENT, inflate=codec.inflate)
    wire = bytes.fromhex("".join(frames))
    assert decoder.receive(wire) == messages
    # And what comes after is not disturbed, whatever kind of block was last.
    assert decoder.receive(bytes.fromhex("c107 f248cdc9c90700") + wire) == ["Hello", *messages]


def test_examples_of_the_rfc_are_compressed() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_deflate_codec, "_new_compressor", _deflate_codec._BACKENDS["zlib"]())
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


# -- Round trips ----------------------------------------------------------------------------------

words = st.sampled_from([b'{"type": "trade", ', b'"price": ', b"0.125", b"\0\0\xff\xff", b"\0" * 300])
contents = (
    st.binary(max_size=60)
    | st.lists(words, max_size=60).map(b"".join)
    | st.builds(
        lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 3), st.integers(0, 9000)
    )
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=9), st.integers(1, 9000))
)
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


@pytest.mark.parametrize("size", [0, 1, 63, 4096, 65_535, 65_536, 70_000, 1_000_000, 5_000_000])
@pytest.mark.parametrize("kind", ["random", "zeros", "tails"])
def test_messages_of_every_size_survive(backend: str, size: int, kind: str) -> None:
    made = {
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


@given(window_bits, st.none() | st.just(True) | st.integers(9, 15), st.booleans(), st.booleans(), all_wishes)
def test_we_accept_what_websockets_offers_and_it_our_answer(
    server_bits: int | None,
    client_bits: int | None,
    server_flag: bool,
    client_flag: bool,
    wishes: PerMessageDeflate,
) -> None:
    factory = peer.ClientPerMessageDeflateFactory(server_flag, client_flag, server_bits, client_bits)
    offer = Extension("permessage-deflate", tuple(factory.get_request_params()))
    answer = wishes.accept([offer])
    assert answer is not None
    element, codec = answer
    try:
        theirs = factory.process_response_params(list(parsed(element).parameters), [])
    except peer.NegotiationError as error:
        assert "unsupported client_max_window_bits = 8" in str(error)
        return
    assert theirs.local_max_window_bits <= codec._inflate_bits
    assert codec._compress_bits <= theirs.remote_max_window_bits
    assert theirs.remote_no_context_takeover == codec.is_stateless


@given(st.none() | st.integers(9, 15), window_bits, st.booleans(), st.booleans(), all_wishes)
def test_websockets_accepts_what_we_offer_and_we_its_answer(
    server_bits: int | None,
    client_bits: int | None,
    server_flag: bool,
    client_flag: bool,
    wishes: PerMessageDeflate,
) -> None:
    factory = peer.ServerPerMessageDeflateFactory(server_flag, client_flag, server_bits, client_bits)
    try:
        answer, theirs = factory.process_request_params(list(parsed(wishes.offer()).parameters), [])
    except peer.NegotiationError as error:
        assert "unsupported server_max_window_bits = 8" in str(error)
        return
    codec = wishes.confirm(Extension("permessage-deflate", tuple(answer)))
    assert codec._compress_bits <= theirs.remote_max_window_bits
    assert theirs.local_max_window_bits <= codec._inflate_bits


# -- Windows --------------------------------------------------------------------------------------


def far_back(size: int) -> bytes:
    """Data that repeats itself at every distance."""
    rng = random.Random(7)
    source = rng.randbytes(size)
    starts = (rng.randrange(size - 40) for _ in range(400))
    return source + b"".join(source[start : start + rng.randint(4, 40)] for start in starts) + source


def inflated_through_window(stream: bytes, bits: int) -> bytes:
    """Inflate one byte at a time, so that zlib has nothing but its window to copy from."""
    decompressor = zlib.decompressobj(-bits)
    pieces = []
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
    messages = [far_back(size), b"abc" * 200 + bytes(600), far_back(size)[:2000], far_back(size // 2 - 100)]
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


# -- Blocks with BFINAL set -----------------------------------------------------------------------


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
    for turn in range(12):
        message = rng.randbytes(rng.randint(0, 3000)) + sent[-800:-200] * 2
        block = final_block if turn % 3 != 1 else plain_block
        payload = block(message, sent[-4096:])
        assert codec.inflate(payload + b"\0" * (block is final_block), len(message)) == message
        sent += message
    assert len(final_block(sent[-800:-200], sent[-4096:])) < 100, "the test refers to earlier messages"


def test_final_blocks_share_one_budget() -> None:
    payload = final_block(bytes(600)) + final_block(bytes(600)) + plain_block(bytes(600))
    assert codec_pair()[0].inflate(payload, 1800) == bytes(1800)
    for limit in (1799, 1200, 1199, 600, 599, 0):
        for wishes in (PerMessageDeflate(), STATELESS):
            with pytest.raises(MessageTooBig, match=f"exceeds max_message_size {limit}$"):
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


# -- Hostile bytes --------------------------------------------------------------------------------


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
    "0400000000000000": "invalid code lengths set",
    # The code 11110 of the fixed distances, which stands for nothing.
    "4b7c0000": "invalid distance code",
    "f2": "invalid code lengths set",
}  # fmt: skip


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


def bomb(size: int) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    chunk = bytes(MIB)
    pieces = [compressor.compress(chunk) for _ in range(size // MIB)]
    return b"".join(pieces) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]


BOMB = """
import resource, sys
from fastframe import MessageDecoder, MessageTooBig, Role
from fastframe.deflate import PerMessageDeflate
from fastframe.http_headers import Extension
payload = sys.stdin.buffer.read()
wishes = PerMessageDeflate(client_no_context_takeover={stateless})
_, codec = wishes.accept([Extension("permessage-deflate")])
decoder = MessageDecoder(Role.SERVER, inflate=codec.inflate)
count = {fragments}
pieces = [payload[i * len(payload) // count : (i + 1) * len(payload) // count] for i in range(count)]
for index, piece in enumerate(pieces):
    first = (index == count - 1) << 7 | (0x42 if index == 0 else 0)
    wire = bytes([first, 0xFF]) + len(piece).to_bytes(8, "big") + bytes(4) + piece
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        decoder.receive(wire)
    except MessageTooBig as error:
        assert index == count - 1 and error.close_code == 1009
        print(error)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.resident_memory
@pytest.mark.skipif(sys.platform != "linux", reason="reads ru_maxrss in KiB")
@pytest.mark.parametrize("fragments", [1, 7])
@pytest.mark.parametrize("stateless", [False, True])
def test_a_bomb_takes_a_few_megabytes_and_fails_with_1009(fragments: int, stateless: bool) -> None:
    payload = bomb(500 * MIB)
    assert len(payload) < 600_000
    script = BOMB.format(fragments=fragments, stateless=stateless)
    ran = subprocess.run([sys.executable, "-c", script], input=payload, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    said, grown = ran.stdout.decode().splitlines()
    assert said == f"message of at least {MIB + 1} bytes exceeds max_message_size {MIB}"
    assert int(grown) < 6 * 1024


# -- Compressors: made late, dropped in time ------------------------------------------------------


def traced(make: Callable[[], object]) -> int:
    """Bytes that what `make` returns holds on to."""
    make()
    tracemalloc.start()
    try:
        kept = make()
        size, _ = tracemalloc.get_traced_memory()
        del kept
        return size
    finally:
        tracemalloc.stop()


@pytest.mark.resident_memory
def test_negotiated_but_idle_takes_less_than_a_kilobyte() -> None:
    assert traced(lambda: [codec_pair()[1] for _ in range(50)]) < 50 * 1024


@pytest.mark.resident_memory
def test_each_direction_takes_its_memory_at_its_first_message() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_deflate_codec, "_new_compressor", _deflate_codec._BACKENDS["zlib"]())
        payload = codec_pair()[0].compress(b"Hello" * 20)

        def used(*methods: str) -> DeflateCodec:
            _, codec = codec_pair()
            if "compress" in methods:
                codec.compress(b"Hello" * 20)
            if "inflate" in methods:
                codec.inflate(payload, None)
            if "reset" in methods:
                codec.reset_compressor()
            return codec

        assert traced(used) < 2 * 1024
        assert 20 * 1024 < traced(lambda: used("compress")) < 48 * 1024
        assert 7 * 1024 < traced(lambda: used("inflate")) < 16 * 1024
        assert traced(lambda: used("compress", "reset")) < 2 * 1024


def test_stateless_codecs_keep_nothing_between_messages(backend: str) -> None:
    client, server = codec_pair(STATELESS)
    for _ in range(2):
        assert server.inflate(client.compress(b"Hello" * 20), None) == b"Hello" * 20
        for codec in (client, server):
            assert codec._compressor is None and codec._inflater is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "prepared", "reset", "fail", "interrupt"]), contents), max_size=12
    )
)
def test_resets_prepared_messages_and_failures_never_desynchronise(
    backend: str, steps: list[tuple[str, bytes]]
) -> None:
    client, server = codec_pair()
    alone, _ = codec_pair(STATELESS)
    new_compressor = _deflate_codec._new_compressor
    for step, message in steps:
        if step == "send":
            assert server.inflate(client.compress(message), len(message)) == message
        elif step == "prepared":
            client.reset_compressor()
            assert server.inflate(alone.compress(message), len(message)) == message
        elif step == "reset":
            client.reset_compressor()
        elif message:
            error = MemoryError() if step == "fail" else KeyboardInterrupt()
            client._compressor = Failing(client._compressor or new_compressor(12, 6, 5), error)
            with pytest.raises(type(error)):
                client.compress(message)


class Failing:
    """A compressor that takes the message in, and then does not give it out."""

    def __init__(self, compressor: Any, error: BaseException) -> None:
        self._compressor = compressor
        self._error = error

    def compress(self, data: Any, /) -> bytes:
        compressed: bytes = self._compressor.compress(data)
        return compressed

    def flush(self, mode: int, /) -> bytes:
        self._compressor.flush(mode)
        raise self._error


def test_a_prepared_message_without_reset_would_desynchronise(backend: str) -> None:
    # What the test above relies on `reset_compressor` for.
    client, server = codec_pair()
    alone, _ = codec_pair(STATELESS)
    first = random.Random(1).randbytes(500)
    server.inflate(client.compress(first), None)
    server.inflate(alone.compress(bytes(range(256))), None)
    assert server.inflate(client.compress(first), None) != first


def test_codecs_with_equal_sharing_keys_compress_alike(backend: str) -> None:
    message = b"".join(b'{"id": %d, "name": "n%d"}' % (i, i * i) for i in range(300))
    variants = [{}, {"level": 1}, {"memory_level": 9}, {"server_max_window_bits": 15}, {"threshold": 0}]
    compressed: dict[object, bytes] = {}
    for variant in variants:
        _, server = codec_pair(STATELESS, PerMessageDeflate(**variant))  # type: ignore[arg-type]
        assert compressed.setdefault(server.sharing_key, server.compress(message)) == server.compress(message)
    assert len(compressed) == 4


# -- Backends -------------------------------------------------------------------------------------


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "FASTFRAME_DEFLATE"}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


SHOW = "from fastframe.deflate import DEFLATE_BACKEND; print(DEFLATE_BACKEND)"
HIDE = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


def test_fastest_installed_backend_is_chosen() -> None:
    hidden: list[str] = []
    for name, package in (("isal", "isal"), ("zlib-ng", "zlib_ng"), ("zlib", "")):
        if name in BACKENDS:
            assert python(HIDE.format(names=hidden) + SHOW).stdout.strip() == name
        hidden.append(package)


def test_backend_in_use_is_the_one_asked_for() -> None:
    assert os.environ.get("FASTFRAME_DEFLATE", BACKENDS[-1]) == DEFLATE_BACKEND


@pytest.mark.parametrize("name", BACKENDS)
def test_environment_forces_a_backend(name: str) -> None:
    assert python(SHOW, FASTFRAME_DEFLATE=name).stdout.strip() == name


@pytest.mark.parametrize(("name", "package"), [("isal", "isal"), ("zlib-ng", "zlib_ng")])
def test_forced_backend_that_is_missing_is_an_import_error(name: str, package: str) -> None:
    ran = python(HIDE.format(names=[package]) + SHOW, FASTFRAME_DEFLATE=name)
    assert ran.returncode == 1
    assert package in ran.stderr.strip().splitlines()[-1]


def test_unknown_backend_is_an_import_error() -> None:
    ran = python(SHOW, FASTFRAME_DEFLATE="brotli")
    assert ran.stderr.strip().endswith(
        "ImportError: FASTFRAME_DEFLATE must be one of isal, zlib-ng, zlib, got 'brotli'"
    )


def test_backend_that_breaks_its_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def compress(self, data: Any, /) -> bytes:
            return b"abc"

        def flush(self, mode: int, /) -> bytes:
            return b"def"

    monkeypatch.setattr(_deflate_codec, "_new_compressor", lambda *_: Broken())
    with pytest.raises(RuntimeError, match="ended a flush with 646566, not 0000ffff"):
        codec_pair()[0].compress(b"Hello")
