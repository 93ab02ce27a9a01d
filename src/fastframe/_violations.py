"""Every way a peer can break the frame layer, worded once for both halves of the codec.

Each function builds (and does not raise) the exception for one rule, naming
the field and the value that broke it.
"""

from __future__ import annotations

from .errors import InvalidUtf8, MessageTooBig, ProtocolError


def reserved_bits(bits: int) -> ProtocolError:
    """`bits`: the unexpected ones of rsv1 (4), rsv2 (2) and rsv3 (1)."""
    # RFC 6455 section 5.2: "MUST be 0 unless an extension is negotiated".
    names = [name for bit, name in ((4, "rsv1"), (2, "rsv2"), (1, "rsv3")) if bits & bit]
    return ProtocolError(f"{' and '.join(names)} set, but no extension defines it")


def reserved_opcode(opcode: int) -> ProtocolError:
    return ProtocolError(f"opcode 0x{opcode:X} is reserved")


def fragmented_control_frame(opcode: int) -> ProtocolError:
    return ProtocolError(f"fin is 0 in a control frame (opcode 0x{opcode:X})")


def control_frame_too_long(length: int) -> ProtocolError:
    """`length`: the 7-bit payload length."""
    return ProtocolError(f"payload length {length} in a control frame, at most 125 allowed")


def not_masked() -> ProtocolError:
    return ProtocolError("mask is 0 in a frame from a client")


def masked() -> ProtocolError:
    return ProtocolError("mask is 1 in a frame from a server")


def length_top_bit(length: int) -> ProtocolError:
    return ProtocolError(f"payload length 0x{length:016X} has its most significant bit set")


def length_not_minimal(length: int, bits: int) -> ProtocolError:
    return ProtocolError(f"payload length {length} in {bits} bits is not the minimal encoding")


def frame_too_big(length: int, max_frame_size: int) -> MessageTooBig:
    return MessageTooBig(f"frame payload of {length} bytes exceeds max_frame_size {max_frame_size}")


def message_too_big(size: int, max_message_size: int) -> MessageTooBig:
    """`size`: the message's bytes so far and those that the frame announces."""
    return MessageTooBig(f"message of at least {size} bytes exceeds max_message_size {max_message_size}")


def too_many_fragments(max_fragments: int) -> MessageTooBig:
    return MessageTooBig(f"message of more frames than max_fragments {max_fragments}")


def unexpected_continuation() -> ProtocolError:
    return ProtocolError("opcode 0x0 (continuation), but no message is under way")


def expected_continuation(opcode: int) -> ProtocolError:
    return ProtocolError(f"opcode 0x{opcode:X} inside a fragmented message, continuation expected")


def compressed_continuation() -> ProtocolError:
    # RFC 7692 section 6.1: only "the first frame" of a message carries RSV1.
    return ProtocolError("rsv1 set in a continuation frame")


def compressed_control_frame(opcode: int) -> ProtocolError:
    return ProtocolError(f"rsv1 set in a control frame (opcode 0x{opcode:X})")


def text_not_utf8(byte: int, index: int) -> InvalidUtf8:
    """`index`: bytes of the message before the offending one."""
    return InvalidUtf8(f"text message is not UTF-8: byte 0x{byte:02X} at index {index}")


def text_truncated(index: int) -> InvalidUtf8:
    """`index`: bytes in the message."""
    return InvalidUtf8(f"text message is not UTF-8: it ends inside a code point, after {index} bytes")


def truncated_close_code(payload: bytes) -> ProtocolError:
    return ProtocolError(f"close frame with a payload of one byte (0x{payload[0]:02X})")


def forbidden_close_code(close_code: int) -> ProtocolError:
    return ProtocolError(f"close code {close_code} may not be sent")


def close_reason_not_utf8(error: UnicodeDecodeError) -> InvalidUtf8:
    byte = error.object[error.start]
    return InvalidUtf8(f"close reason is not UTF-8: byte 0x{byte:02X} at index {error.start}")
