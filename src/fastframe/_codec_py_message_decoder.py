"""The message decoder of the pure half."""

from __future__ import annotations

import operator

from . import _mistakes, _violations
from ._codec_py_header import FIN, RSV1, check_role, checked_limit, expectation, read_header, received_bytes
from ._codec_py_kernels import UTF8_ACCEPT, UTF8_REJECT, mask_region, masked, rotated, scan_utf8
from ._codec_py_recorder import Recorder
from ._codec_py_whole_messages import read_whole_masked, read_whole_unmasked
from .errors import ProtocolError
from .frames import (
    DEFAULT_MAX_FRAGMENTS,
    DEFAULT_MAX_MESSAGE_SIZE,
    Close,
    Opcode,
    Ping,
    Pong,
    Role,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias, TypeVar, final

    from typing_extensions import Buffer

    from .recorder import RecordedFrame

    Item: TypeAlias = str | bytes | Ping | Pong | Close
    Inflate: TypeAlias = Callable[[bytes, int | None], bytes]
    _Part = TypeVar("_Part", bytes, int)
    _Result = TypeVar("_Result")
else:
    from ._records import final

__all__ = ["MessageDecoder"]

_NO_MESSAGE = int(Opcode.CONTINUATION)
_TEXT = int(Opcode.TEXT)
_BINARY = int(Opcode.BINARY)
_CONTROL_BIT = 0x08

# Memory that get_buffer takes on the word of a header alone.
_TRUSTED_SIZE = 1024 * 1024

# A view worth a system call; with less room left, memory grows first. It
# grows by pieces of it, as bytes(n) of all that is added would be more memory.
_ROOM_WANTED = 64 * 1024
_ZEROS = bytes(_ROOM_WANTED)

# More than any payload has (RFC 6455 section 5.2: below 2**63), or any sum of two.
_UNLIMITED = 1 << 64


@final
class MessageDecoder:
    """Bytes in, messages and control frames out, however the bytes were cut.

    A text message comes as `str`, a binary one as `bytes`; control frames as
    `Ping`, `Pong` and `Close`. It belongs to one thread at a time.

    Args:
        role: which end of the connection we are; it decides what must be masked.
        max_message_size: bytes in a message at most, inflated if it was
            compressed; None for no limit.
        max_frame_size: bytes in a frame's payload at most, None for no limit.
        max_fragments: frames in a message at most, empty ones too; None for no limit.
        text_as_bytes: text messages come as `bytes`, validated all the same.
        inflate: called as ``inflate(payload, max_message_size)`` with the whole
            payload of each message that has RSV1 set (RFC 7692); returns the
            message's bytes, at most as many. None: RSV1 is a violation.

    Raises:
        TypeError: `role` is not a `Role`, or a limit no whole number.
        ValueError: a negative limit, or `max_fragments` below 1.
    """

    __slots__ = (
        "_busy",
        "_close",
        "_compressed",
        "_control_frames",
        "_error",
        "_expected",
        "_fin",
        "_fragments",
        "_have",
        "_held",
        "_held_header",
        "_inflate",
        "_is_plain_text",
        "_key",
        "_masked_from",
        "_max_fragments",
        "_max_message_size",
        "_max_whole_size",
        "_max_wire_size",
        "_missing",
        "_opcode",
        "_payload",
        "_read_whole",
        "_recorder",
        "_taken",
        "_text_as_bytes",
        "_utf8",
        "_view",
    )

    def __init__(
        self,
        role: Role,
        *,
        max_message_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
        max_frame_size: int | None = None,
        max_fragments: int | None = DEFAULT_MAX_FRAGMENTS,
        text_as_bytes: bool = False,
        inflate: Inflate | None = None,
    ) -> None:
        check_role(role)
        self._max_message_size = checked_limit("max_message_size", max_message_size)
        self._expected = expectation(role, max_frame_size, 0b000 if inflate is None else 0b100)
        limit = _UNLIMITED if max_message_size is None else max_message_size
        # What deflate adds to bytes that it cannot compress is far less than
        # an eighth, so no message within the limit is refused here.
        self._max_wire_size = limit + limit // 8 + 64
        self._max_whole_size = min(limit, _UNLIMITED if max_frame_size is None else max_frame_size)
        max_fragments = checked_limit("max_fragments", max_fragments, least=1)
        self._max_fragments = _UNLIMITED if max_fragments is None else max_fragments
        self._text_as_bytes = text_as_bytes
        self._inflate = inflate
        self._error: BaseException | None = None
        self._close: Close | None = None
        self._control_frames = 0
        self._busy = False
        self._view: memoryview | None = None
        self._read_whole = read_whole_masked if role is Role.SERVER else read_whole_unmasked
        self._recorder = Recorder()
        self._forget()

    @property
    def error(self) -> BaseException | None:
        """What ended the decoding, if something did: a violation, what `inflate` raised, no memory."""
        return self._error

    @property
    def close(self) -> Close | None:
        """The peer's close frame, once it has come; all bytes after it are dropped."""
        return self._close

    @property
    def control_frames(self) -> int:
        """How many of the items of the last call are `Ping`, `Pong` or `Close`."""
        return self._control_frames

    @property
    def retained(self) -> int:
        """Bytes held: of an unfinished header, and of the payloads of what is under way."""
        return self._have + len(self._held) - self._held_header

    @property
    def last_frames(self) -> tuple[RecordedFrame, ...]:
        """The frame headers that came last, oldest first: eight that were in order, and one that was refused.

        If a message in fragments goes on in them, its first frame comes before.
        """
        return self._recorder.frames(self._expected.role is Role.SERVER)

    def receive(self, data: Buffer, size: int | None = None) -> list[Item]:
        """Decode the next bytes of the stream.

        Args:
            data: the bytes; the caller may change them afterwards.
            size: how many of them count, all if None.

        Returns:
            The messages and control frames that are complete now, oldest first.

        Raises:
            ProtocolError: the peer broke RFC 6455 or exceeded a limit;
                `decoded` has what came before that. Every later call raises
                the same exception.
            ValueError: `size` is not in 0 to the bytes in `data`.
            TypeError: `data` has no buffer.
            Exception: what `inflate` raised, from now on at every call.
        """
        self._begin_call()
        received = received_bytes(data, size)
        return self._decoded(self._decode, received)

    def get_buffer(self, minimum: int = 1) -> memoryview | None:
        """Lend the memory where the next bytes of the payload under way belong.

        Args:
            minimum: bytes that must be missing in that payload to make it worth while.

        Returns:
            A writable view, valid until the next call of any method: write
            into it from its start, then call `received`. It may be smaller
            than what is missing. None if no payload of a data frame is under
            way that lacks `minimum` bytes.

        Raises:
            ValueError: `minimum` is not positive.
            MemoryError: from now on at every call that decodes.
        """
        minimum = operator.index(minimum)
        if minimum < 1:
            raise _mistakes.not_positive("minimum", minimum)
        if self._busy:
            raise _mistakes.reentered()
        self._release_view()
        if self._missing < minimum:
            return None
        return self._guarded(self._lend)

    def received(self, size: int) -> list[Item]:
        """Decode what was written into the view of `get_buffer`.

        Args:
            size: bytes written.

        Returns:
            As `receive`.

        Raises:
            ProtocolError: as `receive`.
            ValueError: `size` is not in 0 to the view's length, or there is no view.
            Exception: what `inflate` raised, from now on at every call.
        """
        size = operator.index(size)
        self._begin_call()
        view = self._view
        if view is None:
            raise _mistakes.no_buffer_handed_out()
        room = len(self._payload) - self._have
        if not 0 <= size <= room:
            raise _mistakes.size_out_of_range(size, room)
        return self._decoded(self._advance, size)

    def take_chunk(self) -> str | bytes | None:
        """Take what has come of the message under way; what comes later of it is the message then.

        Returns:
            str or bytes, as the message would be, empty if nothing has come
            since; a code point that is cut waits for its end. None if no
            message is under way, or a compressed one, which is inflated whole.

        Raises:
            MemoryError: from now on at every call that decodes.
        """
        if self._busy:
            raise _mistakes.reentered()
        self._release_view()
        if self._opcode == _NO_MESSAGE or self._compressed or self._error is not None:
            return None
        return self._guarded(self._chunk)

    def _begin_call(self) -> None:
        if self._busy:
            raise _mistakes.reentered()
        error = self._error
        if error is not None:
            if isinstance(error, ProtocolError):
                error.decoded = []
            # Each raise would add to the traceback that the exception has already.
            raise error.with_traceback(None)
        self._control_frames = 0

    def _release_view(self) -> None:
        view = self._view
        if view is not None:
            self._view = None
            # A view that the caller has lent on stays. Its memory cannot be
            # resized then: _read_payload and _grow move the payload if they have to.
            try:  # noqa: SIM105 - contextlib takes a millisecond to import
                view.release()
            except BufferError:
                pass

    def _decoded(self, decode: Callable[[_Part, list[Item]], None], part: _Part) -> list[Item]:
        items: list[Item] = []
        self._busy = True
        try:
            # Here, as it may make an exception, and that may start a collection, which runs anybody's code.
            self._release_view()
            decode(part, items)
        except BaseException as error:
            self._end(error)
            if isinstance(error, ProtocolError):
                error.decoded = [*items]
                error.last_frames = self.last_frames
            raise
        finally:
            self._busy = False
        return items

    def _guarded(self, act: Callable[[], _Result]) -> _Result:
        self._busy = True
        try:
            return act()
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._busy = False

    def _end(self, error: BaseException) -> None:
        # An interrupt too, and the end of memory: what came after the place where it struck is lost.
        self._error = error
        self._forget()

    def _forget(self) -> None:
        # The beginning of a header, or of a control frame, as it came.
        self._held = b""
        self._held_header = 0
        # The data frame under way: `_key` is turned to apply to the first
        # byte of `_payload` that is still masked, at `_masked_from`.
        self._missing = 0
        self._fin = False
        self._key: bytes | None = None
        self._masked_from = 0
        self._forget_message()

    def _forget_message(self) -> None:
        # Of `_payload` the first `_have` bytes have come. While a view of it
        # is or was lent there may be more, never more than are missing. What
        # take_chunk has taken, `_taken` bytes, is in it no more.
        self._opcode = _NO_MESSAGE
        self._compressed = False
        self._is_plain_text = False
        self._fragments = 0
        self._payload = bytearray()
        self._have = 0
        self._taken = 0
        self._utf8 = UTF8_ACCEPT

    def _decode(self, data: bytes, items: list[Item]) -> None:
        if self._close is not None:
            return
        if self._held:
            data = self._held + data
            self._held = b""
        position, end = 0, len(data)
        record = self._recorder.record
        while position < end:
            if self._missing:
                position = self._read_payload(data, position, items)
                continue
            if self._opcode == _NO_MESSAGE:
                position = self._read_whole(
                    data, position, self._max_whole_size, self._text_as_bytes, items, record
                )
            if position < end:
                position = self._read_frame(data, position, items)

    def _read_frame(self, data: bytes, position: int, items: list[Item]) -> int:
        """Read one frame of any kind, or hold what there is of it."""
        recorder = self._recorder
        try:
            header = read_header(data, position, self._expected)
        except ProtocolError:
            recorder.refuse(data, position, self._expected)
            raise
        if header is None:
            self._held = data[position:]
            return len(data)
        first, length, key, start = header
        if not self._held_header:
            recorder.record((first, length))
        if first & _CONTROL_BIT:
            return self._read_control_frame(data, position, header, items)
        self._check_data_frame(first, length)
        opcode, fin = first & 0x0F, first >= FIN
        if fin == (opcode == _NO_MESSAGE):
            recorder.note_end_of_fragments(fin)
        stop = start + length
        if fin and opcode != _NO_MESSAGE and stop <= len(data):
            payload = data[start:stop]
            if key is not None:
                payload = masked(payload, key)
            self._deliver(opcode, bool(first & RSV1), payload, items)
            return stop
        if opcode != _NO_MESSAGE:
            self._opcode = opcode
            self._compressed = bool(first & RSV1)
            self._is_plain_text = opcode == _TEXT and not self._compressed
        self._fragments += 1
        self._fin, self._key, self._missing = fin, key, length
        self._masked_from = self._have
        if not length:
            self._advance(0, items)
        return start

    def _check_data_frame(self, first: int, length: int) -> None:
        opcode = first & 0x0F
        compressed = bool(first & RSV1)
        # RFC 6455 section 5.4: after a frame without fin come continuation
        # frames only (control frames aside), and they come nowhere else.
        if opcode == _NO_MESSAGE:
            if self._opcode == _NO_MESSAGE:
                raise _violations.unexpected_continuation()
            if compressed:
                raise _violations.compressed_continuation()
            compressed = self._compressed
        elif self._opcode != _NO_MESSAGE:
            raise _violations.expected_continuation(opcode)
        if self._fragments >= self._max_fragments:
            raise _violations.too_many_fragments(self._max_fragments)
        limit = self._max_message_size
        if limit is not None:
            size = self._taken + self._have + length
            if size > (self._max_wire_size if compressed else limit):
                raise _violations.message_too_big(size, limit)

    def _read_control_frame(
        self, data: bytes, position: int, header: tuple[int, int, bytes | None, int], items: list[Item]
    ) -> int:
        first, length, key, start = header
        opcode = first & 0x0F
        self._held_header = 0
        if first & RSV1:
            raise _violations.compressed_control_frame(opcode)
        stop = start + length
        if stop > len(data):
            self._held = data[position:]
            self._held_header = start - position
            return len(data)
        payload = data[start:stop]
        if key is not None:
            payload = masked(payload, key)
        if opcode == Opcode.PING:
            items.append(Ping(payload))
        elif opcode == Opcode.PONG:
            items.append(Pong(payload))
        else:
            self._close = Close.parse(payload)
            items.append(self._close)
            self._forget()
            # RFC 6455 section 5.5.1: nothing comes after a close frame, and
            # section 1.4: "discards any further data received".
            stop = len(data)
        self._control_frames += 1
        return stop

    def _read_payload(self, data: bytes, position: int, items: list[Item]) -> int:
        """Read what there is of the payload under way."""
        chunk = data[position : position + self._missing]
        have = self._have
        try:
            if have == len(self._payload):
                self._payload += chunk
            else:
                self._payload[have : have + len(chunk)] = chunk
        except BufferError:
            self._payload = self._payload[:have] + chunk
        self._advance(len(chunk), items)
        return position + len(chunk)

    def _advance(self, size: int, items: list[Item]) -> None:
        """Count bytes that have come into the payload's memory; deliver the message at its end."""
        before = self._have
        self._have += size
        self._missing -= size
        if self._is_plain_text:
            self._unmask()
            self._check_text(before)
        if self._missing:
            return
        self._unmask()
        if self._fin:
            opcode, compressed, payload, taken = self._opcode, self._compressed, self._payload, self._taken
            self._forget_message()
            self._deliver(opcode, compressed, payload, items, taken)

    def _unmask(self) -> None:
        """Unmask what has come: text at once, all else when its frame is complete, in one go."""
        if self._key is not None:
            mask_region(self._payload, self._masked_from, self._have, self._key)
            self._key = rotated(self._key, self._have - self._masked_from)
            self._masked_from = self._have

    def _check_text(self, start: int) -> None:
        """Fail as soon as a byte has come that cannot be right, wherever the payload was cut."""
        chunk = self._payload[start : self._have]
        state, index = scan_utf8(chunk, self._utf8)
        if state == UTF8_REJECT:
            raise _violations.text_not_utf8(chunk[index], self._taken + start + index)
        self._utf8 = state

    def _lend(self) -> memoryview:
        missing, have = self._missing, self._have
        room = len(self._payload) - have
        if room < missing and room < _ROOM_WANTED:
            self._grow(min(missing - room, max(_TRUSTED_SIZE, have // 2)))
        self._view = memoryview(self._payload)[have:]
        return self._view

    def _chunk(self) -> str | bytes:
        self._unmask()
        end = self._have
        if self._utf8 != UTF8_ACCEPT:
            # RFC 3629 section 3: a code point begins where a byte is C0 or more.
            end -= 1
            while self._payload[end] < 0xC0:
                end -= 1
        chunk = bytes(self._payload[:end])
        self._payload = self._payload[end : self._have]
        self._have = self._masked_from = len(self._payload)
        self._taken += end
        return chunk if self._opcode == _BINARY or self._text_as_bytes else chunk.decode()

    def _grow(self, size: int) -> None:
        """Add `size` zeros to the memory of the payload under way."""
        wanted = len(self._payload) + size
        try:
            self._payload += _ZEROS[:size]
        except BufferError:
            self._payload = self._payload + _ZEROS[:size]
        while len(self._payload) < wanted:
            self._payload += _ZEROS[: wanted - len(self._payload)]

    def _deliver(
        self, opcode: int, compressed: bool, payload: bytes | bytearray, items: list[Item], taken: int = 0
    ) -> None:
        if compressed:
            payload = self._inflated(bytes(payload))
        if opcode == _BINARY:
            items.append(bytes(payload))
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            state, index = scan_utf8(payload)
            if state == UTF8_REJECT:
                raise _violations.text_not_utf8(payload[index], index) from None
            raise _violations.text_truncated(taken + index) from None
        items.append(bytes(payload) if self._text_as_bytes else text)

    def _inflated(self, payload: bytes) -> bytes:
        assert self._inflate is not None, "rsv1 is a violation without inflate"
        limit = self._max_message_size
        message = self._inflate(payload, limit)
        if type(message) is not bytes:
            raise _mistakes.inflate_returned(message)
        if limit is not None and len(message) > limit:
            raise _violations.message_too_big(len(message), limit)
        return message
