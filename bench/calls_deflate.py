"""How contestants are called for permessage-deflate, as calls.py has it for bytes."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .calls import Unavailable, load
from .timing import Snippet

COMPRESS, INFLATE, ROUND_TRIP = "compress", "inflate", "round trip"

TAIL = b"\x00\x00\xff\xff"
LEVEL, WINDOW_BITS, MEMORY_LEVEL = 6, 12, 5
"""What fastframe and websockets both ask of zlib unless told otherwise."""


@dataclass(frozen=True)
class DeflateInput:
    """The messages of one connection that keeps context, and what is done with them."""

    messages: tuple[bytes, ...]
    task: str

    @property
    def payloads(self) -> list[bytes]:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
        return [
            (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
            for message in self.messages
        ]


def _messages_in(payloads: Sequence[bytes]) -> list[bytes]:
    decompressor = zlib.decompressobj(-15)
    return [decompressor.decompress(payload + TAIL) for payload in payloads]


def ours(backend: str | None) -> Callable[[DeflateInput], Snippet]:
    """Both ends of a connection; `backend` compresses, or what fastframe chooses if None."""

    def build(case: DeflateInput) -> Snippet:
        compressors = importlib.import_module("fastframe._compressors")
        try:
            new_compressor = compressors.BACKENDS[backend or compressors.DEFLATE_BACKEND]()
        except ImportError as error:
            raise Unavailable("not installed") from error
        client, server = _our_ends()
        server._compressor = new_compressor(*server.sharing_key)
        units = {
            COMPRESS: "[compress(message) for message in messages]",
            INFLATE: "[inflate(payload, 1048576) for payload in payloads]",
            ROUND_TRIP: "[inflate(compress(message), 1048576) for message in messages]",
        }
        return Snippet(
            units[case.task],
            {
                "compress": server.compress,
                "inflate": client.inflate,
                "messages": case.messages,
                "payloads": case.payloads,
            },
            normalise=_messages_in if case.task == COMPRESS else list,
        )

    return build


def _our_ends() -> tuple[Any, Any]:
    wishes = importlib.import_module("fastframe.deflate").PerMessageDeflate()
    parse = importlib.import_module("fastframe.http_headers").parse_extensions
    answer, server = wishes.accept(parse(wishes.offer()))
    return wishes.confirm(parse(answer)[0]), server


def websockets(case: DeflateInput) -> Snippet:
    """It works on frames: those that go in are made beforehand."""
    module = load("websockets", "websockets.extensions.permessage_deflate")
    frame = load("websockets", "websockets.frames", "Frame")
    opcode = load("websockets", "websockets.frames", "Opcode").TEXT
    ends = [
        module.PerMessageDeflate(False, False, WINDOW_BITS, WINDOW_BITS, {"memLevel": MEMORY_LEVEL})
        for _ in range(2)
    ]
    units = {
        COMPRESS: "[encode(frame) for frame in plain]",
        INFLATE: "[decode(frame, max_size=1048576) for frame in compressed]",
        ROUND_TRIP: "[decode(encode(frame), max_size=1048576) for frame in plain]",
    }

    def data(frames: Sequence[Any]) -> list[bytes]:
        return [bytes(each.data) for each in frames]

    return Snippet(
        units[case.task],
        {
            "encode": ends[0].encode,
            "decode": ends[1].decode,
            "plain": [frame(opcode, message) for message in case.messages],
            "compressed": [frame(opcode, payload, rsv1=True) for payload in case.payloads],
        },
        normalise=(lambda frames: _messages_in(data(frames))) if case.task == COMPRESS else data,
    )


def bare_zlib(window_bits: int, memory_level: int) -> Callable[[DeflateInput], Snippet]:
    """The calls of zlib and nothing around them."""

    def build(case: DeflateInput) -> Snippet:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits, memory_level)
        units = {
            COMPRESS: "[compress(message) + flush(2) for message in messages]",
            INFLATE: "[inflate(payload, 1048576) for payload in payloads]",
            ROUND_TRIP: "[inflate(compress(message) + flush(2), 1048576) for message in messages]",
        }

        def stripped(payloads: Sequence[bytes]) -> list[bytes]:
            return _messages_in([payload.removesuffix(TAIL) for payload in payloads])

        return Snippet(
            units[case.task],
            {
                "compress": compressor.compress,
                "flush": compressor.flush,
                "inflate": zlib.decompressobj(-window_bits).decompress,
                "messages": case.messages,
                "payloads": [payload + TAIL for payload in case.payloads],
            },
            normalise=stripped if case.task == COMPRESS else list,
        )

    return build
