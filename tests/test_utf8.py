from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable
from itertools import product
from types import ModuleType
from typing import Any

import pytest
from reference import REJECT, STATES, scan, verdict
from wire import expand, load

VECTORS = [pytest.param(vector, id=vector["name"]) for vector in load("utf8")]

# One alphabet for each length of a code point, and all of them mixed.
TEXTS = {
    "ascii": "The quick brown fox; ",
    "two": "äöüßéñ",
    "three": "你好世界",
    "four": "🌍🎉🚀",
    "mixed": "a é 你🌍 plain ",
}

# Where a sequence stands in a block of a kernel decides which code sees it.
PLACES = [0, 1, 5, 13, 15, 16, 29, 31, 32, 47, 61, 63, 64, 125, 128, 190]


def assert_verdict(codec: ModuleType, data: bytes, bad: int | None, state: int) -> None:
    """Every way to ask about `data` gives the same answer."""
    total = len(data) if bad is None else bad
    assert codec.is_valid_utf8(data) is (bad is None and state == 0), data
    validator = codec.Utf8Validator()
    assert validator.validate(data) == (bad is None, state == 0, total, total), data
    assert (validator.state, validator.i) == (state, total), data


def filler(kind: str, size: int) -> bytes:
    """Whole code points, `size` bytes or a few more."""
    text = TEXTS[kind].encode()
    data = text * (size // len(text) + 2)
    while 0x80 <= data[size] < 0xC0:
        size += 1
    return data[:size]


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("before", [0, 1, 15, 31, 63, 100])
def test_vectors_have_their_verdict(codec: ModuleType, vector: dict[str, Any], before: int) -> None:
    data = b"x" * before + expand(vector["bytes"])
    bad = before + vector["bad_at"] if "bad_at" in vector else None
    valid = "text" in vector
    assert codec.is_valid_utf8(data) is valid
    total = len(data) if bad is None else bad
    assert codec.Utf8Validator().validate(data) == (bad is None, valid, total, total)
    if valid:
        assert expand(vector["bytes"]).decode() == vector["text"]


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_every_length_is_valid_and_cut_text_unfinished(codec: ModuleType, kind: str) -> None:
    data = filler(kind, 320)
    for size in range(301):
        for start in (0, 1, 2, 3):
            piece = data[start : start + size]
            assert_verdict(codec, piece, *scan(piece))


@pytest.mark.parametrize("bad", [0x80, 0xBF, 0xC0, 0xC1, 0xF5, 0xFF])
@pytest.mark.parametrize("kind", TEXTS)
def test_bad_byte_is_found_at_every_position(codec: ModuleType, kind: str, bad: int) -> None:
    data = filler(kind, 200)
    for position in range(len(data) + 1):
        piece = data[:position] + bytes([bad]) + data[position:]
        assert_verdict(codec, piece, *scan(piece))


@pytest.mark.parametrize("kind", TEXTS)
def test_missing_byte_is_found_at_every_position(codec: ModuleType, kind: str) -> None:
    data = filler(kind, 200)
    for position in range(len(data)):
        piece = data[:position] + data[position + 1 :]
        assert_verdict(codec, piece, *scan(piece))


def assert_embedded(codec: ModuleType, kind: str, sequences: Iterable[bytes], places: list[int]) -> None:
    """Check each sequence between ASCII bytes and code points of `kind`, at each place."""
    after = filler(kind, 70)
    judged = [(sequence, *scan(sequence + after[:4])) for sequence in sequences]
    for place in places:
        before = filler(kind, place)
        for sequence, bad, _ in judged:
            data = before + sequence + after
            expected = (False, len(before) + bad, REJECT) if bad is not None else (True, len(data), 0)
            validator = codec.Utf8Validator()
            valid, _, _, total = validator.validate(data)
            assert (valid, total, validator.state) == expected, (place, sequence)
            assert codec.is_valid_utf8(data) is valid, (place, sequence)


@pytest.mark.parametrize("kind", ["ascii", "three", "mixed"])
def test_every_sequence_of_one_and_two_bytes_is_judged(codec: ModuleType, kind: str) -> None:
    assert_embedded(codec, kind, (bytes([one]) for one in range(256)), PLACES)
    interesting = (bytes(pair) for pair in product(range(0x7E, 256), range(256)))
    assert_embedded(codec, kind, interesting, [0, 31])


@pytest.mark.parametrize("kind", ["ascii", "two"])
def test_every_three_byte_lead_and_second_byte_is_judged(codec: ModuleType, kind: str) -> None:
    thirds = (0x7F, 0x80, 0xBF, 0xC0)
    sequences = [bytes(three) for three in product(range(0xE0, 0xF0), range(256), thirds)]
    assert_embedded(codec, kind, sequences, [0, 14, 63])


@pytest.mark.parametrize("kind", ["ascii", "four"])
def test_every_four_byte_lead_with_boundary_tails_is_judged(codec: ModuleType, kind: str) -> None:
    seconds = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xF0, 0xFF)
    tails = (0x7F, 0x80, 0xBF, 0xC0)
    sequences = [bytes(four) for four in product(range(0xF0, 0x100), seconds, tails, tails)]
    assert_embedded(codec, kind, sequences, [0, 13, 30, 61])


def test_every_code_point_is_valid_and_every_surrogate_is_not(codec: ModuleType) -> None:
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)])).encode()
    assert codec.is_valid_utf8(text)
    assert codec.Utf8Validator().validate(text) == (True, True, len(text), len(text))
    for code in range(0xD800, 0xE000):
        encoded = chr(code).encode("utf-8", "surrogatepass")
        assert codec.Utf8Validator().validate(encoded) == (False, False, 1, 1)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("size", [65536, 1_000_003])
def test_large_text_is_judged_to_its_last_byte(codec: ModuleType, kind: str, size: int) -> None:
    data = filler(kind, size)
    assert_verdict(codec, data, None, 0)
    for broken in (data + b"\xff", data[: len(data) // 2] + b"\xc1" + data[len(data) // 2 :]):
        bad = broken.index(b"\xff" if broken[-1] == 0xFF else b"\xc1")
        assert_verdict(codec, broken, bad, REJECT)


@pytest.mark.parametrize("unit", [b"\xc3", b"\xff", b"\xe1\x80", b"\xf1\x80\x80"])
@pytest.mark.parametrize("size", [16383, 16384, 16385, 65537])
@pytest.mark.parametrize("end", [b"", b"a", b"\x80"])
def test_row_of_code_points_that_are_cut_short_is_not_valid(
    codec: ModuleType, unit: bytes, size: int, end: bytes
) -> None:
    for before in (b"", b"abc"):
        data = before + (unit * size)[:size] + end
        assert_verdict(codec, data, *scan(data))


@pytest.mark.parametrize("kind", TEXTS)
def test_validator_resumes_at_every_cut(codec: ModuleType, kind: str) -> None:
    data = filler(kind, 150)
    for end in (b"", b"\xff", b"\xed\xa0", b"\xf0\x9f"):
        piece = data + end
        bad, last_state = scan(piece)
        for cut in range(len(piece) + 1):
            validator = codec.Utf8Validator()
            first = validator.validate(piece[:cut])
            assert first == verdict(piece[:cut])
            if not first[0]:
                continue
            assert validator.state == scan(piece[:cut])[1]
            stop = len(piece) if bad is None else bad
            assert validator.validate(piece[cut:]) == (bad is None, last_state == 0, stop - cut, stop)
            assert validator.state == last_state


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or sys.version_info >= (3, 14),
    reason="wsaccel is an extension of CPython, with no wheels from 3.14 on",
)
@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 17, 64])
def test_validator_agrees_with_wsaccel_chunk_by_chunk(codec: ModuleType, chunk: int) -> None:
    from wsaccel.utf8validator import Utf8Validator as WsaccelValidator

    data = filler("mixed", 200)
    for position in range(0, 200, 7):
        ours, theirs = codec.Utf8Validator(), WsaccelValidator()
        broken = data[:position] + b"\xf4\x90" + data[position:]
        for start in range(0, len(broken), chunk):
            for piece in (broken[start : start + chunk], b""):
                assert ours.validate(piece) == tuple(theirs.validate(piece))


def test_validator_stays_rejected_until_reset(codec: ModuleType) -> None:
    validator = codec.Utf8Validator()
    assert validator.validate(b"abc\xffdef") == (False, False, 3, 3)
    assert (validator.state, validator.i) == (codec.Utf8Validator.UTF8_REJECT, 3)
    assert validator.validate(b"abc") == (False, False, 0, 3)
    assert validator.validate(b"") == (True, False, 0, 3)
    assert validator.validate(b"x" * 1000) == (False, False, 0, 3)
    assert validator.decode(0x41) == 1
    assert validator.reset() is None
    assert (validator.state, validator.codepoint, validator.i) == (0, 0, 0)
    assert validator.validate(b"abc") == (True, True, 3, 3)


def test_validator_state_constants_are_those_of_wsaccel(codec: ModuleType) -> None:
    assert (codec.Utf8Validator.UTF8_ACCEPT, codec.Utf8Validator.UTF8_REJECT) == (0, 1)
    assert codec.Utf8Validator().UTF8_REJECT == 1


@pytest.mark.parametrize(
    "prefix",
    ["", "c2", "e0", "e1", "e1 80", "e0 a0", "ed", "ed 80", "f0", "f0 90", "f1", "f3 80", "f4", "f4 80 80"],
)
def test_validator_state_numbers_name_what_is_missing(codec: ModuleType, prefix: str) -> None:
    data = bytes.fromhex(prefix)
    expected = scan(data)[1]
    by_chunk, by_byte = codec.Utf8Validator(), codec.Utf8Validator()
    by_chunk.validate(data)
    assert by_chunk.state == expected
    for size, byte in enumerate(data, 1):
        assert by_byte.decode(byte) == by_byte.state == scan(data[:size])[1]
    assert by_byte.i == 0
    assert expected in STATES.values()


def test_validator_decode_agrees_with_the_grammar_from_every_state(codec: ModuleType) -> None:
    prefixes = ["", "c2", "e0", "e1", "e1 80", "ed", "f0", "f1", "f4", "f1 80", "ff"]
    for prefix, byte in product(map(bytes.fromhex, prefixes), range(256)):
        validator = codec.Utf8Validator()
        for one in prefix:
            validator.decode(one)
        assert validator.decode(byte) == scan(prefix + bytes([byte]))[1], (prefix, byte)


@pytest.mark.parametrize("character", "\0A\x7f\x80éÿ\u07ff\u0800你\ud7ff\ue000\uffff\U00010000🌍\U0010ffff")
def test_validator_decode_assembles_the_code_point(codec: ModuleType, character: str) -> None:
    validator = codec.Utf8Validator()
    for _ in range(2):
        for byte in character.encode():
            validator.decode(byte)
        assert (validator.state, validator.codepoint) == (0, ord(character))


@pytest.mark.parametrize(
    ("data", "codepoints"),
    [
        ("c3 41 41", [3, 3, 3]),
        ("41 ff 80", [0x41, 0x41, 0x41]),
        ("e4 bd e4", [4, 0x13D, 0x13D]),
        ("f4 90 80", [4, 4, 4]),
        ("c0", [0]),
    ],
)
def test_validator_decode_leaves_the_code_point_alone_once_a_byte_is_wrong(
    codec: ModuleType, data: str, codepoints: list[int]
) -> None:
    validator, seen = codec.Utf8Validator(), []
    for byte in bytes.fromhex(data):
        validator.decode(byte)
        seen.append(validator.codepoint)
    assert validator.state == codec.Utf8Validator.UTF8_REJECT
    assert seen == codepoints


def test_validator_mixes_decode_and_validate(codec: ModuleType) -> None:
    validator = codec.Utf8Validator()
    assert validator.decode(0xE4) == 3
    assert validator.validate(b"\xbd") == (True, False, 1, 1)
    assert validator.decode(0xA0) == 0
    assert validator.validate("🌍".encode()) == (True, True, 4, 5)


@pytest.mark.parametrize("byte", [-1, 256, 1000, -(2**40), 2**64])
def test_validator_decode_byte_out_of_range_is_an_error(codec: ModuleType, byte: int) -> None:
    validator = codec.Utf8Validator()
    validator.decode(0xC2)
    with pytest.raises(ValueError, match=rf"^byte must be in 0\.\.255, got {byte}$"):
        validator.decode(byte)
    assert validator.decode(0x80) == 0


@pytest.mark.parametrize("size", [0, 1, 7, 150])
def test_validation_takes_every_bytes_like(
    codec: ModuleType, bytes_like: Callable[[bytes], Any], size: int
) -> None:
    data = filler("mixed", 200)[:size]
    assert codec.is_valid_utf8(bytes_like(data)) is verdict(data)[1]
    assert codec.Utf8Validator().validate(bytes_like(data)) == verdict(data)
    assert codec.is_valid_utf8(bytes_like(data + b"\xff")) is False


def test_validation_counts_bytes_of_wide_items(codec: ModuleType) -> None:
    wide = array("I", b"abcd\xff\0\0\0")
    assert codec.is_valid_utf8(wide) is False
    assert codec.Utf8Validator().validate(wide) == (False, False, 4, 4)
    assert codec.is_valid_utf8(array("f", b"abcdefgh")) is True


@pytest.mark.parametrize("value", ["text", None, 7, [65]])
def test_validation_refuses_what_is_not_bytes_like(codec: ModuleType, value: Any) -> None:
    with pytest.raises(TypeError):
        codec.is_valid_utf8(value)
    with pytest.raises(TypeError):
        codec.Utf8Validator().validate(value)


def test_bytearray_can_be_resized_after_validation(codec: ModuleType) -> None:
    for data in (bytearray(b"abc"), bytearray(b"ab\xff")):
        codec.is_valid_utf8(data)
        data.extend(b"more")
        codec.Utf8Validator().validate(data)
        data.extend(b"more")
        assert len(data) == 11
