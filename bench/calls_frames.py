"""How contestants are called for decoding and encoding frames, as calls.py has it for bytes."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .calls import UNCHECKED, load, ours, role
from .timing import Snippet
from .wire import BINARY, TEXT, binary_payloads, client_frame


@dataclass(frozen=True)
class DecodeInput:
    """What a server reads: masked, unfragmented frames with these payloads, cut into reads."""

    payloads: tuple[bytes, ...]
    read_size: int
    text: bool = False

    @cached_property
    def reads(self) -> tuple[bytes, ...]:
        opcode = TEXT if self.text else BINARY
        keys = random.Random(0)
        stream = b"".join(client_frame(opcode, payload, keys.randbytes(4)) for payload in self.payloads)
        return tuple(stream[at : at + self.read_size] for at in range(0, len(stream), self.read_size))

    def as_binary(self) -> DecodeInput:
        return replace(self, text=False)


@dataclass(frozen=True)
class EncodeInput:
    """A payload to send as binary messages, `frames` times, as client or server."""

    payload: bytes
    client: bool
    frames: int


# Decoding: a server's reads in, messages out -------------------------------


def decode_ours(half: str) -> Callable[[DecodeInput], Snippet]:
    def build(case: DecodeInput) -> Snippet:
        return _decode_ours(half, case.reads, "receive(data)")

    return build


def decode_ours_as_binary(decode: bool) -> Callable[[DecodeInput], Snippet]:
    """The compiled half on the same payloads in binary frames; `decode`: bytes.decode each then."""
    unit = "[message.decode() for message in receive(data)]" if decode else "receive(data)"

    def build(case: DecodeInput) -> Snippet:
        # A decoder of its own and frames of the same lengths, so only the opcode differs.
        snippet = _decode_ours("_codec_c", case.as_binary().reads, unit)
        return snippet if decode else replace(snippet, normalise=lambda batches: _as_str(_joined(batches)))

    return build


def _decode_ours(half: str, reads: tuple[bytes, ...], unit: str) -> Snippet:
    receive = ours(half).MessageDecoder(role(client=False)).receive
    return Snippet(f"[{unit} for data in reads]", {"receive": receive, "reads": reads}, normalise=_joined)


def _joined(batches: list[list[Any]]) -> list[Any]:
    return [message for batch in batches for message in batch]


def _as_str(messages: list[bytes]) -> list[str]:
    return [message.decode() for message in messages]


def _aiohttp_reader(module: str) -> tuple[Any, Any]:
    # A limit of the queue that is never met: a full queue would stall the reader.
    protocol = load("aiohttp", "aiohttp.base_protocol", "BaseProtocol")(None)
    queue = load("aiohttp", module, "WebSocketDataQueue")(protocol, 1 << 30, loop=None)
    reader = load("aiohttp", module, "WebSocketReader")(queue, 4 << 20, compress=False, decode_text=True)
    return queue, reader


def decode_aiohttp(module: str) -> Callable[[DecodeInput], Snippet]:
    """Messages are taken out of its queue by `await`, as its callers do; nothing is ever waited for."""

    async def take(queue: Any, messages: list[Any]) -> None:
        read, append = queue.read, messages.append
        for _ in range(len(queue._buffer)):
            append(await read())

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        with contextlib.suppress(StopIteration):
            coroutine.send(None)

    def build(case: DecodeInput) -> Snippet:
        queue, reader = _aiohttp_reader(module)
        names = {"feed": reader.feed_data, "run": run, "take": take, "queue": queue, "reads": case.reads}
        return Snippet(
            before="messages = []\nfor data in reads:\n    feed(data)\n    run(take(queue, messages))",
            expression="messages",
            names=names,
            normalise=lambda messages: [message.data for message in messages],
        )

    return build


def decode_aiohttp_queued(module: str) -> Callable[[DecodeInput], Snippet]:
    """Messages are left in the queue, which is thrown away with its reader after each pass."""

    def build(case: DecodeInput) -> Snippet:
        return Snippet(
            before="queue, reader = make()\nfeed = reader.feed_data\nfor data in reads:\n    feed(data)",
            expression="queue",
            names={"make": lambda: _aiohttp_reader(module), "reads": case.reads},
            normalise=lambda queue: [message.data for message, _ in queue._buffer],
        )

    return build


def decode_websockets(case: DecodeInput) -> Snippet:
    """Its sans-I/O protocol hands out frames; assembling and decoding them is not even counted."""
    protocol_module = load("websockets", "websockets.protocol")
    protocol = protocol_module.Protocol(
        protocol_module.Side.SERVER, state=protocol_module.State.OPEN, max_size=4 << 20
    )
    return Snippet(
        before="events = []\nfor data in reads:\n    receive(data)\n    events += take_events()",
        expression="events",
        names={
            "receive": protocol.receive_data,
            "take_events": protocol.events_received,
            "reads": case.reads,
        },
        normalise=lambda events: [bytes(frame.data) for frame in events],
    )


def decode_wsproto(case: DecodeInput) -> Snippet:
    """It hands out a message in parts as they arrive; joining them is not counted."""
    module = load("wsproto", "wsproto.connection")
    connection = module.Connection(module.ConnectionType.SERVER)
    return Snippet(
        before="events = []\nfor data in reads:\n    receive(data)\n    events += take_events()",
        expression="events",
        names={"receive": connection.receive_data, "take_events": connection.events, "reads": case.reads},
        normalise=lambda events: _assembled(events, "" if case.text else b""),
    )


def _assembled(events: list[Any], empty: Any) -> list[Any]:
    messages = []
    parts = []
    for event in events:
        parts.append(event.data)
        if event.message_finished:
            messages.append(empty.join(parts))
            parts = []
    return messages


def decode_copy(case: DecodeInput) -> Snippet:
    return _copies([bytearray(payload) for payload in case.payloads])


def decode_empty_call(case: DecodeInput) -> Snippet:
    return _empty_calls(case.payloads)


# Encoding: payloads in, frames for the socket out --------------------------


def encode_ours(half: str) -> Callable[[EncodeInput], Snippet]:
    """Into the output buffer, taken once after all frames of the input."""

    def build(case: EncodeInput) -> Snippet:
        encoder = ours(half).FrameEncoder(role(client=case.client))
        return Snippet(
            before=f"for _ in frames:\n    append({BINARY}, payload)",
            expression="take()",
            names={"append": encoder.append, "take": encoder.take, **_payload_names(case)},
            normalise=_frames_in,
        )

    return build


def encode_websockets(case: EncodeInput) -> Snippet:
    module = load("websockets", "websockets.frames")
    return Snippet(
        "[Frame(BINARY, payload).serialize(mask=client) for _ in frames]",
        {
            "Frame": module.Frame,
            "BINARY": module.Opcode.BINARY,
            "client": case.client,
            **_payload_names(case),
        },
        normalise=lambda parts: _frames_in(b"".join(parts)),
    )


def encode_wsproto(case: EncodeInput) -> Snippet:
    module = load("wsproto", "wsproto.connection")
    kind = module.ConnectionType.CLIENT if case.client else module.ConnectionType.SERVER
    message = load("wsproto", "wsproto.events", "BytesMessage")
    return Snippet(
        "[send(Message(payload)) for _ in frames]",
        {"send": module.Connection(kind).send, "Message": message, **_payload_names(case)},
        normalise=lambda parts: _frames_in(b"".join(parts)),
    )


class _Transport:
    """As much of an asyncio transport as aiohttp's writer asks for."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.write = self.parts.append

    def is_closing(self) -> bool:
        return False

    def take(self) -> list[bytes]:
        parts = self.parts[:]
        self.parts.clear()
        return parts


def encode_aiohttp(case: EncodeInput) -> Snippet:
    """Its synchronous inner half; the coroutine around it is not counted."""
    protocol = load("aiohttp", "aiohttp.base_protocol", "BaseProtocol")(None)
    transport = _Transport()
    writer = load("aiohttp", "aiohttp._websocket.writer", "WebSocketWriter")(
        protocol, transport, use_mask=case.client
    )
    return Snippet(
        before=f"for _ in frames:\n    write(payload, {BINARY}, 0)",
        expression="take()",
        names={"write": writer._write_websocket_frame, "take": transport.take, **_payload_names(case)},
        normalise=lambda parts: _frames_in(b"".join(parts)),
    )


def encode_copy(case: EncodeInput) -> Snippet:
    return _copies([bytearray(case.payload)] * case.frames)


def encode_empty_call(case: EncodeInput) -> Snippet:
    return _empty_calls((case.payload,) * case.frames)


def _payload_names(case: EncodeInput) -> dict[str, Any]:
    return {"payload": case.payload, "frames": (None,) * case.frames}


def _frames_in(data: bytes) -> tuple[list[bytes], bool]:
    """The payloads, and whether all keys are different (true of no keys at all)."""
    payloads, keys = binary_payloads(data)
    return payloads, len(set(keys)) == len(keys)


# Headers: no peer has a function for them ----------------------------------


def header_parse(half: str) -> Callable[[bytes], Snippet]:
    def build(header: bytes) -> Snippet:
        return Snippet(
            "parse(header)",
            {"parse": ours(half).parse_header, "header": header},
            normalise=_length_and_opcode,
        )

    return build


def _length_and_opcode(header: Any) -> tuple[int, int]:
    return header.payload_length, header.opcode


# The yardsticks, once a frame -----------------------------------------------


def _copies(sources: list[bytearray]) -> Snippet:
    names = {"copy": bytes, "sources": sources}
    return Snippet("[copy(source) for source in sources]", names, normalise=lambda _: UNCHECKED)


def _empty_calls(payloads: tuple[bytes, ...]) -> Snippet:
    names = {"empty": callable, "payloads": payloads}
    return Snippet("[empty(payload) for payload in payloads]", names, normalise=lambda _: UNCHECKED)
