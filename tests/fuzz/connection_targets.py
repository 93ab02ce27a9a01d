"""The conversation: a connection fed with anything, two that talk to each other, and what they inflate."""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

from fuzz import streams
from fuzz.choices import SIZES, Choices
from fuzz.codec_targets import PURE, tried
from raw_peer import RawFrame, split_frames

import fastframe.codec
from fastframe import Close, Connection, Ping, Pong, Role, State
from fastframe.deflate import DeflateCodec, PerMessageDeflate
from fastframe.errors import ConnectionClosed, MessageTooBig
from fastframe.http_headers import parse_extensions

TAIL = b"\x00\x00\xff\xff"
LIMIT = 1 << 16


def _of_sources() -> ModuleType:
    """connection.py as Python, over the pure half: the twin of the compiled module."""
    source = Path(fastframe.codec.__file__).with_name("connection.py")
    spec = importlib.util.spec_from_file_location("fastframe._connection_of_sources", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("FrameEncoder", "MessageDecoder", "encode_header"):
        setattr(module, name, getattr(PURE, name))
    # Both speak of the same states.
    for name in ("State", "OPEN", "CLOSING", "CLOSED"):
        setattr(module, name, getattr(importlib.import_module("fastframe.connection"), name))
    return module


SOURCES = _of_sources()


def deflate_pair(choices: Choices) -> tuple[DeflateCodec, DeflateCodec]:
    """A client's and a server's codec."""
    wishes = PerMessageDeflate(
        server_no_context_takeover=choices.flag(),
        client_no_context_takeover=choices.flag(),
        server_max_window_bits=choices.pick([None, 9, 15]),
        threshold=choices.pick([0, 64]),
        max_ratio=choices.pick([None, 20]),
    )
    accepted = wishes.accept(parse_extensions(wishes.offer()))
    assert accepted is not None
    [element] = parse_extensions(accepted[0])
    return wishes.confirm(element), accepted[1]


def _said(connection: Any) -> list[RawFrame]:
    """What it hands out.

    Whole frames, masked by a client alone, none behind a close frame, controls whole.
    """
    frames = split_frames(connection.take())
    for place, frame in enumerate(frames):
        assert frame.masked is (connection.role is Role.CLIENT)
        assert frame.opcode in (0, 1, 2, 8, 9, 10)
        assert frame.opcode < 8 or (frame.fin and len(frame.payload) <= 125)
        assert frame.opcode != 8 or place == len(frames) - 1
    return frames


def _told(connection: Any) -> tuple[object, ...]:
    failure = connection.failure
    return (
        connection.state,
        connection.close_received,
        connection.close_sent,
        connection.received_first,
        connection.ending,
        connection.over,
        connection.finished,
        connection.control_frames,
        failure and (type(failure), str(failure), failure.close_code),
        connection.append_message is None,
    )


def _step(connection: Any, kind: int, argument: Any) -> object:
    """One call of the application's or of the transport's."""
    if kind < 0x80:
        return connection.receive(argument)
    calls = {
        8: lambda: connection.send(argument),
        9: lambda: connection.ping(argument),
        10: lambda: connection.pong(argument),
        11: lambda: connection.close(*argument),
        12: connection.conclude,
        13: lambda: setattr(connection, "congested", argument),
        14: connection.take_chunk,
        15: lambda: connection.end() if argument else None,
    }
    return calls[kind >> 4]()


def _argument(choices: Choices, kind: int, receiver: Role) -> Any:
    if kind < 0x20:
        return choices.take(kind)
    if kind < 0x80:
        return streams.wild(Choices(choices.take(kind)), receiver)[:5000]
    if kind >> 4 == 8:
        return choices.text() if choices.flag() else choices.payload()
    if kind >> 4 in (9, 10):
        return choices.payload()[:130]
    if kind >> 4 == 11:
        return choices.pick([*streams.CODES, None, 1005, 999, 5000]), choices.text()
    return choices.rarely()


def connection(data: bytes) -> None:
    """Any calls in any order.

    The compiled module and its source say the same, and only what a peer may be told.
    """
    choices = Choices(data)
    receiver = streams.role(choices)
    options: dict[str, Any] = {
        "max_message_size": choices.pick([LIMIT, *SIZES]),
        "max_fragments": choices.pick([4096, 1, 3]),
        "text_as_bytes": choices.rarely(),
    }
    with_deflate, seed = choices.rarely(), choices.take(5)
    both: list[Any] = []
    for kind in (Connection, SOURCES.Connection):
        pair = deflate_pair(Choices(seed)) if with_deflate else (None, None)
        both.append(kind(receiver, deflate=pair[receiver is Role.SERVER], **options))
    has_closed = False
    for _ in range(60):
        if not choices:
            break
        kind = choices.byte()
        argument = _argument(choices, kind, receiver)
        results = [_outcome(one, kind, argument) for one in both]
        assert results[0] == results[1], results
        if choices.flag():
            said = [[frame._replace(masked=False) for frame in _said(one)] for one in both]
            assert said[0] == said[1]
            assert not (has_closed and said[0]), "frames behind our close frame"
            has_closed = has_closed or any(frame.opcode == 8 for frame in said[0])
        assert _told(both[0]) == _told(both[1])


def _outcome(connection: Any, kind: int, argument: Any) -> object:
    try:
        return tried(lambda: _step(connection, kind, argument))
    except ConnectionClosed as error:
        return type(error), str(error), error.received, error.sent


class _End:
    """One of two that talk: what it was given to send, and what it has received."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.on_the_way = b""

    def take(self) -> None:
        self.on_the_way += self.connection.take()

    def arrive(self, data: bytes) -> None:
        for item in self.connection.receive(data):
            if isinstance(item, (str, bytes)):
                self.received.append(item)
            elif isinstance(item, Pong):
                self.pongs.append(item.payload)
            else:
                assert isinstance(item, (Ping, Close))


def conversation(data: bytes) -> None:
    """Two connections talk, however the network cuts.

    All that was sent arrives, and the closing completes.
    """
    choices = Choices(data)
    pair = deflate_pair(choices) if choices.flag() else (None, None)
    ends = [_End(Connection(role, deflate=codec)) for role, codec in zip(Role, _by_role(pair), strict=True)]
    while choices:
        kind = choices.byte()
        end, peer = ends if kind & 1 else ends[::-1]
        if kind < 0x80:
            end.take()
            size = len(end.on_the_way) if kind < 0x20 else choices.below(len(end.on_the_way) + 1)
            arrived, end.on_the_way = end.on_the_way[:size], end.on_the_way[size:]
            peer.arrive(arrived)
            if choices.flag():
                peer.connection.conclude()
        elif end.connection.state is State.OPEN:
            _say(choices, end, kind)
    _finish(ends)


def _by_role(pair: tuple[Any, Any]) -> list[Any]:
    return [pair[role is Role.SERVER] for role in Role]


def _say(choices: Choices, end: _End, kind: int) -> None:
    if kind < 0xD0:
        message = choices.text() if choices.flag() else choices.payload(large=True)
        end.connection.send(message)
        end.sent.append(message)
    elif kind < 0xE0:
        fragments = [choices.text() for _ in range(2 + kind % 3)]
        for place, fragment in enumerate(fragments):
            end.connection.send_fragment(fragment, first=place == 0, last=place == len(fragments) - 1)
        end.sent.append("".join(fragments))
    elif kind < 0xF0:
        payload = choices.payload()[:125]
        end.connection.ping(payload)
        end.pings.append(payload)
    else:
        code = streams.close(choices)
        end.connection.close(code.close_code, code.close_reason)


def _finish(ends: list[_End]) -> None:
    for end, peer in (ends, ends[::-1]) * 2:
        end.take()
        arrived, end.on_the_way = end.on_the_way, b""
        peer.arrive(arrived)
        peer.connection.conclude()
    for end in ends:
        if end.connection.failure is not None:
            # Nothing of this may fail but by the limit of a ratio.
            assert isinstance(end.connection.failure, MessageTooBig) and "max_ratio" in str(
                end.connection.failure
            )
            return
        assert end.connection.failure is None, end.connection.failure
    for end, peer in (ends, ends[::-1]):
        assert peer.received == end.sent
        # RFC 6455 section 5.5.3: of several pings the newest may be answered alone; after a close none is.
        answered = iter(end.pings)
        assert all(pong in answered for pong in end.pongs)
        if all(one.connection.state is State.OPEN for one in ends):
            assert end.pings[-1:] == end.pongs[-1:]
    states = [end.connection.state for end in ends]
    assert states in ([State.OPEN] * 2, [State.CLOSING] * 2), states
    for end in ends:
        assert end.connection.finished is (states[0] is State.CLOSING)


def inflate(data: bytes) -> None:
    """Whatever is called compressed: what zlib makes of it, within the limit, or one exception for ever."""
    choices = Choices(data)
    client, server = deflate_pair(choices)
    reference = zlib.decompressobj(-15)
    context = not server._peer_is_stateless
    seen = b""
    is_plain = True
    while choices and len(seen) < LIMIT:
        limit = choices.pick([LIMIT, *SIZES])
        payload = _compressed(choices, client, seen)
        result, message = tried(lambda payload=payload, limit=limit: server.inflate(payload, limit))  # type: ignore[misc]
        if result != "returned":
            assert result in ("ProtocolError", "MessageTooBig"), message
            again = tried(lambda payload=payload, limit=limit: server.inflate(payload, limit))  # type: ignore[misc]
            assert again == (result, message)
            return
        assert isinstance(message, bytes) and len(message) <= limit
        if is_plain:
            if not context:
                reference = zlib.decompressobj(-15)
            expected = reference.decompress(payload + TAIL)
            is_plain = not reference.eof
            assert message == expected or not is_plain
        seen += message


def _compressed(choices: Choices, client: DeflateCodec, seen: bytes) -> bytes:
    kind = choices.byte()
    if kind < 0x50:
        return choices.take(kind)
    message = choices.payload(large=True)
    if kind < 0xA0:
        return client.compress(message)
    wbits = choices.pick([-9, -15])
    how = zlib.Z_SYNC_FLUSH if kind & 1 else zlib.Z_FINISH
    window = seen[-(1 << -wbits) + 262 :]
    compressor = (
        zlib.compressobj(choices.below(10), wbits=wbits, zdict=window) if kind & 2 and window else None
    )
    compressor = compressor or zlib.compressobj(choices.below(10), wbits=wbits)
    made = bytearray(compressor.compress(message) + compressor.flush(how))
    if kind & 4 and made:
        made[choices.below(len(made))] ^= choices.byte()
    return bytes(made[:-4] if how == zlib.Z_SYNC_FLUSH else made)


TARGETS = {"connection": connection, "conversation": conversation, "inflate": inflate}
