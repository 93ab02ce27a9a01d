"""What a page is told of its opening handshake and of how the conversation ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..http_headers import SECRET_FIELDS

if TYPE_CHECKING:
    from ..aio.websocket import WebSocket
    from ..frames import Close
    from ..http_headers import Headers

__all__ = ["ending", "handshake"]


def handshake(socket: WebSocket) -> dict[str, Any]:
    """The heads of both messages line by line, and what was offered and agreed on in them."""
    request, response = socket.request, socket.response
    assert request is not None and response is not None, "it is open"
    return {
        "type": "handshake",
        "request": [f"GET {request.path} HTTP/1.1", *_lines(request.headers)],
        "response": [f"HTTP/1.1 {response.status} {response.reason}", *_lines(response.headers)],
        "key": request.headers["Sec-WebSocket-Key"],
        "accept": response.headers["Sec-WebSocket-Accept"],
        "offered": list(request.subprotocols),
        "chosen": socket.subprotocol,
        "extensions": socket.extensions,
    }


def _lines(headers: Headers) -> list[str]:
    return [
        f"{name}: {'(not shown)' if name.lower() in SECRET_FIELDS else value}"
        for name, value in headers.items()
    ]


def ending(socket: WebSocket) -> dict[str, Any]:
    """Both close frames as the server knows them, and which came first."""
    assert socket.connection is not None, "it was open"
    closed = socket.connection.closed_exception()
    return {
        "type": "closed",
        "received": _close_frame(closed.received),
        "sent": _close_frame(closed.sent),
        "received_first": closed.received_first,
    }


def _close_frame(frame: Close | None) -> dict[str, Any] | None:
    return None if frame is None else {"code": frame.close_code, "reason": frame.close_reason}
