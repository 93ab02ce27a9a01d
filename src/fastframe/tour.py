"""The tour: every part of the codec shown at work, and checked while it is shown.

It uses fastframe's public names alone, so it reads as an example too.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import TextIO

import fastframe
from fastframe import Close, Opcode, Ping, Pong, Role

__all__ = ["run", "run_speeds"]

SIZES = (125, 4 * 1024, 64 * 1024, 1024 * 1024)
"""Bytes in the payloads that are timed."""

ROUNDS = 7
SECONDS_A_ROUND = 0.01

# RFC 6455 section 5.7, "Examples": the frame, and the message or control event that it is.
RFC_EXAMPLES = [
    ("a masked text frame", "81 85 37 fa 21 3d 7f 9f 4d 51 58", "Hello"),
    ("a text message in two frames", "01 83 37 fa 21 3d 7f 9f 4d 80 82 37 fa 21 3d 5b 95", "Hello"),
    ("a masked ping", "89 85 37 fa 21 3d 7f 9f 4d 51 58", Ping(b"Hello")),
    ("a masked pong", "8a 85 37 fa 21 3d 7f 9f 4d 51 58", Pong(b"Hello")),
]

# What a hostile client may send, and the close code that it must get.
HOSTILE_FRAMES = [
    ("an unmasked frame", "82 01 00", 1002),
    ("a length of 2**63", "82 ff 80 00 00 00 00 00 00 00", 1002),
    ("a length in more bytes than needed", "82 fe 00 05", 1002),
    ("opcode 3, which is reserved", "83 80", 1002),
    ("a ping in fragments", "09 80", 1002),
    ("a gibibyte announced", "82 ff 00 00 00 00 40 00 00 00 00 00 00 00", 1009),
    ("a surrogate half as text", "81 83 00 00 00 00 ed a0 80", 1007),
]


class Report:
    """Prints the tour's lines and counts its checks."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.passed = 0
        self.failed = 0
        # https://no-color.org: colour only for a person at a terminal who does not mind it.
        self.colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str = "") -> None:
        print(text, file=self.out)

    def heading(self, text: str) -> None:
        self.line()
        self.line(f"\x1b[1m{text}\x1b[0m" if self.colour else text)

    def check(self, what: str, expected: object, got: object, detail: str = "") -> None:
        """Print "ok" and count a success if `got` equals `expected` and has its type; else show both."""
        if type(got) is type(expected) and got == expected:
            self.passed += 1
            self.line(f"  {self._verdict('ok', 32)}      {what:40} {detail}".rstrip())
        else:
            self.failed += 1
            self.line(f"  {self._verdict('FAILED', 31)}  {what}")
            self.line(f"            expected {_shortened(expected)}")
            self.line(f"            got      {_shortened(got)}")

    def _verdict(self, word: str, colour: int) -> str:
        return f"\x1b[{colour}m{word}\x1b[0m" if self.colour else word


def run(seed: int | None = None, out: TextIO | None = None) -> int:
    """Run the whole tour; it takes about a second.

    Args:
        seed: of the random part; None for a new one, which is printed.
        out: where to print, standard output by default.

    Returns:
        0 if every check passed, else 1.
    """
    report = Report(out or sys.stdout)
    introduce(report)
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    show_masking(report)
    show_frames(report)
    show_cuts(report, seed)
    show_utf8(report)
    show_hostile_frames(report)
    show_speeds(report)
    report.line()
    report.line(f"{report.passed} checks passed, {report.failed} failed")
    return 1 if report.failed else 0


def run_speeds(out: TextIO | None = None) -> int:
    """Show the speeds alone; it takes a few seconds at most.

    Args:
        out: where to print, standard output by default.

    Returns:
        0.
    """
    report = Report(out or sys.stdout)
    introduce(report)
    show_speeds(report)
    report.line()
    report.line(
        "Beside other libraries, and servers and clients as a whole: make bench and make bench-servers"
    )
    report.line("in the repository; what they have measured is in docs/benchmarks.")
    return 0


def introduce(report: Report) -> None:
    info = fastframe.build_info()
    report.line(
        f"fastframe {info['version']}: the {info['backend']} codec with the {info['kernel']} kernel,"
        f" on {info['python']}, {info['machine']}"
    )
    if info["backend"] == "pure":
        report.line(
            "There is a faster, compiled codec: it was not built here, or FASTFRAME_EXTENSION=0 is set."
        )


def show_masking(report: Report) -> None:
    report.heading("Masking (RFC 6455 section 5.3)")
    key = bytes.fromhex("37 fa 21 3d")
    masked = fastframe.apply_mask(b"Hello", key)
    report.check('"Hello" masked with 37 fa 21 3d', bytes.fromhex("7f 9f 4d 51 58"), masked, masked.hex(" "))
    report.check("masked again: the text is back", b"Hello", fastframe.apply_mask(masked, key))
    buffer = bytearray(masked)
    fastframe.apply_mask_inplace(buffer, key)
    report.check("the same in place", bytearray(b"Hello"), buffer)
    masker = fastframe.Masker(key)
    report.check("the same in two chunks", masked, masker.process(b"Hel") + masker.process(b"lo"))


def show_frames(report: Report) -> None:
    report.heading("Frames (the examples of RFC 6455 section 5.7)")
    for what, wire, expected in RFC_EXAMPLES:
        decoder = fastframe.MessageDecoder(Role.SERVER)
        report.check(f"{what} decoded", [expected], decoder.receive(bytes.fromhex(wire)), f"{expected!r}")
    encoded = fastframe.encode_frame(Opcode.TEXT, "Hello", masking_key=bytes.fromhex("37 fa 21 3d"))
    report.check("a masked text frame encoded", bytes.fromhex(RFC_EXAMPLES[0][1]), encoded, encoded.hex(" "))
    header = fastframe.encode_header(Opcode.BINARY, 65536)
    report.check(
        "the header of 64 KiB", bytes.fromhex("82 7f 00 00 00 00 00 01 00 00"), header, header.hex(" ")
    )


def show_cuts(report: Report, seed: int) -> None:
    report.heading(f"A stream, cut at random places and decoded again (--seed {seed})")
    generator = random.Random(seed)
    encoder = fastframe.FrameEncoder(Role.CLIENT)
    sent: list[object] = []
    for _ in range(200):
        sent.extend(append_message(encoder, generator))
    close = Close(1000, "that was all")
    encoder.append(Opcode.CLOSE, close.serialize())
    sent.append(close)
    stream = encoder.take()

    chunks = list(cut(stream, generator))
    decoder = fastframe.MessageDecoder(Role.SERVER)
    received = [item for chunk in chunks for item in decoder.receive(chunk)]
    report.check(f"{len(sent)} messages and control frames", sent, received, f"{len(stream):,} bytes")
    report.check(f"in {len(chunks)} chunks, nothing left over", 0, decoder.retained)
    at_once = fastframe.MessageDecoder(Role.SERVER).receive(stream)
    report.check("the same stream in one piece", sent, at_once)
    byte_by_byte = fastframe.MessageDecoder(Role.SERVER)
    singly = [item for byte in stream[:20_000] for item in byte_by_byte.receive(bytes([byte]))]
    report.check("and its beginning byte by byte", sent[: len(singly)], singly)


def append_message(encoder: fastframe.FrameEncoder, generator: random.Random) -> list[object]:
    """Append a random message, perhaps in fragments with pings between them; return what is to be decoded."""
    text = generator.random() < 0.5
    size = generator.choice((0, 1, 20, 125, 126, 700, 3000))
    payload = "".join(generator.choices("az09 é中😀", k=size)).encode() if text else generator.randbytes(size)
    message: object = payload.decode() if text else payload
    if generator.random() < 0.6:
        encoder.append(Opcode.TEXT if text else Opcode.BINARY, payload)
        return [message]
    ping = Ping(generator.randbytes(generator.randrange(126)))
    middle = generator.randint(0, len(payload))
    encoder.append(Opcode.TEXT if text else Opcode.BINARY, payload[:middle], fin=False)
    encoder.append(Opcode.PING, ping.payload)
    encoder.append(Opcode.CONTINUATION, payload[middle:])
    return [ping, message]


def cut(stream: bytes, generator: random.Random) -> Iterator[bytes]:
    start = 0
    while start < len(stream):
        end = start + generator.choice((1, 2, 3, 100, 1500))
        yield stream[start:end]
        start = end


def show_utf8(report: Report) -> None:
    report.heading("UTF-8 (RFC 6455 section 8.1)")
    text = "Grüße, 世界 😀".encode()
    report.check("good text", True, fastframe.is_valid_utf8(text))
    report.check("an overlong slash", False, fastframe.is_valid_utf8(b"\xc0\xaf"))
    validator = fastframe.Utf8Validator()
    report.check("cut inside a character: good so far", (True, False, 3, 3), validator.validate(b"ab\xe4"))
    report.check("a wrong byte next: found at index 4", (False, False, 1, 4), validator.validate(b"\xb8\x2f"))


def show_hostile_frames(report: Report) -> None:
    report.heading("Hostile frames, each refused at the first byte that proves it")
    for what, wire, close_code in HOSTILE_FRAMES:
        refused: int | None = None
        detail = "accepted"
        try:
            fastframe.MessageDecoder(Role.SERVER).receive(bytes.fromhex(wire))
        except fastframe.ProtocolError as error:
            refused = error.close_code
            detail = f"{error.close_code} {type(error).__name__}: {error}"
        report.check(what, close_code, refused, detail)


def show_speeds(report: Report) -> None:
    report.heading("Speeds: microseconds a call, and how many times a plain copy of the same bytes")
    columns = ("copy", "mask", "validate UTF-8", "decode a frame", "encode a frame")
    report.line("  " + f"{'bytes':>9}" + "".join(f"{name:>19}" for name in columns))
    for size in SIZES:
        copy, *others = measure(size)
        cells = [f"{copy * 1e6:>19.2f}"]
        cells += [f"{seconds * 1e6:>11.2f} {seconds / copy:>6.2f}x" for seconds in others]
        report.line(f"  {size:>9,}" + "".join(cells))


def measure(size: int) -> list[float]:
    """Return the seconds that one call takes, in the order of the table's columns."""
    payload = bytearray(
        b"All the world's a stage, and all the men and women merely players. " * (size // 60 + 1)
    )
    del payload[size:]
    key = b"\x37\xfa\x21\x3d"
    frame = fastframe.encode_frame(Opcode.BINARY, payload, masking_key=key)
    decoder = fastframe.MessageDecoder(Role.SERVER, max_message_size=size)
    encoder = fastframe.FrameEncoder(Role.SERVER)

    def encode() -> bytes:
        encoder.append(Opcode.BINARY, payload)
        return encoder.take()

    calls: list[Callable[[], object]] = [
        lambda: bytes(payload),
        lambda: fastframe.apply_mask(payload, key),
        lambda: fastframe.is_valid_utf8(payload),
        lambda: decoder.receive(frame),
        encode,
    ]
    counts = [calls_in_a_round(call) for call in calls]
    # Interleaved, so that a moment in which the machine is busy falls on all alike.
    rounds = [[timed(call, count) for call, count in zip(calls, counts, strict=True)] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def calls_in_a_round(call: Callable[[], object]) -> int:
    return max(1, int(SECONDS_A_ROUND / max(timed(call, 3), 1e-7)))


def timed(call: Callable[[], object], count: int) -> float:
    """Return the seconds that one of `count` calls takes."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
