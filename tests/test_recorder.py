"""The flight recorder: which headers a decoder keeps, and what comes of them when they are replayed."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_differential import OPTIONS, PLACES, ROLES, Stream, corrupted, cut_at, streams, wild_frames
from traced import traced
from wire import Case, Error, cases, data_frame, feed, frame_bytes, item, single_bytes

from fastframe import (
    Close,
    Connection,
    ConnectionClosedError,
    Opcode,
    ProtocolError,
    RecordedFrame,
    Role,
    replay,
)

KEPT = 8
PEER = {Role.SERVER: Role.CLIENT, Role.CLIENT: Role.SERVER}

Header = tuple[int, bool, int]
"""Opcode, fin, length."""


def named(role: Role, header: Header) -> RecordedFrame:
    opcode, fin, length = header
    bits = 7 if length <= 125 else 16 if length <= 0xFFFF else 64
    return RecordedFrame(fin, False, False, False, Opcode(opcode), role is Role.SERVER, length, bits)


def expected(role: Role, headers: list[Header]) -> tuple[RecordedFrame, ...]:
    """What is recorded of a valid stream, by its frames' headers."""
    opening = None
    for place, (opcode, fin, _) in enumerate(headers):
        if opcode in (1, 2) and not fin:
            opening, end = place, len(headers)
        elif opcode == 0 and fin:
            end = place
    tail = headers[-KEPT:]
    began = len(headers) - len(tail)
    if opening is not None and opening < began <= end:
        tail = [headers[opening], *tail]
    return tuple(named(role, header) for header in tail)


def replayed(frames: tuple[RecordedFrame, ...], role: Role, **options: Any) -> Error | None:
    try:
        replay(frames, role, **options)
    except ProtocolError as error:
        return Error.of(error)
    return None


# What is recorded.


@given(stream=streams(), role=ROLES, places=PLACES, in_place=st.booleans())
def test_the_headers_that_came_last_are_recorded_however_they_were_cut(
    codec: ModuleType, stream: Stream, role: Role, places: list[int], in_place: bool
) -> None:
    decoder = codec.MessageDecoder(role)
    feed(decoder, cut_at(stream.wire(role), places), in_place)
    headers = [(opcode, fin, len(payload)) for opcode, fin, payload in stream.frames]
    assert decoder.last_frames == expected(role, headers)


SHORT_FRAMES = st.lists(
    st.sampled_from([(1, True), (2, False), (0, True), (0, False), (9, True)]), max_size=40
)


@given(kinds=SHORT_FRAMES, role=ROLES, step=st.sampled_from([1, 7, 1000]))
def test_the_first_frame_of_a_message_that_goes_on_is_recorded(
    codec: ModuleType, kinds: list[tuple[int, bool]], role: Role, step: int
) -> None:
    headers: list[Header] = []
    in_message = False
    for opcode, fin in kinds:
        if opcode == 9 or in_message == (opcode == 0):
            headers.append((opcode, fin, len(headers)))
            in_message = in_message if opcode == 9 else not fin
    wire = b"".join(data_frame(role, opcode, b"x" * length, fin=fin) for opcode, fin, length in headers)
    decoder = codec.MessageDecoder(role)
    feed(decoder, [wire[at : at + step] for at in range(0, len(wire), step)])
    assert decoder.last_frames == expected(role, headers)
    assert replayed(decoder.last_frames, role) is None


@given(case=wild_frames() | corrupted(), options=OPTIONS, places=PLACES, in_place=st.booleans())
def test_halves_record_alike_whatever_comes(
    halves: dict[str, ModuleType],
    case: tuple[Role, bytes],
    options: dict[str, Any],
    places: list[int],
    in_place: bool,
) -> None:
    role, wire = case
    decoder = halves["pure"].MessageDecoder(role, **options)
    feed(decoder, single_bytes(wire))
    for codec in halves.values():
        for chunks in ([wire], single_bytes(wire), cut_at(wire, places)):
            other = codec.MessageDecoder(role, **options)
            feed(other, chunks, in_place)
            assert other.last_frames == decoder.last_frames
            if isinstance(other.error, ProtocolError):
                assert other.error.last_frames == decoder.last_frames


REFUSED = {
    "rsv": ("f1fe", "TEXT fin rsv1 rsv2 rsv3 masked more than 125"),
    "opcode": ("83ff", "0x3 fin masked more than 125"),
    "no-mask": ("8105", "TEXT fin 5"),
    "long-ping": ("89fe", "PING fin masked more than 125"),
    "not-minimal": ("82fe0005", "BINARY fin masked 5"),
    "not-minimal-64": ("82ff0000000000000005", "BINARY fin masked 5"),
    "top-bit": ("82ffffffffffffffffff", f"BINARY fin masked {2**64 - 1}"),
    "too-big": ("82ff7fffffffffffffff", f"BINARY fin masked {2**63 - 1}"),
    "too-big-16": ("82fe0200", "BINARY fin masked 512"),
    "too-big-7": ("82c9", "BINARY fin masked 73"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_headers_are_recorded_as_far_as_they_were_read_and_replayed(
    codec: ModuleType, name: str
) -> None:
    wire, words = REFUSED[name]
    decoder = codec.MessageDecoder(Role.SERVER, max_frame_size=72)
    decoder.receive(data_frame(Role.SERVER, 1, b"before"))
    with pytest.raises(ProtocolError) as caught:
        decoder.receive(bytes.fromhex(wire))
    frames = caught.value.last_frames
    assert list(map(str, frames)) == ["TEXT fin masked 6", words]
    assert replayed(frames, Role.SERVER, max_frame_size=72) == Error.of(caught.value)
    with pytest.raises(ProtocolError) as again:
        decoder.receive(b"more")
    assert again.value.last_frames == decoder.last_frames == frames


def test_nothing_is_recorded_behind_a_close_frame(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(data_frame(Role.CLIENT, 8, Close(1002).serialize()) + data_frame(Role.CLIENT, 1, b"x"))
    decoder.receive(data_frame(Role.CLIENT, 1, b"x"))
    assert list(map(str, decoder.last_frames)) == ["CLOSE fin 2"]


def test_what_is_recorded_does_not_grow(codec: ModuleType) -> None:
    pieces = [data_frame(Role.SERVER, 2, bytes(size)) for size in range(300, 400)]
    pieces += [data_frame(Role.SERVER, 2, b"", fin=False), data_frame(Role.SERVER, 0, b"")]
    decoder = codec.MessageDecoder(Role.SERVER)

    with traced() as memory:

        def receive_all() -> int:
            for piece in pieces:
                decoder.receive(piece)
            return memory()[0]

        receive_all()
        before = receive_all()
        for _ in range(10):
            after = receive_all()
    assert after - before < 2000


@pytest.mark.skipif("fastframe._codec_c" not in sys.modules, reason="of the compiled half")
def test_a_decoder_still_fits_into_a_small_block() -> None:
    # From 513 bytes on CPython asks malloc for each, and a garbage-collected object has 16 in front.
    assert sys.modules["fastframe._codec_c"].MessageDecoder.__basicsize__ <= 512 - 16


# What is replayed.


def header_decides(error: Error) -> bool:
    """Whether it is in the headers, and not in a payload, what is wrong."""
    return error.type != "InvalidUtf8" and not error.message.startswith("close ")


def check_replay(codec: ModuleType, role: Role, wire: bytes, options: dict[str, Any]) -> None:
    decoder = codec.MessageDecoder(role, **options)
    error = feed(decoder, [wire]).error
    limits = {name: options[name] for name in options if name.startswith("max_")}
    found = replayed(decoder.last_frames, role, **limits, rsv1="inflate" in options)
    if error is not None and error.message.startswith("close frame with a payload of one byte"):
        # Which byte that was is not recorded.
        assert found is not None
        assert found._replace(message=error.message) == error
    else:
        assert found == (error if error is not None and header_decides(error) else None)


def to_nothing(payload: bytes, limit: int | None) -> bytes:
    return b""


@given(case=wild_frames(), options=OPTIONS)
def test_what_headers_decide_comes_out_again(
    codec: ModuleType, case: tuple[Role, bytes], options: dict[str, Any]
) -> None:
    if "inflate" in options:
        options["inflate"] = to_nothing
    check_replay(codec, *case, options)


VECTORS = cases("messages", item) + cases("rfc6455_5_7", item)


# With an inflate the vectors are of what it returns.
@pytest.mark.parametrize("case", [case for case in VECTORS if "inflate" not in case.values[0].options])
def test_vectors_are_replayed(codec: ModuleType, case: Case) -> None:
    check_replay(codec, case.role, case.wire, case.options)


def messages_in_fragments(role: Role, pings: int) -> bytes:
    return data_frame(role, 1, b"abc", fin=False) + data_frame(role, 9, b"") * pings


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    "ends",
    [[], [(0, True)], [(0, True), (0, True)], [(0, True), (1, True), (0, False)], [(2, True)], [(1, False)]],
)
def test_a_message_that_began_long_before_is_replayed(
    codec: ModuleType, role: Role, ends: list[tuple[int, bool]]
) -> None:
    wire = messages_in_fragments(role, pings=20)
    wire += b"".join(data_frame(role, opcode, b"xyz", fin=fin) for opcode, fin in ends)
    check_replay(codec, role, wire, {})


def test_a_continuation_behind_many_pings_is_wrong_again(codec: ModuleType) -> None:
    role = Role.SERVER
    wire = messages_in_fragments(role, pings=0) + data_frame(role, 0, b"")
    wire += data_frame(role, 9, b"") * 20 + data_frame(role, 0, b"")
    check_replay(codec, role, wire, {})


HUGE = RecordedFrame(True, False, False, False, Opcode.BINARY, True, 2**63 - 1, 64)


@pytest.mark.parametrize("limit", [None, 2**62])
@pytest.mark.parametrize("rsv1", [False, True])
def test_replay_takes_little_memory_whatever_was_announced(limit: int | None, rsv1: bool) -> None:
    huge = HUGE._replace(rsv1=rsv1, payload_length=2**61)
    taken = [huge, huge._replace(opcode=Opcode.TEXT), huge._replace(fin=False)]
    # No ping may be that long. It is behind the others, so those have come whole.
    frames = (*taken, HUGE._replace(opcode=Opcode.PING))
    with traced() as memory:
        error = replayed(frames, Role.SERVER, max_message_size=limit, rsv1=rsv1)
        assert replayed((HUGE,), Role.SERVER, max_message_size=None) is None
        peak = memory()[1]
    assert error is not None
    assert "in a control frame" in error.message
    assert peak < (40 if rsv1 and limit else 4) * 1024 * 1024


def test_no_frames_are_replayed_as_nothing() -> None:
    assert replayed((), Role.CLIENT) is None


# Who hands it out.


@pytest.mark.parametrize("role", Role)
def test_connections_put_it_into_their_exceptions(role: Role) -> None:
    connection = Connection(role)
    connection.receive(data_frame(role, 1, b"secret") + data_frame(role, 9, b"") + data_frame(role, 0, b"x"))
    connection.conclude()
    connection.end()
    error = connection.closed_exception()
    assert isinstance(error, ConnectionClosedError)
    assert connection.failure is not None
    assert error.last_frames == connection.last_frames == connection.failure.last_frames
    assert [frame.opcode for frame in error.last_frames] == [Opcode.TEXT, Opcode.PING, Opcode.CONTINUATION]
    assert replayed(error.last_frames, role) == Error.of(connection.failure)
    assert "secret" not in repr(error)
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.last_frames) == (str(error), error.last_frames)


def test_a_lost_connection_tells_what_came_last() -> None:
    connection = Connection(Role.SERVER)
    connection.receive(data_frame(Role.SERVER, 1, b"x" * 300)[:-1])
    connection.end()
    assert list(map(str, connection.closed_exception().last_frames)) == ["TEXT fin masked 300"]


def test_an_end_as_it_should_be_has_nothing_to_tell() -> None:
    connection = Connection(Role.SERVER)
    connection.receive(frame_bytes(Role.SERVER, b"\x88\x02", b"\x03\xe8"))
    connection.conclude()
    connection.end()
    assert connection.closed_exception().last_frames == ()
    assert len(connection.last_frames) == 1
