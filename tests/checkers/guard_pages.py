"""The compiled functions on bytes that end, or begin, where no page may be touched.

``python tests/checkers/guard_pages.py [--planted]``: a single byte read or written outside kills the
process. Every length from 0 to 300, right before one such page and right after another, so at every
alignment; and lengths around those at which the kernels change. FASTFRAME_KERNEL chooses the kernel. Prints
the number of calls.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator

from fastframe import Role, _codec_c
from fastframe.errors import ProtocolError

PAGE = mmap.PAGESIZE
ROOM = 4 * PAGE
LENGTHS = [*range(301), *range(1000, 1100, 7), PAGE - 1, PAGE, PAGE + 1, ROOM - 1, ROOM]
TEXTS = [b"plain ASCII ", "Zoë naïve ".encode(), "日本語".encode(), "𝄞🎉".encode(), "aé日𝄞".encode()]
KEY = b"\x37\xfa\x21\x3d"


def between_guards() -> memoryview:
    """ROOM writable bytes between two pages that may not be touched."""
    memory = mmap.mmap(-1, ROOM + 2 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for guard in (start, start + PAGE + ROOM):
        if protect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    return memoryview(memory)[PAGE : PAGE + ROOM]


def placed(memory: memoryview, data: bytes) -> Iterator[memoryview]:
    """`data` right after the first guard, and right before the second."""
    for view in (memory[: len(data)], memory[ROOM - len(data) :]):
        view[:] = data
        yield view


def xor(data: bytes) -> bytes:
    key = int.from_bytes((KEY * (len(data) // 4 + 1))[: len(data)], "little")
    return (int.from_bytes(data, "little") ^ key).to_bytes(len(data), "little")


def masking(memory: memoryview) -> int:
    calls = 0
    for length in LENGTHS:
        data = bytes(i * 7 & 0xFF for i in range(length))
        for view in placed(memory, data):
            assert _codec_c.apply_mask(view, KEY) == xor(data)
            assert _codec_c.Masker(KEY).process(view) == xor(data)
            for offset in range(4):
                view[:] = data
                _codec_c.apply_mask_inplace(view, KEY[-offset:] + KEY[:-offset], offset)
                assert view == xor(data)
            calls += 6
    return calls


def utf8(memory: memoryview) -> int:
    calls = 0
    for length in LENGTHS:
        for text in TEXTS:
            whole = (text * (length // len(text) + 1))[:length]
            for data in (whole, whole[:-1] + b"\xff" if whole else b""):
                for view in placed(memory, data):
                    try:
                        data.decode()
                        valid = True
                    except UnicodeDecodeError:
                        valid = False
                    assert _codec_c.is_valid_utf8(view) is valid
                    _codec_c.Utf8Validator().validate(view)
                    calls += 2
    return calls


def header_of(opcode: int, length: int, role: Role) -> bytes:
    return _codec_c.encode_header(opcode, length, masking_key=KEY if role is Role.SERVER else None)


def decoding(memory: memoryview) -> int:
    """Whole frames and frames that are cut anywhere, text and binary, by all entries."""
    calls = 0
    for length in LENGTHS:
        for role in Role:
            for opcode, text in ((2, b"\xff"), *((1, text) for text in TEXTS)):
                payload = (text * (length // len(text) + 1))[:length]
                payload = payload.decode(errors="ignore").encode() if opcode == 1 else payload
                sent = payload if role is Role.CLIENT else xor(payload)
                frame = (header_of(opcode, len(payload), role) + sent)[:ROOM]
                for data in (frame, frame[:-1], frame[: len(frame) // 2]):
                    for view in placed(memory, data):
                        items = _codec_c.MessageDecoder(role).receive(view)
                        frames = _codec_c.FrameDecoder(role).receive(view)
                        assert len(items) == len(frames)
                        calls += 2
    return calls


def headers(memory: memoryview) -> int:
    calls = 0
    for role in Role:
        for length in (0, 125, 126, 65535, 65536, 2**40):
            whole = header_of(2, length, role)
            for size in range(len(whole) + 1):
                for view in placed(memory, whole[:size]):
                    assert (_codec_c.parse_header(view) is None) is (size < len(whole))
                    for offset in range(size + 1):
                        with contextlib.suppress(ProtocolError):
                            _codec_c.parse_header(view, offset)
                        calls += 1
    return calls


def encoding(memory: memoryview) -> int:
    calls = 0
    for length in LENGTHS:
        data = bytes(i * 7 & 0xFF for i in range(length))
        for view in placed(memory, data):
            for role in Role:
                encoder = _codec_c.FrameEncoder(role)
                encoder.append(2, view)
                encoder.append_message(view)
                if role is Role.SERVER:
                    encoder.append_encoded(view)
                assert len(encoder.take()) >= 2 * length
                calls += 3
            assert _codec_c.encode_frame(2, view, masking_key=KEY).endswith(xor(data))
            calls += 1
    return calls


def planted(memory: memoryview) -> None:
    """A byte too far, which must not be survived."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ctypes.string_at(address + ROOM - 10, 11)


def main() -> int:
    memory = between_guards()
    if "--planted" in sys.argv:
        planted(memory)
        print("the read behind the end was survived")
        return 0
    calls = sum(check(memory) for check in (masking, utf8, headers, decoding, encoding))
    print(f"guard pages: {calls} calls, kernel {_codec_c.KERNEL}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
