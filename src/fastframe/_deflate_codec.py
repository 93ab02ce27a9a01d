"""What one connection does with permessage-deflate: compression and bounded inflation (RFC 7692).

Compressors come from isal or zlib-ng where the extra ``deflate`` has installed
them, from zlib otherwise. The environment variable FASTFRAME_DEFLATE names one
(``zlib``, ``zlib-ng`` or ``isal``), which must then be there.

Inflation is zlib's alone. The code that meets hostile bytes exists once, it
says what is wrong with them, and zlib needs 11 KiB for a window of 12 bits
where zlib-ng takes 42 and isal 86, at about the same speed for messages of a
few hundred bytes.
"""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, final

from . import _violations
from .errors import FastframeError, MessageTooBig, ProtocolError
from .frames import Role

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from .deflate import DeflateParameters

__all__ = ["DEFLATE_BACKEND", "MAX_FINAL_BLOCKS", "DeflateCodec"]

MAX_FINAL_BLOCKS: Final = 64
"""Blocks with BFINAL set in a message at most; each costs a new decompressor."""

# RFC 7692 section 7.2.1: what a sender removes from the end of each message,
# and section 7.2.2: what a receiver appends. It is the rest of an empty block.
_TAIL = b"\x00\x00\xff\xff"
# And then an empty stored block with BFINAL set: zlib tells whether it got to the end of that.
_TAIL_AND_END = _TAIL + b"\x01\x00\x00\xff\xff"


class _Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


# Takes window bits, level and memory level, in zlib's terms.
_NewCompressor: TypeAlias = Callable[[int, int, int], _Compressor]


def _zlib_compressor(window_bits: int, level: int, memory_level: int) -> _Compressor:
    if window_bits == 8:
        # deflateInit2 of zlib.h: "a window size of 256 bytes" is not supported
        # for raw deflate. A larger window is harmless if no match reaches far
        # back, and Z_RLE is documented to "limit match distances to one".
        return zlib.compressobj(level, zlib.DEFLATED, -9, memory_level, zlib.Z_RLE)
    return zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)


def _load_zlib() -> _NewCompressor:
    return _zlib_compressor


def _load_zlib_ng() -> _NewCompressor:
    zlib_ng: Any = importlib.import_module("zlib_ng.zlib_ng")

    def new_compressor(window_bits: int, level: int, memory_level: int) -> _Compressor:
        if window_bits == 8:
            return _zlib_compressor(window_bits, level, memory_level)
        compressor: _Compressor = zlib_ng.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)
        return compressor

    return new_compressor


def _load_isal() -> _NewCompressor:
    version: str = importlib.import_module("isal").__version__
    if tuple(int(number) for number in version.split(".")[:2]) < (1, 9):
        raise ImportError(f"isal {version} has no fixed codes; 1.9 or later is needed")
    isal: Any = importlib.import_module("isal.isal_zlib")

    def new_compressor(window_bits: int, level: int, memory_level: int) -> _Compressor:
        if window_bits == 8:
            return _zlib_compressor(window_bits, level, memory_level)
        # isal has levels 0 to 3 and takes far more memory at each memory level.
        # Its level 0 writes a table of codes with every message, which doubles
        # small ones, unless told to use the fixed codes.
        isal_level, strategy = (0, isal.Z_FIXED) if level == 1 else (1 if level <= 6 else 3, 0)
        compressor: _Compressor = isal.compressobj(
            isal_level, zlib.DEFLATED, -window_bits, max(1, memory_level - 4), strategy
        )
        return compressor

    return new_compressor


# In the order in which they are looked for.
_BACKENDS: Mapping[str, Callable[[], _NewCompressor]] = {
    "isal": _load_isal,
    "zlib-ng": _load_zlib_ng,
    "zlib": _load_zlib,
}


def _choose_backend() -> tuple[str, _NewCompressor]:
    wanted = os.environ.get("FASTFRAME_DEFLATE", "")
    if wanted:
        if wanted not in _BACKENDS:
            raise ImportError(f"FASTFRAME_DEFLATE must be one of {', '.join(_BACKENDS)}, got {wanted!r}")
        return wanted, _BACKENDS[wanted]()
    for name in ("isal", "zlib-ng"):
        try:
            return name, _BACKENDS[name]()
        except ImportError:
            pass
    return "zlib", _load_zlib()


_backend_name, _new_compressor = _choose_backend()

DEFLATE_BACKEND: Final[str] = _backend_name
"""What compresses: ``"isal"``, ``"zlib-ng"`` or ``"zlib"``."""


@final
class DeflateCodec:
    """Compresses what one connection sends and inflates what it receives.

    Made by `PerMessageDeflate.accept` and `PerMessageDeflate.confirm`. Each
    direction takes its memory at its first message. It belongs to one thread
    at a time.

    Attributes:
        parameters: what was agreed on.
        is_stateless: we compress each message by itself.
        threshold: messages of fewer bytes are better sent uncompressed, says
            the user; it is for the caller to heed.
    """

    __slots__ = (
        "_compress_bits",
        "_compressor",
        "_failure",
        "_inflate_bits",
        "_inflater",
        "_level",
        "_memory_level",
        "_peer_is_stateless",
        "is_stateless",
        "parameters",
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
    ) -> None:
        no_context_takeover = (parameters.server_no_context_takeover, parameters.client_no_context_takeover)
        own, peer = no_context_takeover if role is Role.SERVER else reversed(no_context_takeover)
        self.parameters = parameters
        self.threshold = threshold
        self.is_stateless = own
        self._peer_is_stateless = peer
        self._compress_bits = compress_bits
        self._inflate_bits = inflate_bits
        self._level = level
        self._memory_level = memory_level
        self._compressor: _Compressor | None = None
        self._inflater: _Inflater | None = None
        self._failure: FastframeError | None = None

    def __repr__(self) -> str:
        return f"<DeflateCodec {self.parameters}>"

    @property
    def sharing_key(self) -> tuple[int, int, int]:
        """Equal for codecs which, from an empty window, make the same of a message."""
        return self._compress_bits, self._level, self._memory_level

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
            compressor = _new_compressor(self._compress_bits, self._level, self._memory_level)
        compressed = compressor.compress(payload)
        flushed = compressor.flush(zlib.Z_SYNC_FLUSH)
        if not flushed.endswith(_TAIL):
            raise RuntimeError(
                f"{DEFLATE_BACKEND} ended a flush with {flushed[-4:].hex()}, not {_TAIL.hex()}"
            )
        if not self.is_stateless:
            self._compressor = compressor
        return compressed + flushed[:-4]

    def reset_compressor(self) -> None:
        """Forget all that was compressed, and give back the memory that it took.

        Nothing compressed later refers to what was compressed earlier. With
        it, a message that was compressed elsewhere, from an empty window no
        larger than the agreed one, can be sent on this connection: call this
        in between.
        """
        self._compressor = None

    def inflate(self, payload: bytes, max_size: int | None) -> bytes:
        """Inflate a whole message.

        Args:
            payload: the joined payloads of the message's frames.
            max_size: bytes that the message may have; None: any number. At
                most one more is ever produced. Deflate itself cannot produce
                more than 1,032 times the bytes it is given.

        Raises:
            MessageTooBig: the message has more bytes than `max_size`, or more
                blocks with BFINAL set than `MAX_FINAL_BLOCKS`.
            ProtocolError: the payload is not DEFLATE data; says why. That it
                ends inside of a block is noticed where the peer takes over no
                context. Otherwise zlib does not tell, and the peer's next
                message makes no sense.

            After either the connection has to be failed, and each later call
            raises the same again.
        """
        if self._failure is not None:
            raise self._failure
        limit = 0 if max_size is None else min(max_size, sys.maxsize - 1) + 1
        inflater = self._inflater
        if inflater is None:
            inflater = _Inflater(self._inflate_bits)
            if not self._peer_is_stateless:
                self._inflater = inflater
        try:
            message = inflater.inflate(payload, _TAIL_AND_END if self._peer_is_stateless else _TAIL, limit)
            if max_size is not None and len(message) > max_size:
                raise _violations.message_too_big(len(message), max_size)
            if self._peer_is_stateless and not inflater.is_at_end:
                raise ProtocolError("compressed message ends inside of a DEFLATE block")
        except FastframeError as error:
            self._inflater = None
            self._failure = error
            raise
        return message


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

    def inflate(self, payload: bytes, tail: bytes, limit: int) -> bytes:
        """Inflate a message, or its first `limit` bytes if it has more (0: all)."""
        try:
            if self._decompressor.eof:
                self._start_anew(self._window or b"")
            message = self._decompressor.decompress(payload + tail, limit)
            if self._decompressor.eof:
                message = self._after_final_block(message, tail, limit)
        except zlib.error as error:
            # zlib says "Error -3 while decompressing data: invalid block type".
            reason = str(error).rpartition(": ")[2]
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
            self._start_anew(window)
            pieces.append(self._decompressor.decompress(rest, limit - size if limit else 0))
            size += len(pieces[-1])
            if not self._decompressor.eof:
                return b"".join(pieces)
        raise MessageTooBig(f"compressed message of more than {MAX_FINAL_BLOCKS} blocks with BFINAL set")

    def _start_anew(self, window: bytes) -> None:
        self._decompressor = zlib.decompressobj(-self._window_bits, zdict=window)

    def _last(self, earlier: bytes, later: bytes) -> bytes:
        """As much of the end of `earlier` and `later` as the window holds."""
        size = 1 << self._window_bits
        return later[-size:] if len(later) >= size else (earlier + later)[-size:]
