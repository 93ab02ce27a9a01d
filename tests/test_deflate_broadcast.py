"""Messages compressed once for many connections, among messages of each connection's own."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deflate_pairs import BACKENDS, STATELESS, TAIL, accepted, all_wishes, compressing_with, contents, parsed
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import permessage_deflate as peer
from websockets.frames import Frame as PeerFrame
from websockets.frames import Opcode as PeerOpcode

from fastframe import Connection, FrameDecoder, Role, _compressors
from fastframe.aio.broadcast import CONTEXT_WORTH, Prepared, prepare
from fastframe.deflate import PerMessageDeflate


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with compressing_with(request.param) as name:
        yield name


class Receiver:
    """A server's connection, and three on its other end: ours, zlib with the agreed window, websockets."""

    def __init__(
        self, client: PerMessageDeflate | None = None, server: PerMessageDeflate | None = None
    ) -> None:
        client = client or PerMessageDeflate()
        element, codec = accepted(server or PerMessageDeflate(), client.offer())
        self.codec = codec
        self.server = Connection(Role.SERVER, deflate=codec)
        self._client = Connection(Role.CLIENT, deflate=client.confirm(parsed(element)))
        self._frames = FrameDecoder(Role.CLIENT, rsv1=True)
        self._window_bits = codec.parameters.server_max_window_bits or 15
        self._zlib = zlib.decompressobj(-self._window_bits)
        self._websockets = peer.PerMessageDeflate(codec.is_stateless, False, self._window_bits, 15)
        self.compressed: list[bool] = []
        self.stream = b""

    def take(self) -> list[Any]:
        """The messages that were sent since, of which all three receivers think the same."""
        wire = self.server.take()
        messages = self._client.receive(wire)
        assert self._client.failure is None, self._client.failure
        payloads = [self._inflated(frame) for frame in self._frames.receive(wire)]
        assert payloads == [message.encode() if isinstance(message, str) else message for message in messages]
        return messages

    def _inflated(self, frame: Any) -> bytes:
        self.compressed.append(frame.rsv1)
        if not frame.rsv1:
            return bytes(frame.payload)
        self.stream += frame.payload + TAIL
        if self.codec.is_stateless:
            self._zlib = zlib.decompressobj(-self._window_bits)
        inflated = self._zlib.decompress(frame.payload + TAIL)
        theirs = self._websockets.decode(PeerFrame(PeerOpcode(frame.opcode), frame.payload, rsv1=True))
        assert bytes(theirs.data) == inflated
        return inflated


def similar(number: int, size: int = 512) -> str:
    """Messages that have much in common with each other, and little within."""
    rng = random.Random(number)
    shared = random.Random(0).randbytes(size // 4).hex()
    return f'{{"number": {number}, "noise": "{rng.randbytes(size // 8).hex()}", "shared": "{shared}"}}'


# Which message: a new one to one connection or to all, or one that was prepared earlier to all again.
steps = st.lists(
    st.tuples(
        st.sampled_from(["one", "all", "again"]),
        st.integers(0, 9),
        # Most of them worth the loss of a context.
        st.one_of(*[st.integers(0, 20).map(similar)] * 4, contents),
    ),
    min_size=3,
    max_size=16,
)


def mix(receivers: list[Receiver], sending: list[tuple[str, int, str | bytes]]) -> None:
    """Send, and see that everybody gets what he was sent."""
    expected: list[list[str | bytes]] = [[] for _ in receivers]
    prepared: list[tuple[Prepared, str | bytes]] = []
    for step, number, message in sending:
        if step == "one":
            receivers[number % len(receivers)].server.send(message)
            expected[number % len(receivers)].append(message)
            continue
        if step == "all" or not prepared:
            prepared.append((Prepared(message), message))
        ready, its_message = prepared[-1 if step == "all" else number % len(prepared)]
        for receiver, messages in zip(receivers, expected, strict=True):
            receiver.server.send_encoded(ready.frame_for(receiver.server))
            messages.append(its_message)
    for receiver, messages in zip(receivers, expected, strict=True):
        assert receiver.take() == messages


@given(st.lists(st.tuples(all_wishes, all_wishes), min_size=1, max_size=4), steps)
def test_unicast_and_broadcast_in_any_order_arrive(
    backend: str,
    wishes: list[tuple[PerMessageDeflate, PerMessageDeflate]],
    sending: list[tuple[str, int, str | bytes]],
) -> None:
    mix([Receiver(client, server) for client, server in wishes], sending)


@pytest.mark.parametrize("seed", range(4))
def test_many_of_both_arrive(backend: str, seed: int) -> None:
    rng = random.Random(seed)
    servers = [PerMessageDeflate(server_max_window_bits=bits) for bits in (9, 12, 12, 15)]
    sending: list[tuple[str, int, str | bytes]] = [
        (rng.choice(["one", "one", "all", "again"]), rng.randrange(99), similar(rng.randrange(9), 1024))
        for _ in range(200)
    ]
    receivers = [Receiver(server=server) for server in [*servers, PerMessageDeflate(level=1)]]
    mix(receivers, sending)
    for receiver in receivers:
        assert receiver.compressed.count(True) > 40


@pytest.mark.parametrize("bits", range(8, 16))
def test_broadcasts_keep_to_the_agreed_window(backend: str, bits: int) -> None:
    receiver = Receiver(PerMessageDeflate(server_max_window_bits=bits), PerMessageDeflate(threshold=0))
    rng = random.Random(bits)
    block = rng.randbytes(2**bits)
    # Each repeats what is farther away than the window, within a message and from message to message.
    messages = [block + rng.randbytes(600) + block[:600], block[:1500], block, b"abc" * 900, block[:700]] * 2
    for number, message in enumerate(messages):
        if number % 3:
            receiver.server.send_encoded(Prepared(message).frame_for(receiver.server))
        else:
            receiver.server.send(message)
    assert receiver.take() == messages
    assert receiver.compressed.count(True) > 3
    # And one byte at a time, so that zlib has nothing but its window to copy from.
    decompressor = zlib.decompressobj(-bits)
    rest, pieces = receiver.stream, [b"x"]
    while pieces[-1] or rest:
        pieces.append(decompressor.decompress(rest, 1))
        rest = decompressor.unconsumed_tail
    sent = [message for message, compressed in zip(messages, receiver.compressed, strict=True) if compressed]
    assert b"".join(pieces[1:]) == b"".join(sent)


def test_without_the_reset_receivers_would_get_other_bytes() -> None:
    # What the tests above rely on.
    receiver = Receiver()
    receiver.server.send(similar(1))
    receiver.take()
    kept = receiver.codec._compressor
    receiver.server.send_encoded(Prepared(similar(2)).frame_for(receiver.server))
    receiver.codec._compressor = kept
    receiver.server.send(similar(3))
    with pytest.raises(AssertionError):
        assert receiver.take() == [similar(2), similar(3)]


def counting(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Notes the parameters of every new compressor."""
    made: list[tuple[int, int, int]] = []
    new_compressor = _compressors.new_compressor

    def noting(*parameters: int) -> Any:
        made.append(parameters)  # type: ignore[arg-type]
        return new_compressor(*parameters)

    monkeypatch.setattr(_compressors, "new_compressor", noting)
    return made


def test_a_message_is_compressed_once_for_each_set_of_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    wishes: list[Callable[[], Receiver]] = [
        Receiver,
        lambda: Receiver(STATELESS),
        lambda: Receiver(server=PerMessageDeflate(server_max_window_bits=15)),
        lambda: Receiver(PerMessageDeflate(server_max_window_bits=9)),
        lambda: Receiver(server=PerMessageDeflate(level=1)),
        lambda: Receiver(server=PerMessageDeflate(memory_level=8)),
        lambda: Receiver(server=PerMessageDeflate(threshold=1)),
    ]
    receivers = [make() for make in wishes for _ in range(5)]
    made = counting(monkeypatch)
    message = Prepared(similar(1))
    for _ in range(3):
        for receiver in receivers:
            receiver.server.send_encoded(message.frame_for(receiver.server))
    assert sorted(made) == [(9, 6, 5), (12, 1, 5), (12, 6, 5), (12, 6, 8), (15, 6, 5)]
    for receiver in receivers:
        assert receiver.take() == [similar(1)] * 3
        assert receiver.compressed == [True] * 3
        assert not receiver.codec.has_context


def test_own_messages_after_a_broadcast_start_from_an_empty_window() -> None:
    receiver = Receiver()
    sizes = []
    for number in range(3):
        receiver.server.send(similar(number))
        sizes.append(len(receiver.server))
        receiver.take()
    assert sizes[1] < sizes[0] - 50 > sizes[2]
    receiver.server.send_encoded(Prepared(similar(3)).frame_for(receiver.server))
    assert receiver.codec._compressor is None
    assert receiver.take() == [similar(3)] and receiver.compressed[-1]
    receiver.server.send(similar(0))
    assert len(receiver.server) == sizes[0]


@pytest.mark.parametrize(("saved", "compressed"), [(CONTEXT_WORTH - 1, False), (CONTEXT_WORTH, True)])
def test_context_is_given_up_only_for_what_it_is_worth(saved: int, compressed: bool) -> None:
    with compressing_with("zlib"):
        receiver = Receiver()
        # Every byte more of the repeated end is one byte more that compression saves, about.
        prepared = next(
            found
            for size in range(40, 400)
            if len((found := Prepared(random.Random(5).randbytes(200) + bytes(size))).plain)
            - len(found.frame_for(Receiver().server))
            == saved
        )
        receiver.server.send_encoded(prepared.frame_for(receiver.server))
        receiver.take()
        # Without a context there is nothing to lose.
        assert receiver.compressed == [True]
        receiver.server.send(similar(1))
        context = receiver.codec._compressor
        assert context is not None
        receiver.server.send_encoded(prepared.frame_for(receiver.server))
        receiver.take()
        assert receiver.compressed[-1] is compressed
        assert receiver.codec._compressor is (None if compressed else context)


@pytest.mark.parametrize(
    "message", ["", "short", random.Random(1).randbytes(5000)], ids=["empty", "short", "noise"]
)
def test_what_compression_does_not_make_smaller_goes_plain(message: str | bytes) -> None:
    receiver = Receiver()
    for _ in range(2):
        prepared = Prepared(message)
        receiver.server.send_encoded(prepared.frame_for(receiver.server))
        assert prepared.frame_for(receiver.server) is prepared.plain
        receiver.server.send(similar(1))
        context = receiver.codec._compressor
        receiver.server.send_encoded(prepared.frame_for(receiver.server))
        assert receiver.codec._compressor is context is not None
        assert receiver.take() == [message, similar(1), message]
        assert receiver.compressed[-3:] == [False, True, False]


@pytest.mark.parametrize("size", [199, 200, 201])
def test_each_connection_keeps_its_threshold(size: int) -> None:
    receiver = Receiver(server=PerMessageDeflate(threshold=200))
    other = Receiver()
    prepared = Prepared(bytes(size))
    for each in (receiver, other):
        each.server.send_encoded(prepared.frame_for(each.server))
        assert each.take() == [bytes(size)]
    assert receiver.compressed == [size >= 200]
    assert other.compressed == [True]


def test_compressing_alone_leaves_the_context_as_it_is(backend: str) -> None:
    receiver = Receiver()
    receiver.server.send(similar(1))
    context = receiver.codec._compressor
    assert receiver.codec.compress_alone(b"x" * 500) == Receiver().codec.compress(b"x" * 500)
    assert receiver.codec._compressor is context is not None
    with pytest.raises(TypeError):
        receiver.codec.compress_alone("text")  # type: ignore[arg-type]
    assert receiver.codec._compressor is context
    receiver.server.send(similar(2))
    assert receiver.take() == [similar(1), similar(2)]


def test_what_is_not_to_be_compressed_goes_plain_and_keeps_the_context() -> None:
    receiver = Receiver()
    receiver.server.send("a text that comes again, " * 40)
    receiver.server.send_encoded(prepare(bytes(5000), compress=False).frame_for(receiver.server))
    receiver.server.send("a text that comes again, " * 40)
    first, _, again = receiver.take()
    assert (first, receiver.compressed) == (again, [True, False, True])
    # Nothing was forgotten for it: the same text again takes a few bytes.
    receiver.server.send(first)
    assert len(receiver.server.take()) < 20
