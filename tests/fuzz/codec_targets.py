"""The codec: each half against the other and against independent implementations."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from fuzz import streams
from fuzz.choices import SIZES, Choices
from reference import verdict
from test_differential import by_websockets, by_wsproto
from wire import INFLATES, Case, Outcome, data_frame, feed, half_modules, outcome_for, single_bytes, xor

from fastframe import Close, Role
from fastframe.errors import ProtocolError

HALVES: list[ModuleType] = [importlib.import_module(module) for module in half_modules().values()]
PURE = HALVES[-1]
OTHER = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}


def tried(call: Callable[[], object]) -> tuple[str, object]:
    """What it returns, or which exception with which words."""
    try:
        return "returned", call()
    except (TypeError, ValueError, ProtocolError, OverflowError) as error:
        return type(error).__name__, str(error)


def agree(calls: Sequence[Callable[[], object]]) -> tuple[str, Any]:
    outcomes = [tried(call) for call in calls]
    assert outcomes == [outcomes[0]] * len(outcomes), outcomes
    return outcomes[0]


def masking(data: bytes) -> None:
    """In a copy, in place at any alignment, in chunks; a key of another size is refused alike."""
    choices = Choices(data)
    key = choices.take(4)
    before, offset = choices.below(70), choices.byte()
    payload = choices.payload(large=True) if choices.flag() else choices.rest()
    if len(key) != 4:
        assert agree([partial(half.apply_mask, payload, key) for half in HALVES])[0] == "ValueError"
        return
    expected = xor(payload, key)
    turned = key[offset % 4 :] + key[: offset % 4]
    for half in HALVES:
        room = bytearray(before) + payload
        assert half.apply_mask(memoryview(room)[before:], key) == expected
        half.apply_mask_inplace(memoryview(room)[before:], key, offset)
        assert room == bytes(before) + xor(payload, turned)
        masker = half.Masker(key)
        assert b"".join(map(masker.process, choices.cut(payload))) == expected
        assert masker.offset % 4 == len(payload) % 4
        strided = memoryview(b"".join(bytes([byte, 0xEE]) for byte in payload[:500]))[::2]
        assert half.apply_mask(strided, key) == expected[:500]


def utf8(data: bytes) -> None:
    """Whole, resumed and as a message, beside CPython's decoder and the grammar of RFC 3629."""
    choices = Choices(data)
    text = choices.payload(large=True) if choices.flag() else choices.rest()
    try:
        decoded: str | None = text.decode()
    except UnicodeDecodeError:
        decoded = None
    for half in HALVES:
        assert half.is_valid_utf8(text) is (decoded is not None)
        assert half.Utf8Validator().validate(text) == verdict(text)
        for chunks in (choices.cut(text), choices.cut(text)):
            _resumed(half, chunks, text)
            outcome = feed(half.MessageDecoder(Role.CLIENT), [data_frame(Role.CLIENT, 1, text)])
            assert outcome.items == ([] if decoded is None else [decoded])
            message = b"".join(
                data_frame(Role.SERVER, 0 if number else 1, chunk, fin=number == len(chunks) - 1)
                for number, chunk in enumerate(chunks)
            )
            assert feed(half.MessageDecoder(Role.SERVER), choices.cut(message)).items == outcome.items


def _resumed(half: ModuleType, chunks: list[bytes], text: bytes) -> None:
    validator, last, fed = half.Utf8Validator(), None, 0
    for chunk in chunks:
        last = validator.validate(chunk)
        fed += len(chunk)
        if not last[0]:
            break
    expected = verdict(text[:fed])
    assert last is not None
    assert (last[0], last[1], last[3]) == (expected[0], expected[1], expected[3])


def header(data: bytes) -> None:
    """Parsed alike at any offset, and written back to the same bytes."""
    choices = Choices(data)
    offset = choices.below(4)
    wire = choices.rest()
    result, found = agree([partial(half.parse_header, wire, offset) for half in HALVES])
    if result != "returned":
        assert result == "ProtocolError"
        return
    if found is None:
        return
    fin, rsv1, rsv2, rsv3, opcode, key, size, length = found
    options = {"fin": fin, "rsv1": rsv1, "rsv2": rsv2, "rsv3": rsv3, "masking_key": key}
    for half in HALVES:
        assert half.encode_header(opcode, size, **options) == wire[offset : offset + length]


def _compare(make: Callable[[ModuleType], Any], role: Role, wire: bytes, cuts: list[list[bytes]]) -> Outcome:
    """All halves, entries and cuts give what the pure half gives a byte at a time."""
    expected = feed(make(PURE), single_bytes(wire))
    case = Case(role, wire, *expected)
    for half in HALVES:
        for chunks in cuts:
            assert feed(make(half), chunks) == outcome_for(case, chunks), (half, chunks)
            if hasattr(make(half), "get_buffer"):
                assert feed(make(half), chunks, in_place=True) == outcome_for(case, chunks), (half, chunks)
    return expected


def frame_decoder(data: bytes) -> None:
    choices = Choices(data)
    receiver = streams.role(choices)
    options = {
        "max_frame_size": choices.pick([None, None, *SIZES]),
        "rsv1": choices.flag(),
        "rsv2": choices.rarely(),
        "rsv3": choices.rarely(),
    }
    wire = streams.wild(choices, receiver)[:20_000]
    _compare(
        lambda half: half.FrameDecoder(receiver, **options),
        receiver,
        wire,
        [[wire], choices.cut(wire), choices.cut(wire)],
    )


def message_decoder(data: bytes) -> None:
    choices = Choices(data)
    receiver = streams.role(choices)
    options = {
        "max_message_size": choices.pick([1 << 20, None, *SIZES]),
        "max_frame_size": choices.pick([None, None, *SIZES]),
        "max_fragments": choices.pick([None, 4096, 1, 2, 3]),
        "text_as_bytes": choices.flag(),
        "inflate": choices.pick([None, None, *INFLATES.values()]),
    }
    cuts = Choices(choices.take(12))
    wire = streams.wild(choices, receiver)[:20_000]
    _compare(
        lambda half: half.MessageDecoder(receiver, **options),
        receiver,
        wire,
        [[wire], cuts.cut(wire), cuts.cut(wire)],
    )


def take_chunk(data: bytes) -> None:
    """Both halves hand out the same pieces of unfinished messages, whenever they are asked."""
    choices = Choices(data)
    receiver = streams.role(choices)
    options = {
        "max_message_size": choices.pick([1 << 20, None, *SIZES]),
        "text_as_bytes": choices.flag(),
    }
    plan = Choices(choices.take(24))
    wire = streams.wild(choices, receiver)[:20_000]
    decoders = [half.MessageDecoder(receiver, **options) for half in HALVES]
    for chunk in plan.cut(wire):
        result, _ = agree([partial(decoder.receive, chunk) for decoder in decoders])
        for name in ("control_frames", "close"):
            agree([partial(getattr, decoder, name) for decoder in decoders])
        if result != "returned":
            assert len({tuple(map(repr, decoder.error.decoded)) for decoder in decoders}) == 1
            return
        if plan.flag():
            agree([decoder.take_chunk for decoder in decoders])


def valid_streams(data: bytes) -> None:
    """They mean what they were made of, to both halves, to websockets and to wsproto."""
    choices = Choices(data)
    receiver = streams.role(choices)
    cuts = Choices(choices.take(12))
    stream = streams.valid(choices, receiver, large=True)
    for half in HALVES:
        for chunks in ([stream.wire], cuts.cut(stream.wire)):
            for in_place in (False, True):
                outcome = feed(half.MessageDecoder(receiver, max_message_size=None), chunks, in_place)
                assert outcome == Outcome(stream.items)
                assert list(map(type, outcome.items)) == list(map(type, stream.items))
    assert stream.items == by_websockets(receiver, stream.wire)
    # Codes 1012 to 1014 are younger than wsproto's table.
    if not any(isinstance(item, Close) and item.close_code in (1012, 1013, 1014) for item in stream.items):
        assert stream.items == by_wsproto(receiver, stream.wire)


def encoder(data: bytes) -> None:
    """Any calls.

    Both halves write the same (unmasked) bytes or refuse in the same words; masked, they decode.
    """
    choices = Choices(data)
    sender = streams.role(choices)
    encoders = [half.FrameEncoder(sender) for half in HALVES]
    while choices:
        kind = choices.byte()
        payload: Any = choices.text() if kind & 1 else choices.payload(large=True)
        if choices.rarely():
            payload = choices.pick(
                ["\ud800", "a\udfff", None, 7, bytearray(b"mutable"), memoryview(b"a1b2")[::2]]
            )
        if kind < 0x40:
            calls = [partial(encoder.append_message, payload) for encoder in encoders]
        elif kind < 0xC0:
            opcode = choices.pick([1, 2, 0, 8, 9, 10, choices.byte() - 16])
            bits = [not choices.rarely(), choices.rarely(), choices.rarely(), choices.rarely()]
            calls = [partial(encoder.append, opcode, payload, *bits) for encoder in encoders]
            for half in HALVES if payload is not None and payload != 7 else ():
                _encoded_alone(half, opcode, payload, bits)
        else:
            _taken(encoders, sender)
            continue
        results = [tried(call) for call in calls]
        # How the buffer protocol words its refusal is the interpreter's affair.
        if payload is None or payload == 7:
            assert len({result[0] for result in results}) == 1, results
        else:
            assert results == [results[0]] * len(results), results
        agree([encoder.__len__ for encoder in encoders])
    _taken(encoders, sender)


def _encoded_alone(half: ModuleType, opcode: int, payload: Any, bits: list[bool]) -> None:
    options = dict(zip(("fin", "rsv1", "rsv2", "rsv3"), bits, strict=True))
    result = tried(lambda: half.encode_frame(opcode, payload, masking_key=b"\1\2\3\4", **options))
    other = tried(lambda: PURE.encode_frame(opcode, payload, masking_key=b"\1\2\3\4", **options))
    assert result == other


def _taken(encoders: list[Any], sender: Role) -> None:
    written = [encoder.take() for encoder in encoders]
    if sender is Role.SERVER:
        assert written == [written[0]] * len(written)
    options = {"rsv1": True, "rsv2": True, "rsv3": True, "max_frame_size": None}
    decoded = [
        half.FrameDecoder(OTHER[sender], **options).receive(data) for data in written for half in HALVES
    ]
    assert decoded == [decoded[0]] * len(decoded)


TARGETS = {
    "masking": masking,
    "utf8": utf8,
    "header": header,
    "frame-decoder": frame_decoder,
    "message-decoder": message_decoder,
    "take-chunk": take_chunk,
    "valid-streams": valid_streams,
    "encoder": encoder,
}
