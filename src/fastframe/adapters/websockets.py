"""websockets: frames in its sans-I/O protocol, and the detours of its asyncio connection.

The protocol is a generator that asks a reader for bytes. While it waits
between two frames, with nothing of the next one read, a whole message can be
taken from the stream before the generator sees it: it goes on as if it had
never been sent. The start of a large one is left in the reader's own buffer,
where the generator finds it whenever it is asked again.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable
from typing import Any

from ..codec import apply_mask, encode_frame
from ..frames import Frame, Opcode, Role
from ._guard import Depth, Known, Library, Replacement
from ._messages import unfinished_message, whole_messages
from ._transports import read_less_at_once

__all__ = ["LIBRARY"]

_LARGE = 64 * 1024
"""Bytes in a read from which on it is likely to be part of one message, and not many messages."""


def _mask(_: Any) -> Any:
    return apply_mask


def _serialize(original: Any) -> Any:
    from websockets.frames import Opcode as HostOpcode

    text, binary = HostOpcode.TEXT, HostOpcode.BINARY

    def serialize(self: Any, *, mask: bool, extensions: Any = None) -> bytes:
        opcode = self.opcode
        if (
            not (opcode is text or opcode is binary)
            or type(self.data) is not bytes
            or self.rsv1
            or self.rsv2
            or self.rsv3
        ):
            return original(self, mask=mask, extensions=extensions)  # type: ignore[no-any-return]
        frame = self
        for extension in extensions or ():
            frame = extension.encode(frame)
        return encode_frame(
            frame.opcode,
            frame.data,
            fin=frame.fin,
            rsv1=frame.rsv1,
            rsv2=frame.rsv2,
            rsv3=frame.rsv3,
            masking_key=secrets.token_bytes(4) if mask else None,
        )

    return serialize


def _awaits_frame() -> Callable[[Any], bool]:
    """A function that tells whether a protocol is open and waits for the first byte of a message."""
    from websockets.protocol import OPEN, Protocol
    from websockets.streams import StreamReader

    parse, recv_frame = Protocol.parse.__code__, Protocol.recv_frame
    at_eof = StreamReader.at_eof.__code__
    # By which the library reads a header: who has put something in its place wants to see it called.
    unpack = struct.unpack

    def awaits_frame(protocol: Any) -> bool:
        if (
            protocol._state is not OPEN
            or protocol.debug
            or protocol.current_size is not None
            or protocol.reader.eof
            or struct.unpack is not unpack
            or type(protocol).recv_frame is not recv_frame
        ):
            return False
        parser = protocol.parser
        if parser.gi_code is not parse:
            # A server's and a client's own reads the handshake, and from then on stands for this one.
            parser = parser.gi_yieldfrom
            if getattr(parser, "gi_code", None) is not parse:
                return False
        return getattr(parser.gi_yieldfrom, "gi_code", None) is at_eof

    return awaits_frame


def _append_events() -> Callable[[Any, list[Frame], int | None], bool]:
    """A function that makes events of messages; False if one of them failed the connection."""
    from websockets.frames import Frame as HostFrame
    from websockets.frames import Opcode as HostOpcode

    text, host_text, host_binary = Opcode.TEXT, HostOpcode.TEXT, HostOpcode.BINARY

    def append_events(protocol: Any, frames: list[Frame], max_size: int | None) -> bool:
        events, extensions = protocol.events, protocol.extensions
        for opcode, payload, _, rsv1, _, _ in frames:
            frame = HostFrame(host_text if opcode is text else host_binary, payload, True, rsv1)
            if extensions:
                try:
                    for extension in reversed(extensions):
                        frame = extension.decode(frame, max_size=max_size)
                    frame.check()
                except Exception as error:  # noqa: BLE001
                    # Into the generator, which knows what each of them means. Without its traceback: the
                    # protocol keeps it, and would be kept by it.
                    protocol.parser.throw(error.with_traceback(None))
                    return False
            events.append(frame)
        return True

    return append_events


def _receive_data(original: Any) -> Any:
    from websockets.protocol import SERVER

    awaits_frame, append_events = _awaits_frame(), _append_events()

    def receive_data(self: Any, data: Any) -> None:
        if not awaits_frame(self):
            original(self, data)
            return
        role = Role.SERVER if self.side is SERVER else Role.CLIENT
        rsv1 = bool(self.extensions)
        max_size = self.max_message_size
        if self.max_fragment_size is not None and (max_size is None or self.max_fragment_size < max_size):
            max_size = self.max_fragment_size
        if max_size is not None and (type(max_size) is not int or max_size < 0):
            # A float, say, which is good enough for comparing.
            original(self, data)
            return
        buffer = self.reader.buffer
        if buffer or len(data) > _LARGE:
            buffer += data
            data = buffer
            if unfinished_message(data, role, max_size=max_size, rsv1=rsv1):
                return
        frames, used = whole_messages(data, role, max_size=max_size, rsv1=rsv1)
        if not append_events(self, frames, max_size):
            return
        if data is buffer:
            del buffer[:used]
        else:
            buffer += data[used:]
        if buffer and not unfinished_message(buffer, role, max_size=max_size, rsv1=rsv1):
            next(self.parser)

    return receive_data


def _data_received(original: Any) -> Any:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.connection import Connection
    from websockets.asyncio.server import ServerConnection
    from websockets.frames import Opcode as HostOpcode
    from websockets.protocol import OPEN

    text, binary = HostOpcode.TEXT, HostOpcode.BINARY
    last_steps = (ClientConnection.process_event, ServerConnection.process_event, Connection.process_event)

    def data_received(self: Any, data: bytes) -> None:
        protocol = self.protocol
        if (
            self.request is None
            or self.response is None
            or protocol._state is not OPEN
            or type(self).process_event not in last_steps
        ):
            return original(self, data)  # type: ignore[no-any-return]
        protocol.receive_data(data)
        events = protocol.events
        if protocol.writes or protocol._state is not OPEN:
            # Something was answered, or ended. No more data: it does the rest alone.
            return original(self, b"")  # type: ignore[no-any-return]
        protocol.events = []
        assembler = self.recv_messages
        for event in events:
            opcode = event.opcode
            if not (opcode is text or opcode is binary) or assembler.closed:
                self.process_event(event)
                continue
            queue = assembler.frames
            queue.queue.append(event)
            waiter = queue.get_waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if assembler.high is not None and len(queue.queue) > assembler.high:
                assembler.maybe_pause()
        return None

    return data_received


def _connection_made(original: Any) -> Any:
    read_less = read_less_at_once()

    def connection_made(self: Any, transport: Any) -> None:
        original(self, transport)
        read_less(transport)

    return connection_made


def _get(original: Any) -> Any:
    from websockets.frames import Opcode as HostOpcode

    text, binary = HostOpcode.TEXT, HostOpcode.BINARY

    async def get(self: Any, decode: bool | None = None) -> Any:
        queue = self.frames
        waiting = queue.queue
        if self.get_in_progress or (not waiting and (self.closed or queue.get_waiter is not None)):
            return await original(self, decode)
        if not waiting:
            self.get_in_progress = True
            waiter = queue.get_waiter = queue.loop.create_future()
            try:
                await waiter
            finally:
                waiter.cancel()
                queue.get_waiter = None
                self.get_in_progress = False
                # Its exception, if it has one, leads back to this frame.
                del waiter
        frame = waiting[0]
        opcode, data = frame.opcode, frame.data
        if not frame.fin or type(data) is not bytes or not (opcode is text or opcode is binary):
            return await original(self, decode)
        waiting.popleft()
        if self.paused:
            self.maybe_resume()
        return data.decode() if decode or (decode is None and opcode is text) else data

    return get


def _send(original: Any) -> Any:
    from websockets.client import ClientProtocol
    from websockets.protocol import OPEN
    from websockets.server import ServerProtocol

    async def send(self: Any, message: Any, *more: Any, **options: Any) -> None:
        protocol = self.protocol
        kind = type(message)
        if (
            more
            or options
            or not (kind is str or kind is bytes)
            or self.send_in_progress is not None
            or protocol._state is not OPEN
            or protocol.extensions
            or protocol.writes
            or protocol.expect_continuation_frame
            or protocol.debug
            or self.paused
            or self.transport.is_closing()
        ):
            return await original(self, message, *more, **options)  # type: ignore[no-any-return]
        if type(protocol) is ServerProtocol:
            masking_key = None
        elif type(protocol) is ClientProtocol:
            masking_key = secrets.token_bytes(4)
        else:
            return await original(self, message)  # type: ignore[no-any-return]
        try:
            frame = encode_frame(1 if kind is str else 2, message, masking_key=masking_key)
        except UnicodeEncodeError:
            return await original(self, message)  # type: ignore[no-any-return]
        try:
            self.transport.write(frame)
        except Exception:  # noqa: BLE001
            # It has the answer: it writes again, and fails again.
            protocol.writes.append(frame)
        else:
            if not self.paused:
                return None
        async with self.send_context():
            return None

    return send


_PROTOCOL = "websockets.protocol:Protocol"
_CONNECTION = "websockets.asyncio.connection:Connection"
_ASSEMBLER = "websockets.asyncio.messages:Assembler"

LIBRARY = Library(
    distribution="websockets",
    tested=("16.0", "17.4"),
    depths={
        "frame": Depth(
            replaces=(
                Replacement("websockets.frames:Frame.serialize", ("2aeba0b89df2e975",), _serialize),
                Replacement(f"{_PROTOCOL}.receive_data", ("df57bef09335e176",), _receive_data),
            ),
            relies_on=(
                Known("websockets.frames:Frame.parse", ("2964f6b18f3ae45d",)),
                Known("websockets.frames:Frame.check", ("31a8800e3cfeb00f",)),
                Known(f"{_PROTOCOL}.parse", ("45aaf900644b63c4",)),
                Known(f"{_PROTOCOL}.recv_frame", ("d66e0434573f4f2a", "4f83d3b90ea62428")),
                Known(f"{_PROTOCOL}.fail", ("ca30a79d11c68cfa", "924ae7075dc75a9d")),
                Known(f"{_PROTOCOL}.discard", ("f4a00f7f9f21863c", "c40ae1ef57fd326c")),
                Known(f"{_PROTOCOL}.__init__", ("d5877020b906c44b", "76c731b216eb0941")),
                Known("websockets.client:ClientProtocol.parse", ("3976571a069acdc0", "fd513a73290749dd")),
                Known("websockets.server:ServerProtocol.parse", ("70dba1c6c9bf6fa0", "8c4d10340de4d32f")),
                Known("websockets.streams:StreamReader.__init__", ("a17823aa6e21244c",)),
                Known("websockets.streams:StreamReader.at_eof", ("106a9f1e43abf91f",)),
                Known("websockets.streams:StreamReader.feed_data", ("a44df2562ad2cd90",)),
            ),
        ),
        "connection": Depth(
            replaces=(
                Replacement(
                    f"{_CONNECTION}.data_received", ("9dd300d27dd4aeac", "19c5a13dd8eb56f7"), _data_received
                ),
                Replacement(f"{_CONNECTION}.connection_made", ("5a10b9a989143201",), _connection_made),
                Replacement(
                    f"{_ASSEMBLER}.get",
                    ("31309630d493ee8f", "4347014cd4f4e137", "d5b2879d5a7fb12f", "2db634a947dcad5f"),
                    _get,
                ),
                Replacement(
                    f"{_CONNECTION}.send", ("a8ae9dce36dee10b", "d182944aba056cb9", "5617d820f825734f"), _send
                ),
            ),
            relies_on=(
                Known(f"{_ASSEMBLER}.put", ("0d37a23122341324",)),
                Known(f"{_ASSEMBLER}.maybe_pause", ("b3b5da6cb48ea436",)),
                Known(f"{_ASSEMBLER}.maybe_resume", ("ea1fd7a305dd127a",)),
                Known("websockets.asyncio.messages:SimpleQueue.get", ("6603528ea8fe7933",)),
                Known("websockets.asyncio.messages:SimpleQueue.put", ("80349d4a77a414be",)),
                Known("websockets.asyncio.client:ClientConnection.process_event", ("047114e631b50af1",)),
                Known("websockets.asyncio.server:ServerConnection.process_event", ("2d27302ec72ea200",)),
                Known(f"{_CONNECTION}.process_event", ("9c0c0028bd9731d9", "90e3399e37c0852f")),
                Known(f"{_CONNECTION}.send_data", ("b01f84358ffee740",)),
                Known(
                    f"{_CONNECTION}.send_context",
                    ("373ca6490b48f2a4", "361b52b82e70c550", "3dbc998ac51e6845"),
                ),
                Known(f"{_CONNECTION}.drain", ("1e35a4075988a5c2", "42a1ae01f9bf2907")),
                Known(f"{_PROTOCOL}.close_expected", ("ebe4efdad2295a98",)),
                Known(f"{_PROTOCOL}.send_frame", ("e20fcfacea14cacd",)),
                Known(f"{_PROTOCOL}.send_text", ("5bdf49719ceb5086", "9268f18e580a5d67")),
                Known(f"{_PROTOCOL}.send_binary", ("f6ebf3fa9d30d8cf", "a001f8bb8a651d9b")),
            ),
        ),
    },
)
