"""What one connection does with permessage-deflate: compression and bounded inflation (RFC 7692).

Inflation is zlib's alone. The code that meets hostile bytes exists once, it
says what is wrong with them, and zlib needs 11 KiB for a window of 12 bits
where zlib-ng takes 42 and isal 86, at about the same speed for messages of a
few hundred bytes.
"""

from __future__ import annotations

import functools
import sys
import zlib
from typing import TYPE_CHECKING, Final, final

from . import _compressors, _violations
from .errors import MessageTooBig, ProtocolError
from .frames import Role

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._compressors import Compressor
    from .deflate import DeflateParameters

__all__ = ["MAX_FINAL_BLOCKS", "RATIO_FLOOR", "DeflateCodec"]

MAX_FINAL_BLOCKS: Final = 64
"""Blocks with BFINAL set in a message at most; each costs a new decompressor."""

RATIO_FLOOR: Final = 64 * 1024
"""Bytes up to which a message may inflate whatever its ratio: twice the largest window.

With context, a message like the one before it takes next to nothing.
"""

# RFC 7692 section 7.2.1: what a sender removes from the end of each message,
# and section 7.2.2: what a receiver appends. It is the rest of an empty block.
_TAIL = b"\x00\x00\xff\xff"
# And then an empty stored block with BFINAL set: zlib tells whether it got to the end of that.
_TAIL_AND_END = _TAIL + b"\x01\x00\x00\xff\xff"

_SYNC_FLUSH = zlib.Z_SYNC_FLUSH
# What zlib says of its Z_MEM_ERROR: a window could not be allocated.
_NO_MEMORY = "Error -4 "
_MOST = sys.maxsize
# Times: a ratio that no message has.
_MORE_THAN_DEFLATE = 2048


@functools.cache
def _shared(window_bits: int, level: int, memory_level: int) -> tuple[int, int, int]:
    """One tuple for all codecs that have these in common."""
    return window_bits, level, memory_level


@final
class DeflateCodec:
    """Compresses what one connection sends and inflates what it receives.

    Made by `PerMessageDeflate.accept` and `PerMessageDeflate.confirm`. Each
    direction takes its memory at its first message. It belongs to one thread
    at a time.

    Attributes:
        parameters: what was agreed on.
        is_stateless: we compress each message by itself.
        sharing_key: equal for codecs that make the same of a message where
            they compress it alone.
        threshold: messages of fewer bytes are better sent uncompressed, says
            the user; it is for the caller to heed.
    """

    __slots__ = (
        "_compressor",
        "_failure",
        "_inflate_bits",
        "_inflater",
        "_max_ratio",
        "_peer_is_stateless",
        "is_stateless",
        "parameters",
        "sharing_key",
        "threshold",
    )

    def __init__(
        self,
        role: Role,
        parameters: DeflateParameters,
        *,
        compress_bits: int,
        inflate_bits: int,
        level: int,
        memory_level: int,
        threshold: int,
        max_ratio: float | None = None,
    ) -> None:
        no_context_takeover = (parameters.server_no_context_takeover, parameters.client_no_context_takeover)
        own, peer = no_context_takeover if role is Role.SERVER else reversed(no_context_takeover)
        self.parameters = parameters
        self.threshold = threshold
        self.is_stateless = own
        self.sharing_key = _shared(compress_bits, level, memory_level)
        self._peer_is_stateless = peer
        self._inflate_bits = inflate_bits
        # Of a larger one times a size, int() may make an error.
        self._max_ratio = None if max_ratio is None else min(max_ratio, _MORE_THAN_DEFLATE)
        self._compressor: Compressor | None = None
        self._inflater: _Inflater | None = None
        self._failure: BaseException | None = None

    def __repr__(self) -> str:
        return f"<DeflateCodec {self.parameters}>"

    @property
    def has_context(self) -> bool:
        """Whether the next message may refer to earlier ones, so that a reset would cost something."""
        return self._compressor is not None

    def compress(self, payload: Buffer) -> bytes:
        """Compress a whole message.

        What is returned has to be sent, whole and in this order, or
        `reset_compressor` to be called: later messages refer to it.

        If this raises, or is interrupted, the compressor is dropped, and the
        next message starts from an empty window. That needs no word to the
        peer: taking over context is a sender's permission, not its duty
        (RFC 7692 section 7.1.1), each message ends at the boundary of a byte,
        and a reference reaches back by a distance from where it stands, so
        that one to what a new compressor has written means the same to a
        receiver whose window has older messages before it.

        Returns:
            The payload of the message's frames, the first of which has RSV1 set.
        """
        if not isinstance(payload, bytes):
            view = memoryview(payload)
            payload = view if view.c_contiguous else view.tobytes()
            if not view.nbytes:
                payload = b""
        if not payload:
            # RFC 7692 section 7.2.3.6. A flush with nothing to flush writes nothing.
            return b"\x00"
        # Taken out while in use, so that no way out of here leaves one that
        # knows a message which was never sent.
        compressor, self._compressor = self._compressor, None
        if compressor is None:
            compressor = _compressors.new_compressor(*self.sharing_key)
        compressed = compressor.compress(payload)
        flushed = compressor.flush(_SYNC_FLUSH)
        if not flushed.endswith(_TAIL):
            raise RuntimeError(
                f"{_compressors.DEFLATE_BACKEND} ended a flush with {flushed[-4:].hex()}, not {_TAIL.hex()}"
            )
        if not self.is_stateless:
            self._compressor = compressor
        return compressed + flushed[:-4]

    def compress_alone(self, payload: Buffer) -> bytes:
        """Compress a message by itself, for any number of connections with this `sharing_key`.

        It refers to nothing but itself, so it decodes whatever a receiver's
        window holds. It moves that window on, though: where context is kept,
        `reset_compressor` has to be called before the next `compress`.

        Returns:
            As `compress`.
        """
        kept, self._compressor = self._compressor, None
        try:
            return self.compress(payload)
        finally:
            self._compressor = kept

    def reset_compressor(self) -> None:
        """Forget all that was compressed, and give back the memory that it took.

        Nothing compressed later refers to what was compressed earlier
        (RFC 7692 section 7.2.3).
        """
        self._compressor = None

    def inflate(self, payload: bytes, max_size: int | None) -> bytes:
        """Inflate a whole message.

        Args:
            payload: the joined payloads of the message's frames.
            max_size: bytes that the message may have; None: any number. Of
                this and what `max_ratio` allows, at most one byte more than
                the smaller is ever produced. Deflate itself cannot produce
                more than 1,032 times the bytes it is given.

        Raises:
            MessageTooBig: the message has more bytes than `max_size` or
                `max_ratio` allows, or more blocks with BFINAL set than
                `MAX_FINAL_BLOCKS`.
            ProtocolError: the payload is not DEFLATE data; says why. That it
                ends inside of a block is noticed where the peer takes over no
                context. Otherwise zlib does not tell, and the peer's next
                message makes no sense.

            After either the connection has to be failed, and each later call
            raises the same again; so it does after any other exception from
            the midst of it, such as MemoryError.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        allowed = max_size
        if self._max_ratio is not None:
            by_ratio = max(RATIO_FLOOR, int(self._max_ratio * len(payload)))
            allowed = by_ratio if max_size is None else min(by_ratio, max_size)
        limit = 0 if allowed is None else allowed + 1 if allowed < _MOST else _MOST
        inflater, stateless = self._inflater, self._peer_is_stateless
        if inflater is None:
            inflater = _Inflater(self._inflate_bits)
            if not stateless:
                self._inflater = inflater
        tail = _TAIL_AND_END if stateless else _TAIL
        data = payload + tail
        try:
            message = inflater.inflate(data, tail, limit)
            if allowed is not None and len(message) > allowed:
                raise self._too_big(len(payload), len(message), max_size)
            if stateless and not inflater.is_at_end:
                raise ProtocolError("compressed message ends inside of a DEFLATE block")
        except BaseException as error:  # noqa: BLE001
            # The end of memory, too, or an interrupt: some of the payload has been read then.
            self._inflater = None
            # It is kept, and with it the frames in its traceback and whatever these have.
            payload = data = message = b""
            error.__context__ = None
            self._failure = error
            raise error.with_traceback(None) from None
        return message

    def _too_big(self, compressed: int, inflated: int, max_size: int | None) -> MessageTooBig:
        if max_size is not None and inflated > max_size:
            return _violations.message_too_big(inflated, max_size)
        return MessageTooBig(
            f"compressed message of {compressed} bytes inflates to at least {inflated}, "
            f"which exceeds max_ratio {self._max_ratio:g}"
        )


@final
class _Inflater:
    """A peer's stream of DEFLATE blocks, which goes on after blocks with BFINAL set.

    zlib's decompressor ends at such a block. The stream of a peer that uses
    them to flush (RFC 7692 section 7.2.3.4) does not, nor does its window, so
    a new decompressor is given what the old one has produced. Only from the
    first such block on is that kept: hardly any peer sends one, and whoever
    flushes like this does it from its first message on.
    """

    __slots__ = ("_decompressor", "_window", "_window_bits", "is_at_end")

    def __init__(self, window_bits: int) -> None:
        self._window_bits = window_bits
        self._decompressor = zlib.decompressobj(-window_bits)
        self._window: bytes | None = None
        self.is_at_end = False
        """Whether the last byte given, or what is left of the tail, ended a block with BFINAL set."""

    def inflate(self, data: bytes, tail: bytes, limit: int) -> bytes:
        """Inflate a message with `tail` behind it, or its first `limit` bytes if it has more (0: all)."""
        try:
            decompressor = self._decompressor
            if decompressor.eof:
                decompressor = self._start_anew(self._window or b"")
            message = decompressor.decompress(data, limit)
            if decompressor.eof:
                message = self._after_final_block(message, tail, limit)
        except zlib.error as error:
            # zlib says "Error -3 while decompressing data: invalid block type".
            words = str(error)
            # Before Python 3.11 it has no words where there is no memory for them either.
            if not words or words.startswith(_NO_MEMORY):
                raise MemoryError(words) from None
            reason = words.rpartition(": ")[2]
            raise ProtocolError(f"compressed message is not DEFLATE data: {reason}") from None
        if self._window is not None:
            self._window = self._last(self._window, message)
        return message

    def _after_final_block(self, message: bytes, tail: bytes, limit: int) -> bytes:
        """Return the whole message that begins with `message`."""
        if self._window is None:
            self._window = b""
        window = self._window
        pieces = [message]
        size = len(message)
        for _ in range(MAX_FINAL_BLOCKS):
            rest = self._decompressor.unused_data
            # Some peers leave out the octet that section 7.2.3.4 demands after
            # a final block. What we have appended is then no block either.
            self.is_at_end = not rest or rest == tail
            if self.is_at_end or (limit and size == limit):
                return b"".join(pieces)
            window = self._last(window, pieces[-1])
            decompressor = self._start_anew(window)
            pieces.append(decompressor.decompress(rest, limit - size if limit else 0))
            size += len(pieces[-1])
            if not decompressor.eof:
                return b"".join(pieces)
        raise MessageTooBig(f"compressed message of more than {MAX_FINAL_BLOCKS} blocks with BFINAL set")

    def _start_anew(self, window: bytes) -> zlib._Decompress:
        self._decompressor = zlib.decompressobj(-self._window_bits, zdict=window)
        return self._decompressor

    def _last(self, earlier: bytes, later: bytes) -> bytes:
        """As much of the end of `earlier` and `later` as the window holds."""
        size = 1 << self._window_bits
        return later[-size:] if len(later) >= size else (earlier + later)[-size:]
