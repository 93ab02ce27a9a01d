"""Draws the diagrams of docs/protocol.md, from bytes that the codec has made and read again.

``python -m tools.protocol_diagram`` rewrites them; tests/test_protocol_page.py
fails if they are not what stands there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from fastframe import Close, Connection, MessageDecoder, Opcode, Role, encode_frame, parse_header
from fastframe.deflate import PerMessageDeflate
from fastframe.handshake import ServerHandshake
from fastframe.http_headers import parse_extensions

IMAGES = Path(__file__).parents[1] / "docs" / "images"

# The examples of RFC 6455 sections 1.3 and 5.7, and of RFC 7692 section 7.2.3.1.
KEY = bytes.fromhex("37fa213d")
REQUEST = (
    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
COMPRESSED = bytes.fromhex("c1 07 f2 48 cd c9 c9 07 00")

_STYLE = """
<style>
  text { font: 14px sans-serif; fill: #1f2328 }
  .bytes { font: 13px monospace } .small { font-size: 12px; fill: #57606a }
  .name { font-weight: bold; font-size: 13px }
  .paper { fill: #ffffff } .line { stroke: #57606a; fill: none }
  .header { fill: #cfe4ff; stroke: #57606a } .key { fill: #ffe2b8; stroke: #57606a }
  .payload { fill: #d5f0d8; stroke: #57606a } .tip { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9da7b1 } .paper { fill: #0d1117 }
    .line { stroke: #9da7b1 } .tip { fill: #9da7b1 }
    .header { fill: #14365f; stroke: #9da7b1 } .key { fill: #5a3a0c; stroke: #9da7b1 }
    .payload { fill: #17432a; stroke: #9da7b1 }
  }
</style>"""


def spaced(data: bytes) -> str:
    return data.hex(" ")


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{named}>{escape(words)}</text>'


def _box(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" class="{kind}"/>'


def _picture(width: int, height: int, title: str, parts: Iterator[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">'
    body = "\n".join(parts)
    paper = _box(0, 0, width, height, "paper")
    return f"{head}\n<title>{escape(title)}</title>{_STYLE}\n{paper}\n{body}\n</svg>\n"


# One frame, bit by bit.

_BIT, _BYTE, _LEFT = 50, 84, 30


def _header_bits(frame: bytes) -> Iterator[str]:
    """The first two bytes: a cell for each bit, and below what the bits of a field say."""
    header = parse_header(frame)
    assert header is not None
    fields = [
        ("fin", 1, int(header.fin)),
        ("rsv1", 1, int(header.rsv1)),
        ("rsv2", 1, int(header.rsv2)),
        ("rsv3", 1, int(header.rsv3)),
        ("opcode", 4, f"{header.opcode:d} = {header.opcode.name.lower()}"),
        ("mask", 1, int(header.masked)),
        ("payload length", 7, f"{header.payload_length} bytes"),
    ]
    assert sum(size for _, size, _ in fields) == 16
    bits = f"{int.from_bytes(frame[:2], 'big'):016b}"
    for number in (0, 1):
        left = _LEFT + 8 * _BIT * number
        yield _text(left + 4 * _BIT, 58, f"byte {number}: {frame[number]:02x}", "name")
    for place, bit in enumerate(bits):
        yield _box(_LEFT + _BIT * place, 68, _BIT, 36, "header")
        yield _text(_LEFT + _BIT * (place + 0.5), 92, bit, "bytes")
    place = 0
    for name, size, meaning in fields:
        left, right = _LEFT + _BIT * place + 3, _LEFT + _BIT * (place + size) - 3
        yield f'<path d="M{left} 110 v6 H{right} v-6" class="line"/>'
        yield _text((left + right) / 2, 134, name, "name" if size > 1 else "small")
        yield _text((left + right) / 2, 152, str(meaning), "small")
        place += size


def _other_bytes(frame: bytes) -> Iterator[str]:
    """Masking key and payload, and the payload as it was before."""
    header = parse_header(frame)
    assert header is not None and header.masking_key is not None
    (message,) = MessageDecoder(Role.SERVER).receive(frame)
    assert isinstance(message, str)
    payload = frame[header.header_length :]
    rest = [(byte, "key") for byte in header.masking_key] + [(byte, "payload") for byte in payload]
    for place, (byte, kind) in enumerate(rest):
        yield _box(_LEFT + _BYTE * place, 196, _BYTE, 36, kind)
        yield _text(_LEFT + _BYTE * (place + 0.5), 219, f"{byte:02x}", "bytes")
    yield _text(_LEFT + 2 * _BYTE, 186, "masking key, bytes 2 to 5", "name")
    yield _text(_LEFT + (4 + len(payload) / 2) * _BYTE, 186, "payload, masked, bytes 6 to 10", "name")
    for place, (byte, was) in enumerate(zip(payload, message.encode(), strict=True)):
        key = header.masking_key[place % 4]
        assert byte ^ key == was
        middle = _LEFT + _BYTE * (4 + place + 0.5)
        yield _text(middle, 252, f"xor {key:02x}", "small")
        yield _text(middle, 272, f"= {was:02x} {chr(was)}", "bytes")
    yield _text(_LEFT, 262, "payload byte i, key byte i mod 4:", "small", "start")


def frame_picture() -> str:
    frame = encode_frame(Opcode.TEXT, "Hello", masking_key=KEY)

    def parts() -> Iterator[str]:
        yield _text(_LEFT, 30, f"A text message of a client, in one frame:  {spaced(frame)}", "name", "start")
        yield from _header_bits(frame)
        yield from _other_bytes(frame)

    return _picture(860, 290, "The header of a frame, bit by bit", parts())


# A conversation.


@dataclass(frozen=True)
class Step:
    from_client: bool
    data: bytes
    says: str
    """What the receiver makes of it."""

    @property
    def label(self) -> str:
        if self.data[:4] in (b"GET ", b"HTTP"):
            return self.data.partition(b"\r\n")[0].decode()
        return spaced(self.data)


def conversation() -> list[Step]:
    """What passes between the two, each step read by the codec of its receiver."""
    handshake = ServerHandshake(deflate=PerMessageDeflate(), server_header=None)
    request = handshake.receive(REQUEST.encode())
    assert request is not None
    answer = handshake.accept(request)
    client_deflate = PerMessageDeflate().confirm(parse_extensions(_agreed(answer))[0])
    server = Connection(Role.SERVER, deflate=handshake.deflate)
    client = Connection(Role.CLIENT, deflate=client_deflate)
    steps = [Step(True, REQUEST.encode(), "the request"), Step(False, answer, "the answer")]
    for is_client, frame, expected, says in _frames():
        receiver = server if is_client else client
        assert repr(receiver.receive(frame)) == expected, receiver
        steps.append(Step(is_client, frame, says))
    return steps


def _agreed(answer: bytes) -> str:
    (line,) = (line for line in answer.decode().split("\r\n") if line.startswith("Sec-WebSocket-Extensions"))
    return line.partition(": ")[2]


def _frames() -> Sequence[tuple[bool, bytes, str, str]]:
    """Sender, frame, what the receiver's codec hands out, words for it."""
    goodbye = Close(1000, "bye").serialize()
    return [
        (True, encode_frame(Opcode.TEXT, "Hello", masking_key=KEY), "['Hello']", "text, masked: 'Hello'"),
        (False, encode_frame(Opcode.TEXT, "Hello"), "['Hello']", "text, a server does not mask"),
        (False, encode_frame(Opcode.TEXT, "Hel", fin=False), "[]", "text, fin 0: more follows"),
        (False, encode_frame(Opcode.PING, b"?"), "[Ping(payload=b'?')]", "ping, between two fragments"),
        (
            True,
            encode_frame(Opcode.PONG, b"?", masking_key=KEY),
            "[Pong(payload=b'?')]",
            "pong, same payload",
        ),
        (False, encode_frame(Opcode.CONTINUATION, "lo"), "['Hello']", "continuation, fin 1: 'Hello'"),
        (False, COMPRESSED, "['Hello']", "text, rsv1: compressed 'Hello'"),
        (
            True,
            encode_frame(Opcode.CLOSE, goodbye, masking_key=KEY),
            "[Close(close_code=1000, close_reason='bye')]",
            "close: 1000 'bye'",
        ),
        (
            False,
            encode_frame(Opcode.CLOSE, goodbye[:2]),
            "[Close(close_code=1000, close_reason='')]",
            "close: 1000, then TCP ends",
        ),
    ]


def conversation_picture() -> str:
    steps = conversation()
    left, right, height = 110, 750, 80 + 46 * len(steps)

    def parts() -> Iterator[str]:
        for x, name in ((left, "client"), (right, "server")):
            yield _text(x, 30, name, "name")
            yield f'<path d="M{x} 42 V{height - 20}" class="line"/>'
        for number, step in enumerate(steps):
            y = 84 + 46 * number
            end, back = (right, -9) if step.from_client else (left, 9)
            yield f'<path d="M{left} {y} H{right}" class="line"/>'
            yield f'<path d="M{end} {y} l{back} -5 v10 z" class="tip"/>'
            yield _text((left + right) / 2 - 10, y - 7, step.label, "bytes", "end")
            yield _text((left + right) / 2 + 10, y - 7, step.says, "small", "start")

    return _picture(860, height, "A conversation, from the handshake to the close", parts())


def pictures() -> dict[str, str]:
    """The files, by their names."""
    return {
        "protocol-frame.svg": frame_picture(),
        "protocol-conversation.svg": conversation_picture(),
    }


if __name__ == "__main__":
    for name, picture in pictures().items():
        (IMAGES / name).write_text(picture, encoding="utf-8")
