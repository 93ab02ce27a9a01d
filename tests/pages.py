"""Asks a server for pages, beside its WebSockets."""

from __future__ import annotations

from typing import Any

from raw_peer import raw_client

from fastframe import Request, Response, Server

GET = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer_to(server: Server, request: bytes, *, half_close: bool = False) -> tuple[bytes, bytes]:
    """Head and body of the answer, after which the server has to close."""
    async with raw_client(server, b"") as peer:
        await peer.send(request)
        if half_close:
            peer.half_close()
        head = await peer.head()
        return head, await peer.rest()


def page(protocol: Any, request: Request) -> Response | None:
    """As `process_request`: a page for those who ask for no WebSocket."""
    return None if request.is_upgrade else Response(200, [("Content-Type", "text/html")], b"<p>hello")
