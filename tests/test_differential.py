"""Random streams through both halves and both entries, and beside independent implementations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import websockets.frames
import websockets.protocol
import wsproto.frame_protocol
from hypothesis import assume, example, given
from hypothesis import strategies as st
from reference import scan, verdict
from wire import (
    INFLATES,
    Case,
    Outcome,
    data_frame,
    feed,
    frame_bytes,
    half_modules,
    outcome_for,
    single_bytes,
    xor,
)

from fastframe import Close, CloseCode, Opcode, Ping, Pong, Role

ROLES = st.sampled_from(list(Role))
TEXTS = st.text(max_size=40) | st.text("aä你🌍", max_size=300)
PAYLOADS = st.binary(max_size=40) | st.binary(max_size=200).map(lambda data: data * 3)
# Longer than what the kernels look at in one go: whole code points, cut ones, and anything, over and over.
RUNS = st.builds(
    lambda unit, times, end: unit * times + end,
    st.sampled_from([b"\xc3", b"\xf4", b"\xe1\x80", b"\xf1\x80\x80", "aé".encode(), "🌍".encode()])
    | st.binary(min_size=1, max_size=4),
    st.integers(1, 20_000),
    st.binary(max_size=4),
)
CONTROL = st.binary(max_size=125)
CLOSES = st.builds(
    Close,
    st.sampled_from([1000, 1001, 1003, 1011, 1014, 3000, 4999]),
    st.text(max_size=123).filter(lambda text: len(text.encode()) <= 123),
) | st.just(Close())


class Stream(NamedTuple):
    """A valid stream: its items in order, and the frames that carry them."""

    items: list[Any]
    frames: list[tuple[int, bool, bytes]]

    def wire(self, role: Role) -> bytes:
        return b"".join(data_frame(role, opcode, payload, fin=fin) for opcode, fin, payload in self.frames)


CONTROL_ITEMS = st.builds(Ping, CONTROL) | st.builds(Pong, CONTROL)


def control_frame(item: Any) -> tuple[int, bool, bytes]:
    if isinstance(item, Close):
        return 8, True, item.serialize()
    return (9 if isinstance(item, Ping) else 10), True, item.payload


@st.composite
def streams(draw: st.DrawFn, close: bool = True) -> Stream:
    """Messages in random fragments with control frames between them, and a close frame perhaps."""
    items: list[Any] = []
    frames: list[tuple[int, bool, bytes]] = []
    for message in draw(st.lists(TEXTS | PAYLOADS | CONTROL_ITEMS, max_size=6)):
        if isinstance(message, (Ping, Pong)):
            items.append(message)
            frames.append(control_frame(message))
            continue
        payload = message.encode() if isinstance(message, str) else message
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
        bounds = [0, *cuts, len(payload)]
        for number, (start, end) in enumerate(pairwise(bounds)):
            opcode = 0 if number else (1 if isinstance(message, str) else 2)
            frames.append((opcode, number == len(cuts), payload[start:end]))
            if number < len(cuts) and draw(st.booleans()):
                items.append(draw(CONTROL_ITEMS))
                frames.append(control_frame(items[-1]))
        items.append(message)
    if close and draw(st.booleans()):
        items.append(draw(CLOSES))
        frames.append(control_frame(items[-1]))
    return Stream(items, frames)


@st.composite
def wild_frames(draw: st.DrawFn) -> tuple[Role, bytes]:
    """Frames that mostly obey the header rules and obey no other one."""
    role, wire = draw(ROLES), b""
    for _ in range(draw(st.integers(1, 6))):
        opcode = draw(st.sampled_from([0, 0, 1, 1, 2, 2, 8, 9, 10, 3, 11]))
        first = draw(st.sampled_from([0x80, 0x80, 0x00, 0xC0, 0x40, 0xA0])) | opcode
        payload = draw(st.binary(max_size=130) | TEXTS.map(str.encode))
        size = draw(st.sampled_from([len(payload)] * 6 + [126, 65535, 65536, 2**63 - 1, 2**63]))
        if size < 126:
            header = bytes([first, size])
        elif size < 65536:
            header = bytes([first, 126]) + size.to_bytes(2, "big")
        else:
            header = bytes([first, 127]) + size.to_bytes(8, "big")
        wire += frame_bytes(role, header, payload)
    return role, wire


@st.composite
def corrupted(draw: st.DrawFn) -> tuple[Role, bytes]:
    """A valid stream with a few bytes changed, put in or left out."""
    role = draw(ROLES)
    wire = bytearray(draw(streams()).wire(role))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(wire)))
        replacement = draw(st.binary(max_size=2))
        wire[place : place + draw(st.integers(0, 2))] = replacement
    return role, bytes(wire)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "max_message_size": st.none() | st.integers(0, 300),
        "max_frame_size": st.none() | st.integers(0, 200),
        "max_fragments": st.none() | st.integers(1, 4),
        "text_as_bytes": st.booleans(),
        "inflate": st.sampled_from(list(INFLATES.values())),
    },
)


def cut_at(wire: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[start:end] for start, end in pairwise(bounds)]


PLACES = st.lists(st.integers(0, 10_000), max_size=6)


@given(case=wild_frames() | corrupted(), options=OPTIONS, places=PLACES)
def test_all_halves_entries_and_cuts_agree(
    halves: dict[str, ModuleType], case: tuple[Role, bytes], options: dict[str, Any], places: list[int]
) -> None:
    role, wire = case
    # A byte at a time, through the plain entry: the byte that makes the error shows.
    first = feed(halves["pure"].MessageDecoder(role, **options), single_bytes(wire))
    expected = Case(role, wire, *first)
    for codec in halves.values():
        for chunks in ([wire], single_bytes(wire), cut_at(wire, places)):
            for in_place in (False, True):
                outcome = feed(codec.MessageDecoder(role, **options), chunks, in_place)
                assert outcome == outcome_for(expected, chunks)


@given(
    case=wild_frames() | corrupted(), places=PLACES, rsv1=st.booleans(), limit=st.none() | st.integers(0, 200)
)
def test_frame_decoders_agree_whatever_the_cut(
    halves: dict[str, ModuleType],
    case: tuple[Role, bytes],
    places: list[int],
    rsv1: bool,
    limit: int | None,
) -> None:
    role, wire = case
    options = {"rsv1": rsv1, "max_frame_size": limit}
    expected = Case(role, wire, *feed(halves["pure"].FrameDecoder(role, **options), single_bytes(wire)))
    for codec in halves.values():
        for chunks in ([wire], single_bytes(wire), cut_at(wire, places)):
            assert feed(codec.FrameDecoder(role, **options), chunks) == outcome_for(expected, chunks)


@given(stream=streams(), role=ROLES, places=PLACES, in_place=st.booleans())
def test_valid_streams_give_their_items(
    codec: ModuleType, stream: Stream, role: Role, places: list[int], in_place: bool
) -> None:
    chunks = cut_at(stream.wire(role), places)
    outcome = feed(codec.MessageDecoder(role), chunks, in_place)
    assert outcome == Outcome(stream.items)
    assert list(map(type, outcome.items)) == list(map(type, stream.items))


@given(stream=streams(close=False), role=ROLES, places=PLACES)
def test_encoded_streams_decode_to_the_same(
    codec: ModuleType, stream: Stream, role: Role, places: list[int]
) -> None:
    encoder = codec.FrameEncoder(role)
    for opcode, fin, payload in stream.frames:
        encoder.append(opcode, payload, fin)
    peer = Role.SERVER if role is Role.CLIENT else Role.CLIENT
    wire = encoder.take()
    assert feed(codec.MessageDecoder(peer), cut_at(wire, places)) == Outcome(stream.items)
    frames = feed(codec.FrameDecoder(peer), cut_at(wire, places)).items
    assert [(frame.opcode, frame.fin, frame.payload) for frame in frames] == stream.frames


def by_websockets(role: Role, wire: bytes) -> list[Any]:
    """The items that websockets makes of a valid stream."""
    side = websockets.protocol.Side[role.name]
    protocol = websockets.protocol.Protocol(side, state=websockets.protocol.State.OPEN, max_size=None)
    protocol.receive_data(wire)
    items: list[Any] = []
    first, payload = Opcode.BINARY, b""
    for event in protocol.events_received():
        assert isinstance(event, websockets.frames.Frame)
        if event.opcode >= 8:
            data = bytes(event.data)
            readers: dict[int, Callable[[bytes], Any]] = {8: Close.parse, 9: Ping, 10: Pong}
            items.append(readers[event.opcode](data))
            continue
        first = Opcode(event.opcode) or first
        payload += event.data
        if event.fin:
            items.append(payload.decode() if first == Opcode.TEXT else payload)
            payload = b""
    return items


def by_wsproto(role: Role, wire: bytes) -> list[Any]:
    """The items that wsproto makes of a valid stream."""
    protocol = wsproto.frame_protocol.FrameProtocol(client=role is Role.CLIENT, extensions=[])
    protocol.receive_bytes(wire)
    items: list[Any] = []
    parts: list[Any] = []
    for event in protocol.received_frames():
        if event.opcode in (9, 10):
            items.append((Ping if event.opcode == 9 else Pong)(bytes(event.payload)))
        elif event.opcode == 8:
            code, reason = event.payload
            items.append(Close(None if code == CloseCode.NO_STATUS_RECEIVED else int(code), reason or ""))
        else:
            parts.append(event.payload if isinstance(event.payload, str) else bytes(event.payload))
            if event.message_finished:
                items.append(type(parts[0])().join(parts))
                parts = []
    return items


@given(stream=streams(), role=ROLES)
def test_valid_streams_mean_the_same_to_websockets_and_wsproto(
    codec: ModuleType, stream: Stream, role: Role
) -> None:
    wire = stream.wire(role)
    items = codec.MessageDecoder(role).receive(wire)
    assert items == by_websockets(role, wire)
    # Codes 1012 to 1014 are younger than wsproto's table.
    assume(not any(isinstance(item, Close) and item.close_code == 1014 for item in items))
    assert items == by_wsproto(role, wire)


@given(
    data=st.binary(max_size=100) | st.text(max_size=50).map(str.encode) | RUNS, before=TEXTS, places=PLACES
)
@example(data=b"\xed\xa0\x80", before="", places=[1])
@example(data=b"\xc3" * 16384 + b"a", before="", places=[])
@example(data=b"\xf4\x90\x80\x80", before="x" * 63, places=[64])
def test_utf8_is_accepted_exactly_when_decode_accepts_it(
    codec: ModuleType, data: bytes, before: str, places: list[int]
) -> None:
    data = before.encode() + data
    try:
        text: str | None = data.decode()
    except UnicodeDecodeError:
        text = None
    assert codec.is_valid_utf8(data) is (text is not None)
    validator = codec.Utf8Validator()
    assert validator.validate(data) == verdict(data)
    assert validator.state == scan(data)[1]
    chunks = cut_at(data_frame(Role.SERVER, 1, data), places)
    outcome = feed(codec.MessageDecoder(Role.SERVER), chunks)
    assert outcome.items == ([] if text is None else [text])
    assert (outcome.error is None) is (text is not None)


@given(data=st.binary(max_size=200), key=st.binary(min_size=4, max_size=4), places=PLACES)
def test_masks_are_their_own_inverse_in_any_chunks(
    codec: ModuleType, data: bytes, key: bytes, places: list[int]
) -> None:
    masked = codec.apply_mask(data, key)
    assert masked == xor(data, key)
    assert codec.apply_mask(masked, key) == data
    masker = codec.Masker(key)
    assert b"".join(map(masker.process, cut_at(data, places))) == masked
    buffer, offset = bytearray(), 0
    for chunk in map(bytearray, cut_at(data, places)):
        codec.apply_mask_inplace(chunk, key, offset)
        offset += len(chunk)
        buffer += chunk
    assert buffer == masked


ANY_PAYLOAD: st.SearchStrategy[Any] = st.binary(max_size=140) | TEXTS | st.just("\ud800") | st.none()


def tried(call: Any) -> tuple[str, Any]:
    try:
        return "returned", call()
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)


@given(
    opcode=st.integers(-1, 16),
    payload=ANY_PAYLOAD,
    fin=st.booleans(),
    rsv=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    key=st.none() | st.binary(min_size=3, max_size=5),
)
def test_encoders_agree_and_refuse_alike(
    halves: dict[str, ModuleType],
    opcode: int,
    payload: Any,
    fin: bool,
    rsv: tuple[bool, bool, bool],
    key: bytes | None,
) -> None:
    options = {"fin": fin, "rsv1": rsv[0], "rsv2": rsv[1], "rsv3": rsv[2]}
    plain, masked = [], []
    for codec in halves.values():
        encoder = codec.FrameEncoder(Role.SERVER)
        outcome = tried(lambda codec=codec: codec.encode_frame(opcode, payload, **options))
        appended = tried(lambda encoder=encoder: encoder.append(opcode, payload, **options))
        assert appended == (("returned", None) if outcome[0] == "returned" else outcome)
        assert encoder.take() == (outcome[1] if outcome[0] == "returned" else b"")
        plain.append(outcome)
        masked.append(
            tried(lambda codec=codec: codec.encode_frame(opcode, payload, masking_key=key, **options))
        )
    if payload is None:
        # How the buffer protocol words its refusal is the interpreter's affair.
        assert {outcome[0] for outcome in plain} <= {"TypeError", "ValueError"}
    else:
        assert [plain[0]] * len(plain) == plain
        assert [masked[0]] * len(masked) == masked


TWO_MISTAKES: dict[str, Callable[[Any], object]] = {
    "length-and-opcode": lambda codec: codec.encode_header(3, -1),
    "length-and-key": lambda codec: codec.encode_header(1, -1, masking_key=b"abc"),
    "length-and-fin": lambda codec: codec.encode_header(8, 126, fin=False),
    "str-and-fin": lambda codec: codec.encode_frame(8, "x", fin=False),
    "surrogate-and-key": lambda codec: codec.encode_frame(1, "\ud800", masking_key=b"abc"),
    "buffer-and-mask": lambda codec: codec.apply_mask_inplace(b"abcd", b"abc"),
    "buffer-and-offset": lambda codec: codec.apply_mask_inplace(b"abcd", b"abcd", -1),
    "role-and-limit": lambda codec: codec.MessageDecoder("x", max_message_size=-1),
    "two-limits": lambda codec: codec.MessageDecoder(Role.CLIENT, max_message_size=-1, max_frame_size=-1),
    "limit-and-fragments": lambda codec: codec.MessageDecoder(
        Role.CLIENT, max_frame_size=-1, max_fragments=0
    ),
}


@pytest.mark.skipif(len(half_modules()) == 1, reason="compares the halves, and there is one")
@pytest.mark.parametrize("mistakes", TWO_MISTAKES)
def test_two_mistakes_at_once_are_answered_alike(halves: dict[str, ModuleType], mistakes: str) -> None:
    compiled, pure = (tried(partial(TWO_MISTAKES[mistakes], codec)) for codec in halves.values())
    assert compiled == pure
    assert compiled[0] != "returned"


@given(wire=st.binary(max_size=20), offset=st.integers(0, 22))
def test_headers_are_parsed_alike_and_written_back(
    halves: dict[str, ModuleType], wire: bytes, offset: int
) -> None:
    outcomes = []
    for codec in halves.values():
        try:
            header = codec.parse_header(wire, offset)
        except Exception as error:  # noqa: BLE001
            outcomes.append((type(error).__name__, str(error)))
            continue
        outcomes.append(("returned", header))
        if header is not None:
            fin, rsv1, rsv2, rsv3, opcode, key, size, length = header
            options = {"fin": fin, "rsv1": rsv1, "rsv2": rsv2, "rsv3": rsv3, "masking_key": key}
            assert codec.encode_header(opcode, size, **options) == wire[offset : offset + length]
    assert [outcomes[0]] * len(outcomes) == outcomes
    assert outcomes[0][0] in ("returned", "ProtocolError")
