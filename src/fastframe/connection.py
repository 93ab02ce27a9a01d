"""The conversation after the opening handshake, sans I/O (RFC 6455 sections 5 to 7).

A `Connection` is fed what came from the socket and gives back messages; what
it has to say in turn is collected until `take` hands it out. It answers pings,
performs the closing handshake from either side, and fails the connection when
the peer breaks the protocol. It knows neither sockets nor clocks.

::

    OPEN ── our close frame is sent, first or as an answer ──▶ CLOSING
    OPEN or CLOSING ── the transport is gone ──▶ CLOSED
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from .codec import FrameEncoder, MessageDecoder, encode_header
from .errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, ProtocolError
from .frames import (
    DEFAULT_MAX_FRAGMENTS,
    DEFAULT_MAX_MESSAGE_SIZE,
    MAX_CONTROL_PAYLOAD,
    Close,
    CloseCode,
    Opcode,
    Ping,
    Role,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

    from ._codec_c import Item
    from .deflate import DeflateCodec
    from .recorder import RecordedFrame

__all__ = ["CLOSED", "CLOSING", "CONNECTING", "OPEN", "Connection", "State"]

_UNFINISHED = "a fragmented message is not finished"
_CLEAN = (None, CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY)


class State(enum.IntEnum):
    """The states of the browser's WebSocket interface, with its numbers."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


# A member's name costs as much as three calls on Python 3.10 and 3.11.
CONNECTING: Final = State.CONNECTING
OPEN: Final = State.OPEN
CLOSING: Final = State.CLOSING
CLOSED: Final = State.CLOSED


class Connection:
    """One end of a conversation. It belongs to one thread at a time.

    Args:
        role: which end we are.
        deflate: the agreed permessage-deflate, or None.
        max_message_size: bytes in a received message at most, inflated too.
        max_frame_size: bytes of payload in a received frame at most.
        max_fragments: frames in a received message at most.
        text_as_bytes: receive text messages as (validated) bytes.

    Attributes:
        state: a `State`.
        deflate: the agreed permessage-deflate, or None.
        close_received: the peer's close frame, or None.
        close_sent: our close frame, or None.
        received_first: whether the peer's came first; None unless there were both.
        failure: why the connection fails (RFC 6455 section 7.1.7), or None;
            without a traceback, and its `decoded` is empty.
        congested: to be set while the network takes nothing: then only the
            newest of several pings is answered.
        control_frames: how many of the items received last are no messages.
        is_fragmenting: a message of ours in several frames is not finished.
        ending: the peer has ended the conversation, by a close frame or a
            violation, and we have not.
        append_message: all that `send` comes to while the connection is open
            and compresses nothing, for those who send much: it returns how
            many bytes wait for `take`. None otherwise.
    """

    __slots__ = (
        "_decoder",
        "_encoder",
        "_pong",
        "append_message",
        "close_received",
        "close_sent",
        "congested",
        "control_frames",
        "deflate",
        "ending",
        "failure",
        "is_fragmenting",
        "received_first",
        "role",
        "state",
    )

    def __init__(
        self,
        role: Role,
        *,
        deflate: DeflateCodec | None = None,
        max_message_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
        max_frame_size: int | None = None,
        max_fragments: int | None = DEFAULT_MAX_FRAGMENTS,
        text_as_bytes: bool = False,
    ) -> None:
        self.role = role
        self.state: State = OPEN
        self.close_received: Close | None = None
        self.close_sent: Close | None = None
        self.received_first: bool | None = None
        self.failure: ProtocolError | None = None
        self.congested = False
        self.control_frames = 0
        self.is_fragmenting = False
        self.deflate = deflate
        self._pong: bytes | None = None
        self.ending = False
        self._encoder = FrameEncoder(role)
        self.append_message: Callable[[str | Buffer], int] | None = None
        if deflate is None:
            self.append_message = self._encoder.append_message
        self._decoder = MessageDecoder(
            role,
            max_message_size=max_message_size,
            max_frame_size=max_frame_size,
            max_fragments=max_fragments,
            text_as_bytes=text_as_bytes,
            inflate=None if deflate is None else deflate.inflate,
        )

    def __len__(self) -> int:
        """Bytes that wait for `take`, a pending pong aside."""
        return len(self._encoder)

    def __bool__(self) -> bool:
        return True

    def receive(self, data: Buffer, size: int | None = None) -> list[Item]:
        """Take in what the peer sent.

        A violation is not raised: `failure` tells of it. When it, or the
        peer's close frame, has come, `ending` is true: what came before may
        still be answered, then `conclude` has to be called.

        Args:
            data: any bytes-like object; it is not kept.
            size: how many of its bytes count; all if None.

        Returns:
            Messages and control frames, oldest first. Pings have been
            answered already, that is, the answer waits for `take`.
        """
        decoder = self._decoder
        try:
            items = decoder.receive(data, size)
        except ProtocolError as error:
            items = self._note_failure(error)
        self.control_frames = decoder.control_frames
        if self.control_frames:
            self._answer(items)
        return items

    def get_buffer(self, minimum: int) -> memoryview | None:
        """Where the next bytes are best read to: `MessageDecoder.get_buffer`."""
        return self._decoder.get_buffer(minimum)

    def received(self, size: int) -> list[Item]:
        """Take in `size` bytes that were read to the buffer of `get_buffer`; as `receive`."""
        try:
            items = self._decoder.received(size)
        except ProtocolError as error:
            items = self._note_failure(error)
        self.control_frames = self._decoder.control_frames
        if self.control_frames:
            self._answer(items)
        return items

    def take_chunk(self) -> str | bytes | None:
        """Take what has come of a message under way: `MessageDecoder.take_chunk`."""
        return self._decoder.take_chunk()

    @property
    def retained(self) -> int:
        """Bytes held of what is under way: `MessageDecoder.retained`."""
        return self._decoder.retained

    @property
    def last_frames(self) -> tuple[RecordedFrame, ...]:
        """The frame headers that came last: `MessageDecoder.last_frames`."""
        return self._decoder.last_frames

    def send(self, message: str | Buffer) -> None:
        """Append a message: a str as text, anything bytes-like as binary.

        Raises:
            ConnectionClosed: the closing handshake has begun.
            TypeError: `message` is neither.
            ValueError: a fragmented message is not finished (RFC 6455 section 5.4).
        """
        if self.state is not OPEN:
            raise self.closed_exception()
        if self.is_fragmenting:
            raise ValueError(_UNFINISHED)
        if self.deflate is not None:
            self._send_compressed(message, self.deflate)
        else:
            self._encoder.append_message(message)

    def send_unjoined(self, message: bytes) -> tuple[bytes, bytes] | None:
        """Send a large message without a copy, ahead of nothing else.

        Returns:
            The header and the payload, to be written at once, one behind the
            other; None if the message has to go the usual way: it is to be
            masked or compressed, other bytes wait for `take`, or the
            connection is not open.
        """
        if self.append_message is None or self.role is Role.CLIENT or len(self._encoder):
            return None
        return encode_header(Opcode.BINARY, len(message)), message

    def _send_compressed(self, message: str | Buffer, deflate: DeflateCodec) -> None:
        payload = message.encode() if isinstance(message, str) else message
        if memoryview(payload).nbytes < deflate.threshold:
            self._encoder.append_message(message)
            return
        compressed = deflate.compress(payload)
        try:
            self._encoder.append(1 if isinstance(message, str) else 2, compressed, True, True)
        except BaseException:
            # Later messages must not refer to one that the peer never gets.
            deflate.reset_compressor()
            raise

    def send_fragment(self, fragment: str | Buffer, *, first: bool, last: bool) -> None:
        """Append one frame of a message in several frames, uncompressed (RFC 6455 section 5.4).

        Args:
            fragment: a str in a text message, else bytes-like.
            first: it begins the message.
            last: it ends the message.

        Raises:
            ConnectionClosed: the closing handshake has begun.
            ValueError: `first`, and the message before is not finished, or not `first`, and none is begun.
        """
        if self.state is not OPEN:
            raise self.closed_exception()
        if bool(first) == self.is_fragmenting:
            raise ValueError(_UNFINISHED if first else "no message is begun")
        opcode = 0 if not first else 1 if isinstance(fragment, str) else 2
        self._encoder.append(opcode, fragment, last)
        self.is_fragmenting = not last

    def send_encoded(self, frames: Buffer) -> None:
        """Append whole frames that were encoded before, for a server's broadcast.

        Raises:
            ConnectionClosed: the closing handshake has begun.
            ValueError: a fragmented message is not finished.
        """
        if self.state is not OPEN:
            raise self.closed_exception()
        if self.is_fragmenting:
            raise ValueError(_UNFINISHED)
        self._encoder.append_encoded(frames)

    def ping(self, payload: Buffer = b"") -> None:
        """Append a ping of at most 125 bytes.

        Raises:
            ConnectionClosed: the closing handshake has begun.
        """
        if self.state is not OPEN:
            raise self.closed_exception()
        self._encoder.append(Opcode.PING, payload)

    def pong(self, payload: Buffer = b"") -> None:
        """Append a pong that nobody asked for (RFC 6455 section 5.5.3), of at most 125 bytes.

        Raises:
            ConnectionClosed: the closing handshake has begun.
        """
        if self.state is not OPEN:
            raise self.closed_exception()
        self._encoder.append(Opcode.PONG, payload)

    def close(self, close_code: int | None = CloseCode.NORMAL_CLOSURE, close_reason: str = "") -> None:
        """Begin the closing handshake; once it has begun, do nothing.

        Args:
            close_code: the status code, or None for a close frame without one.
            close_reason: at most 123 bytes in UTF-8.

        Raises:
            TypeError: a code that is no int, or a reason that is no str.
            ValueError: a code that may not be sent, or a reason too long.
        """
        if self.state is OPEN:
            self._send_close(Close(close_code, close_reason))

    def take(self) -> bytes:
        """Hand out what is to be sent to the peer."""
        if self._pong is not None:
            self._send_pong(self._pong)
        return self._encoder.take()

    def end(self) -> None:
        """The transport is gone."""
        self._leave_open(CLOSED)

    def conclude(self) -> None:
        """Answer the peer's close frame, or its violation, if there is one to be answered."""
        if not self.ending:
            return
        if self.failure is not None:
            reason = str(self.failure).encode()[: MAX_CONTROL_PAYLOAD - 2].decode(errors="ignore")
            self._send_close(Close(self.failure.close_code, reason))
        elif self.close_received is not None:
            # RFC 6455 section 5.5.1: "the endpoint typically echos the status
            # code it received".
            received = self.close_received
            self._send_close(Close(received.close_code) if received.close_reason else received)

    @property
    def over(self) -> bool:
        """Nothing more can come: how the conversation ended is known."""
        # RFC 6455 section 7.1.7: no data is processed any more once the
        # connection was failed, "including a responding Close frame".
        return self.state is CLOSED or (self.failure is not None and self.state is CLOSING)

    @property
    def finished(self) -> bool:
        """Neither side has anything more to say: the transport is to be closed."""
        if self.failure is not None:
            return self.state is not OPEN
        return self.close_received is not None and self.close_sent is not None

    @property
    def ended_well(self) -> bool:
        """Whether it ended, or is ending, as it should: with 1000, 1001 or no code on both sides."""
        received, sent = self.close_received, self.close_sent
        if self.failure is not None or self.state is OPEN:
            return False
        if received is None or sent is None:
            # Once it is gone, one side's word is not enough.
            said = received or sent
            return said is not None and self.state is CLOSING and said.close_code in _CLEAN
        return received.close_code in _CLEAN and sent.close_code in _CLEAN

    def closed_exception(self, explanation: str = "") -> ConnectionClosed:
        """Build the exception that tells how the conversation ended, or is ending."""
        received, sent, first = self.close_received, self.close_sent, self.received_first
        if self.ended_well:
            return ConnectionClosedOK(received, sent, first, explanation)
        return ConnectionClosedError(received, sent, first, explanation, self.last_frames)

    def _answer(self, items: Iterable[Item]) -> None:
        for item in items:
            kind = type(item)
            if kind is Ping:
                # RFC 6455 section 5.5.3: an endpoint that has not yet answered
                # earlier pings "MAY elect to send a Pong frame for only the
                # most recently processed Ping frame". So the pongs to a peer
                # that reads none of them never pile up.
                if self.congested:
                    self._pong = item.payload  # type: ignore[union-attr]
                else:
                    self._send_pong(item.payload)  # type: ignore[union-attr]
            elif kind is Close:
                self.close_received = item  # type: ignore[assignment]
                self.received_first = self.close_sent is None
                self.ending = self.state is OPEN

    def _send_pong(self, payload: bytes) -> None:
        self._pong = None
        # RFC 6455 section 5.5.1: no frame of ours follows our close frame.
        if self.close_sent is None:
            self._encoder.append(Opcode.PONG, payload)

    def _send_close(self, close: Close) -> None:
        payload = close.serialize()
        if self._pong is not None:
            self._send_pong(self._pong)
        self._encoder.append(Opcode.CLOSE, payload)
        self.close_sent = close
        self._leave_open(CLOSING)

    def _leave_open(self, state: State) -> None:
        self.state = state
        self.ending = False
        self.append_message = None

    def _note_failure(self, error: ProtocolError) -> list[Item]:
        # It is kept, by the decoder too, for as long as anybody holds on to us. The frames in its traceback
        # have what was inflated, and lead back to us: we would wait for the garbage collector.
        error.__traceback__ = error.__context__ = None
        items, error.decoded = error.decoded, []
        if self.failure is None:
            self.failure = error
            self.ending = self.state is OPEN
        # Empty from the second time on: the decoder raises the same whenever it is called again.
        return items  # type: ignore[return-value]
