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
from .errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    FastframeError,
    HandshakeError,
    InvalidProxy,
    InvalidRequest,
    InvalidResponse,
    InvalidURI,
    InvalidUtf8,
    MessageTooBig,
    ProtocolError,
    ProxyError,
    RejectedByServer,
)
from .frames import Close, CloseCode, Frame, FrameHeader, Opcode, Ping, Pong, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .adapters import accelerated, install, status, uninstall
    from .aio.broadcast import broadcast, prepare
    from .aio.client import connect
    from .aio.server import Server, serve
    from .aio.stream import WebSocketStream
    from .aio.websocket import WebSocket
    from .connection import Connection, State
    from .deflate import PerMessageDeflate
    from .handshake import Request, Response
    from .http_headers import Headers
    from .recorder import RecordedFrame
    from .replaying import replay

__version__ = "0.1.0"

__all__ = [
    "BACKEND",
    "Close",
    "CloseCode",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "FastframeError",
    "Frame",
    "FrameDecoder",
    "FrameEncoder",
    "FrameHeader",
    "HandshakeError",
    "Headers",
    "InvalidProxy",
    "InvalidRequest",
    "InvalidResponse",
    "InvalidURI",
    "InvalidUtf8",
    "Masker",
    "MessageDecoder",
    "MessageTooBig",
    "Opcode",
    "PerMessageDeflate",
    "Ping",
    "Pong",
    "ProtocolError",
    "ProxyError",
    "RecordedFrame",
    "RejectedByServer",
    "Request",
    "Response",
    "Role",
    "Server",
    "State",
    "Utf8Validator",
    "WebSocket",
    "WebSocketStream",
    "__version__",
    "accelerated",
    "apply_mask",
    "apply_mask_inplace",
    "broadcast",
    "build_info",
    "connect",
    "encode_frame",
    "encode_header",
    "install",
    "is_valid_utf8",
    "parse_header",
    "prepare",
    "replay",
    "serve",
    "status",
    "uninstall",
]

# The codec alone is imported at once; asyncio, h11 and ssl when they are needed.
_LATE = {
    "Connection": "connection",
    "Headers": "http_headers",
    "PerMessageDeflate": "deflate",
    "RecordedFrame": "recorder",
    "Request": "handshake",
    "Response": "handshake",
    "Server": "aio.server",
    "State": "connection",
    "WebSocket": "aio.websocket",
    "WebSocketStream": "aio.stream",
    "accelerated": "adapters",
    "broadcast": "aio.broadcast",
    "connect": "aio.client",
    "install": "adapters",
    "prepare": "aio.broadcast",
    "replay": "replaying",
    "serve": "aio.server",
    "status": "adapters",
    "uninstall": "adapters",
}


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
