"""Long rows of code points that are cut short, each by the next, judged in every way that text is.

``python -m checkers.lead_rows MODULE`` in tests/, with FASTFRAME_EXTENSION as the module wants it: what never
returns holds the GIL, so only its process can be ended. FASTFRAME_KERNEL chooses the kernel. Prints its name.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Iterator
from types import ModuleType

from reference import scan, verdict
from wire import Outcome, data_frame, feed

from fastframe import Connection, PerMessageDeflate, Role
from fastframe.http_headers import parse_extensions

UNITS = [b"\xc0", b"\xc3", b"\xe1", b"\xf1", b"\xff", b"\xe1\x80", b"\xf1\x80", b"\xf1\x80\x80"]
ENDS = [b"", b"a", b"\x80", b"\xa9\xa9\xa9", b"abc\xc3"]
# Around what the kernels look at in one go, and its multiples.
SIZES = [16383, 16384, 16385, 32767, 32768, 32769, 40_000]


def rows() -> Iterator[bytes]:
    for unit in UNITS:
        for size in SIZES:
            row = (unit * size)[:size]
            for end in ENDS:
                yield row + end
                yield b"ab" + row + end


def judge(codec: ModuleType, text: bytes) -> None:
    bad, _ = scan(text)
    assert bad is not None
    assert codec.is_valid_utf8(text) is False
    assert codec.Utf8Validator().validate(text) == verdict(text)
    for cut in (1, 2, 5, 16384, len(text) - 1):
        validator = codec.Utf8Validator()
        first = validator.validate(text[:cut])
        assert first == verdict(text[:cut])
        if first[0]:
            assert validator.validate(text[cut:]) == (False, False, bad - cut, bad)


def receive(codec: ModuleType, text: bytes) -> None:
    """As a message: whole, in place, in fragments, and out of `inflate`."""
    bad, _ = scan(text)
    assert bad is not None
    said = f"text message is not UTF-8: byte 0x{text[bad]:02X} at index {bad}"
    for role in Role:
        whole = data_frame(role, 1, text)
        fragments = data_frame(role, 1, text[:20_000], fin=False) + data_frame(role, 0, text[20_000:])
        compressed = data_frame(role, 1, b"zipped", rsv=4)
        for wire, in_place in ((whole, False), (whole, True), (fragments, False), (compressed, False)):
            decoder = codec.MessageDecoder(role, inflate=lambda *_: text)
            check(feed(decoder, [wire[:14], wire[14:]], in_place), said)
            if not in_place:
                check(feed(codec.MessageDecoder(role, inflate=lambda *_: text), [wire]), said)


def check(outcome: Outcome, said: str) -> None:
    assert outcome.items == []
    assert outcome.error is not None
    assert (outcome.error.close_code, outcome.error.message) == (1007, said)


def converse(text: bytes) -> None:
    """Deflated, through the connection of the half that the environment asks for."""
    accepted = PerMessageDeflate().accept(parse_extensions("permessage-deflate"))
    assert accepted is not None
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    payload = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    connection = Connection(Role.SERVER, deflate=accepted[1])
    assert connection.receive(data_frame(Role.SERVER, 1, payload, rsv=4)) == []
    assert connection.failure is not None
    assert connection.failure.close_code == 1007


def main() -> None:
    codec = importlib.import_module(sys.argv[1])
    for text in rows():
        judge(codec, text)
    for unit in UNITS:
        for end in ENDS:
            receive(codec, unit * 20_000 + end)
        converse(unit * 20_000 + b"a")
    print(codec.KERNEL)


if __name__ == "__main__":
    main()
