"""The pure half of the codec: what runs where the compiled half is not.

Its private siblings, imported in one direction: `_codec_py_kernels` (masking
and UTF-8), `_codec_py_header`, then the two decoders. This file adds the rest
of the names of `_codec_c.pyi`.
"""

from __future__ import annotations

import operator
from io import BytesIO

from . import _mistakes
from ._codec_py_frame_decoder import FrameDecoder
from ._codec_py_header import MASK, OPCODES, Expectation, check_role, first_byte, header_bytes, read_header
from ._codec_py_kernels import (
    UTF8_ACCEPT,
    UTF8_NEXT,
    UTF8_REJECT,
    as_bytes,
    byte_view,
    mask_region,
    masked,
    rotated,
    scan_utf8,
)
from ._codec_py_message_decoder import MessageDecoder
from .frames import MAX_HEADER_SIZE, MAX_PAYLOAD_LENGTH, FrameHeader, Role
from .masking_keys import MaskingKeys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar, Final, final

    from typing_extensions import Buffer
else:
    from ._records import final

__all__ = [
    "KERNEL",
    "KERNELS",
    "FrameDecoder",
    "FrameEncoder",
    "Masker",
    "MessageDecoder",
    "Utf8Validator",
    "apply_mask",
    "apply_mask_inplace",
    "encode_frame",
    "encode_header",
    "is_valid_utf8",
    "parse_header",
]

KERNEL: Final[str] = "python"
KERNELS: Final[tuple[str, ...]] = ("python",)

_ANY_HEADER = Expectation(reserved_bits=0, role=None, max_frame_size=None)
_TEXT_OPCODES = frozenset((0, 1))


def _checked_key(name: str, masking_key: Buffer) -> bytes:
    key = as_bytes(masking_key)
    if len(key) != 4:
        raise _mistakes.wrong_key_length(name, len(key))
    return key


def apply_mask(data: Buffer, mask: Buffer) -> bytes:
    """Mask or unmask a payload (RFC 6455 section 5.3; the same operation both ways).

    Args:
        data: the payload, any bytes-like object, contiguous or not.
        mask: the masking key, 4 bytes.

    Returns:
        As many bytes as `data` has.

    Raises:
        ValueError: `mask` has not 4 bytes.
        TypeError: an argument is not bytes-like.
    """
    if type(data) is not bytes:
        data = as_bytes(data)
    if type(mask) is not bytes or len(mask) != 4:
        mask = _checked_key("mask", mask)
    return masked(data, mask)


def apply_mask_inplace(buffer: Buffer, mask: Buffer, offset: int = 0) -> None:
    """Mask or unmask a payload, or a part of one, where it lies.

    Args:
        buffer: a writable, contiguous bytes-like object.
        mask: the masking key, 4 bytes.
        offset: bytes of this payload that were masked before.

    Raises:
        ValueError: `mask` has not 4 bytes, or `offset` is negative.
        TypeError: `buffer` is not writable and contiguous, or `mask` not bytes-like.
    """
    if type(mask) is not bytes or len(mask) != 4:
        mask = _checked_key("mask", mask)
    if offset != 0:
        if offset < 0:
            raise _mistakes.negative("offset", offset)
        mask = rotated(mask, offset)
    if type(buffer) is bytearray:
        if buffer:
            mask_region(buffer, 0, len(buffer), mask)
        return
    content = BytesIO(masked(as_bytes(buffer), mask))
    try:
        # memoryview writes to some formats only, and readinto to all.
        content.readinto(buffer)
    except (TypeError, BufferError):
        raise _mistakes.not_writable() from None


@final
class Masker:
    """Masks a payload that comes in chunks. It belongs to one thread at a time.

    Args:
        masking_key: 4 bytes.

    Raises:
        ValueError: `masking_key` has not 4 bytes.
        TypeError: it is not bytes-like.
    """

    __slots__ = ("_key", "_offset")

    def __init__(self, masking_key: Buffer) -> None:
        self._key = _checked_key("masking_key", masking_key)
        self._offset = 0

    @property
    def offset(self) -> int:
        """Bytes processed so far."""
        return self._offset

    def process(self, data: Buffer) -> bytes:
        """Mask or unmask the next chunk of the payload.

        Args:
            data: any bytes-like object.

        Returns:
            As many bytes as `data` has.

        Raises:
            TypeError: `data` is not bytes-like.
        """
        result = masked(as_bytes(data), rotated(self._key, self._offset))
        self._offset += len(result)
        return result


def is_valid_utf8(data: Buffer, /) -> bool:
    """Say whether `data`, any bytes-like object, is UTF-8 (RFC 3629).

    Raises:
        TypeError: `data` is not bytes-like.
    """
    return scan_utf8(as_bytes(data))[0] == UTF8_ACCEPT


@final
class Utf8Validator:
    """Validates UTF-8 that comes in chunks. It belongs to one thread at a time.

    The contract is that of the validators of wsaccel and Autobahn. `state` is
    0 on a code point's boundary, 1 once a byte was wrong, and above while a
    code point is unfinished.
    """

    __slots__ = ("_codepoint", "_i", "_state")

    UTF8_ACCEPT: ClassVar[int] = UTF8_ACCEPT
    UTF8_REJECT: ClassVar[int] = UTF8_REJECT

    _state: int
    _codepoint: int
    _i: int

    def __init__(self) -> None:
        self.reset()

    @property
    def state(self) -> int:
        """Where validation stands: `UTF8_ACCEPT`, `UTF8_REJECT`, or above inside a code point."""
        return self._state

    @property
    def codepoint(self) -> int:
        """The code point that `decode` has read, or what it has read of one."""
        return self._codepoint

    @property
    def i(self) -> int:
        """Bytes validated by `validate` since the last reset."""
        return self._i

    def validate(self, data: Buffer, /) -> tuple[bool, bool, int, int]:
        """Validate the next chunk.

        Args:
            data: any bytes-like object; may end inside a code point.

        Returns:
            Whether all is valid so far; whether it ends on a code point's
            boundary; the index of the offending byte in `data`, or its length;
            and the same counted from the first chunk's start.

        Raises:
            TypeError: `data` is not bytes-like.
        """
        chunk = as_bytes(data)
        if not chunk:
            return True, self._state == UTF8_ACCEPT, 0, self._i
        self._state, index = scan_utf8(chunk, self._state)
        self._i += index
        valid = self._state != UTF8_REJECT
        return valid, self._state == UTF8_ACCEPT, index, self._i

    def decode(self, byte: int, /) -> int:
        """Feed one byte; at `UTF8_ACCEPT` `codepoint` is the code point read.

        Args:
            byte: 0 to 255.

        Returns:
            The new state.

        Raises:
            ValueError: `byte` is not in that range.
        """
        byte = operator.index(byte)
        if not 0 <= byte <= 255:
            raise _mistakes.not_a_byte(byte)
        before = self._state
        self._state = UTF8_NEXT[before][byte]
        if self._state != UTF8_REJECT:
            if before != UTF8_ACCEPT:
                self._codepoint = self._codepoint << 6 | byte & 0x3F
            elif byte < 0x80:
                self._codepoint = byte
            else:
                # 110xxxxx, 1110xxxx, 11110xxx (RFC 3629 section 3).
                self._codepoint = byte & (0x1F if byte < 0xE0 else 0x0F if byte < 0xF0 else 0x07)
        return self._state

    def reset(self) -> None:
        """Begin anew."""
        self._state = UTF8_ACCEPT
        self._codepoint = 0
        self._i = 0


def parse_header(data: Buffer, offset: int = 0) -> FrameHeader | None:
    """Read a frame's header (RFC 6455 section 5.2).

    Whether its rsv bits and its masking are right depends on the connection
    and is left to the caller.

    Args:
        data: any bytes-like object; may end anywhere.
        offset: bytes before the header.

    Returns:
        The header, or None if more bytes are needed.

    Raises:
        ProtocolError: the header breaks the RFC whatever the connection.
        ValueError: `offset` is negative.
        TypeError: `data` is not bytes-like.
    """
    if offset < 0:
        raise _mistakes.negative("offset", offset)
    view = byte_view(data)
    if type(view) is not bytes:
        view, offset = bytes(view[offset : offset + MAX_HEADER_SIZE]), 0
    header = read_header(view, offset, _ANY_HEADER)
    if header is None:
        return None
    first, length, masking_key, end = header
    opcode = OPCODES[first & 0x0F]
    fin, rsv1, rsv2, rsv3 = first > 0x7F, first & 0x40 > 0, first & 0x20 > 0, first & 0x10 > 0
    return FrameHeader(fin, rsv1, rsv2, rsv3, opcode, masking_key, length, end - offset)


def encode_header(
    opcode: int,
    payload_length: int,
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv2: bool = False,
    rsv3: bool = False,
    masking_key: Buffer | None = None,
) -> bytes:
    """Write a frame's header (RFC 6455 section 5.2).

    Args:
        opcode: one of `Opcode`.
        payload_length: bytes of payload that will follow.
        fin: this is the message's last frame.
        rsv1: for an extension.
        rsv2: for an extension.
        rsv3: for an extension.
        masking_key: 4 bytes, or None for an unmasked frame.

    Returns:
        2 to 14 bytes, the masking key included.

    Raises:
        ValueError: no such opcode, a control frame that is fragmented or too
            long, `payload_length` out of range, or a key that has not 4 bytes.
    """
    first = first_byte(opcode, fin, rsv1, rsv2, rsv3)
    payload_length = operator.index(payload_length)
    if not 0 <= payload_length <= MAX_PAYLOAD_LENGTH:
        raise _mistakes.payload_length_out_of_range(payload_length)
    if masking_key is None:
        return header_bytes(first, payload_length, 0)
    return header_bytes(first, payload_length, MASK) + _checked_key("masking_key", masking_key)


def _payload_bytes(first: int, payload: Buffer | str) -> bytes:
    if isinstance(payload, str):
        opcode = first & 0x0F
        if opcode not in _TEXT_OPCODES:
            raise _mistakes.str_payload(opcode)
        return payload.encode()
    return as_bytes(payload)


def encode_frame(
    opcode: int,
    payload: Buffer | str = b"",
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv2: bool = False,
    rsv3: bool = False,
    masking_key: Buffer | None = None,
) -> bytes:
    """Write a frame (RFC 6455 section 5.2).

    Args:
        opcode: one of `Opcode`.
        payload: any bytes-like object; or a str for opcodes TEXT and CONTINUATION.
        fin: this is the message's last frame.
        rsv1: for an extension.
        rsv2: for an extension.
        rsv3: for an extension.
        masking_key: 4 bytes to mask the payload with, or None for an unmasked frame.

    Returns:
        The header and the payload.

    Raises:
        ValueError: no such opcode, a control frame that is fragmented or too
            long, or a key that has not 4 bytes.
        TypeError: `payload` is of a wrong type.
        UnicodeEncodeError: lone surrogates in a str.
    """
    first = first_byte(opcode, fin, rsv1, rsv2, rsv3)
    content = _payload_bytes(first, payload)
    if masking_key is None:
        return header_bytes(first, len(content), 0) + content
    header = header_bytes(first, len(content), MASK)
    key = _checked_key("masking_key", masking_key)
    return header + key + masked(content, key)


@final
class FrameEncoder:
    """Appends frames to an output buffer. It belongs to one thread at a time.

    Args:
        role: which end of the connection we are. A client's frames are masked,
            each with a fresh key (RFC 6455 section 5.3).

    Raises:
        TypeError: `role` is not a `Role`.
    """

    __slots__ = ("_buffer", "_keys")

    def __init__(self, role: Role) -> None:
        check_role(role)
        self._keys = MaskingKeys() if role is Role.CLIENT else None
        self._buffer = bytearray()

    def __len__(self) -> int:
        """Bytes waiting to be taken."""
        return len(self._buffer)

    def append(
        self,
        opcode: int,
        payload: Buffer | str = b"",
        fin: bool = True,
        rsv1: bool = False,
        rsv2: bool = False,
        rsv3: bool = False,
    ) -> None:
        """Append a frame.

        Args:
            opcode: one of `Opcode`.
            payload: any bytes-like object; or a str for opcodes TEXT and CONTINUATION.
            fin: this is the message's last frame.
            rsv1: for an extension.
            rsv2: for an extension.
            rsv3: for an extension.

        Raises:
            ValueError, TypeError, UnicodeEncodeError: as `encode_frame`;
                nothing is appended then.
        """
        self._append(first_byte(opcode, fin, rsv1, rsv2, rsv3), payload)

    def append_message(self, message: Buffer | str) -> int:
        """Append a message in one frame.

        Args:
            message: a str as text, any bytes-like object as binary.

        Returns:
            How many bytes wait to be taken.

        Raises:
            TypeError, UnicodeEncodeError: as `encode_frame`; nothing is appended then.
        """
        self._append(0x81 if isinstance(message, str) else 0x82, message)
        return len(self._buffer)

    def _append(self, first: int, payload: Buffer | str) -> None:
        content = _payload_bytes(first, payload)
        if self._keys is None:
            buffer = self._buffer
            before = len(buffer)
            header = header_bytes(first, len(content), 0)
            try:
                buffer += header
                buffer += content
            except BaseException:
                del buffer[before:]
                raise
            return
        header = header_bytes(first, len(content), MASK)
        key = self._keys.take()
        self._buffer += header + key + masked(content, key)

    def append_encoded(self, data: Buffer) -> None:
        """Append whole frames that are encoded already.

        Args:
            data: any bytes-like object.

        Raises:
            TypeError: `data` is not bytes-like.
        """
        self._buffer += as_bytes(data)

    def take(self) -> bytes:
        """Return all that was appended since the last call, and keep nothing."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken
