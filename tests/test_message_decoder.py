from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from reference import scan
from wire import (
    Case,
    Error,
    Outcome,
    cases,
    data_frame,
    every_cut,
    expand,
    feed,
    item,
    load,
    outcome_for,
    single_bytes,
)

from fastframe import Close, InvalidUtf8, Ping, Pong, ProtocolError, Role

ENTRIES = pytest.mark.parametrize("in_place", [False, True], ids=["receive", "get_buffer"])
CODES = load("close_codes")


@ENTRIES
@pytest.mark.parametrize("case", cases("messages", item) + cases("rfc6455_5_7", item))
def test_message_vectors_give_the_same_whatever_the_cut(
    codec: ModuleType, case: Case, in_place: bool
) -> None:
    for chunks in every_cut(case.wire):
        decoder = codec.MessageDecoder(case.role, **case.options)
        outcome = feed(decoder, chunks, in_place)
        assert outcome == outcome_for(case, chunks)
        assert list(map(type, outcome.items)) == list(map(type, case.items))


def text_case(role: Role, data: bytes, fragments: list[bytes]) -> Case:
    """What MessageDecoder owes for these fragments of a text message."""
    wire, starts = b"", []
    for number, piece in enumerate(fragments):
        opcode, fin = (0 if number else 1), number == len(fragments) - 1
        encoded = data_frame(role, opcode, piece, fin=fin)
        starts.append(len(wire) + len(encoded) - len(piece))
        wire += encoded
    bad, state = scan(data)
    if bad is None and state == 0:
        return Case(role, wire, [data.decode()], None, None)
    if bad is None:
        said = f"it ends inside a code point, after {len(data)} bytes"
        return Case(
            role, wire, [], Error("InvalidUtf8", 1007, f"text message is not UTF-8: {said}"), len(wire)
        )
    said = f"byte 0x{data[bad]:02X} at index {bad}"
    before = 0
    for start, piece in zip(starts, fragments, strict=True):
        if bad < before + len(piece):
            error_at = start + bad - before + 1
            break
        before += len(piece)
    return Case(role, wire, [], Error("InvalidUtf8", 1007, f"text message is not UTF-8: {said}"), error_at)


@ENTRIES
@pytest.mark.parametrize("vector", load("utf8"), ids=lambda vector: vector["name"])
def test_utf8_vectors_are_judged_in_text_messages(
    codec: ModuleType, vector: dict[str, Any], in_place: bool
) -> None:
    data = expand(vector["bytes"])
    for role in Role:
        for place in range(len(data) + 1):
            for fragments in ([data], [data[:place], data[place:]], [data[:place], b"", data[place:]]):
                case = text_case(role, data, fragments)
                for chunks in ([case.wire], single_bytes(case.wire), [case.wire[:4], case.wire[4:]]):
                    outcome = feed(codec.MessageDecoder(role), chunks, in_place)
                    assert outcome == outcome_for(case, chunks)


@ENTRIES
@pytest.mark.parametrize("size", [40, 130, 1000, 66_000])
@pytest.mark.parametrize("unit", ["a", "ä", "你", "🌍", "aä你🌍"])
def test_bad_byte_in_a_long_text_is_named_exactly(
    codec: ModuleType, unit: str, size: int, in_place: bool
) -> None:
    data = (unit * size).encode()[:size]
    for position in (0, 1, 15, 16, 31, 33, 38, size // 2, size - 1):
        broken = data[:position] + b"\xff" + data[position + 1 :]
        case = text_case(Role.SERVER, broken, [broken])
        cut = (case.error_at or 0) - 1
        assert feed(codec.MessageDecoder(Role.SERVER), [case.wire], in_place).error == case.error
        outcome = feed(
            codec.MessageDecoder(Role.SERVER), [case.wire[:cut], case.wire[cut : cut + 1]], in_place
        )
        assert outcome == Outcome([], case.error, case.error_at)


@ENTRIES
@pytest.mark.parametrize(
    "text", ["x" * 300, "ä" * 300, "Ā" * 200, "你" * 200, "🌍" * 100, "x" * 290 + "é", "x" * 290 + "🌍"]
)
def test_text_is_equal_to_the_decoded_payload(codec: ModuleType, text: str, in_place: bool) -> None:
    # The widest character decides how a str is stored, so each width has its own way to be built.
    payload = text.encode()
    for role in Role:
        for fragment in (1, 7, 64, len(payload)):
            pieces = [payload[i : i + fragment] for i in range(0, len(payload), fragment)]
            case = text_case(role, payload, pieces)
            for chunks in ([case.wire], single_bytes(case.wire), [case.wire[:50], case.wire[50:]]):
                [received] = feed(codec.MessageDecoder(role), chunks, in_place).items
                assert received == text
                assert hash(received) == hash(text)
                assert received.isascii() is text.isascii()


@pytest.mark.parametrize("span", CODES, ids=lambda span: f"{span['first']}-{span['last']}")
def test_close_codes_are_judged_on_the_wire(codec: ModuleType, span: dict[str, Any]) -> None:
    for code in {span["first"], span["last"], (span["first"] + span["last"]) // 2}:
        wire = data_frame(Role.SERVER, 8, code.to_bytes(2, "big") + b"why")
        outcome = feed(codec.MessageDecoder(Role.SERVER), [wire])
        if span["may_be_sent"]:
            assert outcome == Outcome([Close(code, "why")])
        else:
            error = Error("ProtocolError", 1002, f"close code {code} may not be sent")
            assert outcome == Outcome([], error, len(wire))


@pytest.mark.parametrize("vector", load("closes"), ids=lambda vector: vector["name"])
def test_close_payloads_are_judged_at_the_end_of_the_frame(codec: ModuleType, vector: dict[str, Any]) -> None:
    for role in Role:
        wire = data_frame(role, 8, expand(vector["payload"]))
        if "close" in vector:
            case = Case(role, wire, [Close(*vector["close"])], None, None)
        else:
            case = Case(role, wire, [], Error(*vector["error"]), len(wire))
        for chunks in every_cut(wire):
            decoder = codec.MessageDecoder(role)
            assert feed(decoder, chunks) == outcome_for(case, chunks)
            assert decoder.close == (case.items[0] if case.items else None)


def test_items_have_the_promised_types(codec: ModuleType) -> None:
    wire = b"".join(data_frame(Role.SERVER, opcode, b"x") for opcode in (1, 2, 9, 10))
    wire += data_frame(Role.SERVER, 8, b"\x03\xe8bye")
    items = codec.MessageDecoder(Role.SERVER).receive(wire)
    assert list(map(type, items)) == [str, bytes, Ping, Pong, Close]
    assert type(items[2].payload) is type(items[3].payload) is bytes
    assert type(items[4].close_code) is int


@pytest.mark.parametrize("before", [b"", b"\x81\x01A", b"\x01\x01A"])
def test_after_close_everything_is_dropped(codec: ModuleType, before: bytes) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    assert decoder.close is None
    items = decoder.receive(before + b"\x88\x02\x03\xe9" + b"\x81\x01B\xff\xff")
    assert items[-1] == Close(1001)
    assert "B" not in items
    assert decoder.close is items[-1]
    for more in (b"", b"\x81\x01C", b"\xff" * 1000, b"\x82\x7f" + b"\xff" * 8):
        assert decoder.receive(more) == []
    assert decoder.get_buffer() is None
    assert (decoder.error, decoder.close) == (None, Close(1001))


def retained_after(wire: bytes, header_sizes: list[int], sizes: list[int]) -> list[int]:
    """What is held after each prefix of one message: its payload, and a header while it is unfinished."""
    held, payload = [0], 0
    for number, (header, size) in enumerate(zip(header_sizes, sizes, strict=True)):
        held += [payload + count for count in range(1, header)] + [payload]
        held += [payload + count for count in range(1, size + 1)]
        payload += size
        if number == len(sizes) - 1:
            held[-1] = 0
    assert len(held) == len(wire) + 1
    return held


@pytest.mark.parametrize("opcode", [1, 2, 9])
@pytest.mark.parametrize("role", Role)
def test_retained_counts_headers_and_payload_under_way(codec: ModuleType, role: Role, opcode: int) -> None:
    sizes = [5] if opcode == 9 else [5, 0, 130, 3]
    frames = [
        data_frame(role, 0 if number else opcode, b"a" * size, fin=number == len(sizes) - 1)
        for number, size in enumerate(sizes)
    ]
    wire = b"".join(frames)
    headers = [len(frame) - size for frame, size in zip(frames, sizes, strict=True)]
    expected = retained_after(wire, headers, sizes)
    decoder = codec.MessageDecoder(role)
    seen = [decoder.retained]
    for byte in single_bytes(wire):
        decoder.receive(byte)
        seen.append(decoder.retained)
    assert seen == expected


def test_retained_counts_a_control_frame_inside_a_message(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    decoder.receive(b"\x01\x05Hello" + b"\x89\x04pi")
    assert decoder.retained == 7
    assert decoder.receive(b"ng") == [Ping(b"ping")]
    assert decoder.retained == 5
    assert decoder.receive(b"\x80\x00") == ["Hello"]
    assert decoder.retained == 0


@pytest.mark.parametrize(
    "wire",
    ["81 01 41 83 00", "81 01 41 81 05 ff", "81 01 41 88 01 00", "81 01 41 81 01 c3", "81 01 41 80 00"],
)
def test_error_is_kept_and_raised_again_by_every_entry(codec: ModuleType, wire: str) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    with pytest.raises(ProtocolError) as first:
        decoder.receive(bytes.fromhex(wire))
    assert first.value.decoded == ["A"]
    assert decoder.get_buffer() is None
    calls: list[Callable[[], object]] = [
        lambda: decoder.receive(b"\x81\x01B"),
        lambda: decoder.receive(b""),
        lambda: decoder.received(0),
    ]
    for call in calls:
        with pytest.raises(ProtocolError) as again:
            call()
        assert again.value is first.value is decoder.error
        assert again.value.decoded == []
    assert decoder.close is None


def test_decoded_holds_the_items_of_the_failing_call_only(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    assert decoder.receive(b"\x81\x01A") == ["A"]
    with pytest.raises(InvalidUtf8) as caught:
        decoder.receive(b"\x81\x01B\x89\x00\x81\x01\xff")
    assert caught.value.decoded == ["B", Ping()]


def test_options_are_keywords_only(codec: ModuleType) -> None:
    with pytest.raises(TypeError):
        codec.MessageDecoder(Role.CLIENT, 5)
    with pytest.raises(TypeError):
        codec.FrameDecoder(Role.CLIENT, 5)
    assert codec.MessageDecoder(role=Role.CLIENT).receive(data=b"\x81\x00", size=2) == [""]


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 14])
def test_receive_counts_only_the_first_size_bytes(codec: ModuleType, size: int) -> None:
    wire = data_frame(Role.CLIENT, 1, b"Hello") * 2
    decoder = codec.MessageDecoder(Role.CLIENT)
    assert decoder.receive(wire, size) + decoder.receive(wire[size:]) == ["Hello"] * 2


def test_decoders_do_not_share_state(codec: ModuleType) -> None:
    one, two = codec.MessageDecoder(Role.CLIENT), codec.MessageDecoder(Role.CLIENT)
    assert one.receive(b"\x01\x02\xe4\xbd") == two.receive(b"\x02\x01z") == []
    assert one.receive(b"\x80\x01\xa0") == ["你"]
    assert two.receive(b"\x80\x00") == [b"z"]


def test_control_frames_of_the_last_call_are_counted(codec: ModuleType) -> None:
    decoder = codec.MessageDecoder(Role.CLIENT)
    ping, text = data_frame(Role.CLIENT, 9, b""), data_frame(Role.CLIENT, 1, b"a")
    for wire, count in [(text, 0), (ping + text + ping, 2), (text, 0), (b"", 0), (ping, 1), (ping[:1], 0)]:
        decoder.receive(wire)
        assert decoder.control_frames == count
    assert decoder.receive(ping[1:] + data_frame(Role.CLIENT, 8, b"")) == [Ping(), Close()]
    assert decoder.control_frames == 2
