"""The WebSocket engine of Python."""

from __future__ import annotations

from .codec import (
    BACKEND,
    FrameDecoder,
    FrameEncoder,
    Masker,
    MessageDecoder,
    Utf8Validator,
    apply_mask,
    apply_mask_inplace,
    build_info,
    encode_frame,
    encode_header,
    is_valid_utf8,
    parse_header,
)
from .errors import FastframeError, InvalidUtf8, MessageTooBig, ProtocolError
from .frames import Close, CloseCode, Frame, FrameHeader, Opcode, Ping, Pong, Role

__version__ = "0.1.0"

__all__ = [
    "BACKEND",
    "Close",
    "CloseCode",
    "FastframeError",
    "Frame",
    "FrameDecoder",
    "FrameEncoder",
    "FrameHeader",
    "InvalidUtf8",
    "Masker",
    "MessageDecoder",
    "MessageTooBig",
    "Opcode",
    "Ping",
    "Pong",
    "ProtocolError",
    "Role",
    "Utf8Validator",
    "__version__",
    "apply_mask",
    "apply_mask_inplace",
    "build_info",
    "encode_frame",
    "encode_header",
    "is_valid_utf8",
    "parse_header",
]
