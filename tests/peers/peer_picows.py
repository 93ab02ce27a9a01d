"""https://pypi.org/project/picows/"""

from __future__ import annotations

import asyncio
from typing import Any

import picows
from peers.behaviour import MAX_SIZE, SUBPROTOCOL, Behave, Closed, QueuedPeer

OPTIONS: dict[str, Any] = {"max_frame_size": MAX_SIZE}
HEADER = "Sec-WebSocket-Protocol"


class PicowsPeer(QueuedPeer):
    def __init__(self, transport: Any, subprotocol: str | None) -> None:
        super().__init__()
        self._transport = transport
        self.subprotocol = subprotocol
        self._is_text = False
        self._fragments: list[bytes] = []

    def frame_came(self, frame: Any) -> None:
        """Picows leaves the joining of fragments and the answer to a close frame to its user."""
        if frame.msg_type is picows.WSMsgType.PONG:
            self.pong_came(frame.get_payload_as_bytes())
        elif frame.msg_type is picows.WSMsgType.CLOSE:
            if not self._transport.is_close_frame_sent:
                self._transport.send_close(frame.get_close_code(), frame.get_close_message())
            self._transport.disconnect()
        elif frame.msg_type is not picows.WSMsgType.PING:
            if frame.msg_type is not picows.WSMsgType.CONTINUATION:
                self._is_text = frame.msg_type is picows.WSMsgType.TEXT
            self._fragments.append(frame.get_payload_as_bytes())
            if frame.fin:
                message = b"".join(self._fragments)
                self._fragments = []
                self.came(message.decode() if self._is_text else message)

    def disconnected(self) -> None:
        handshake = self._transport.close_handshake
        if handshake is None or handshake.recv is None:
            self.came(Closed(1006, ""))
        else:
            self.came(Closed(int(handshake.recv.code), handshake.recv.reason or ""))

    async def send(self, message: str | bytes) -> None:
        kind = picows.WSMsgType.TEXT if isinstance(message, str) else picows.WSMsgType.BINARY
        self._transport.send(kind, message)

    async def send_fragments(self, fragments: list[bytes], is_text: bool) -> None:
        kind = picows.WSMsgType.TEXT if is_text else picows.WSMsgType.BINARY
        for number, fragment in enumerate(fragments, 1):
            self._transport.send(kind, fragment, fin=number == len(fragments))
            kind = picows.WSMsgType.CONTINUATION

    async def ping(self, payload: bytes) -> None:
        self._transport.send_ping(payload)
        await self.pong(payload)

    async def close(self, code: int, reason: str) -> None:
        self._transport.send_close(code, reason.encode())


class Listener(picows.WSListener):  # type: ignore[misc]
    def __init__(self, behave: Behave, subprotocol: str | None) -> None:
        super().__init__()
        self._behave = behave
        self._subprotocol = subprotocol

    def on_ws_connected(self, transport: Any) -> None:
        self._peer = PicowsPeer(transport, self._subprotocol)
        self.talk = asyncio.ensure_future(self._behave(self._peer))

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        self._peer.frame_came(frame)

    def on_ws_disconnected(self, transport: Any) -> None:
        self._peer.disconnected()


async def serve(behave: Behave) -> int:
    def accept(request: Any) -> Any:
        offered = [name.strip() for name in request.headers.get(HEADER, "").split(",")]
        if SUBPROTOCOL not in offered:
            return Listener(behave, None)
        response = picows.WSUpgradeResponse.create_101_response({HEADER: SUBPROTOCOL})
        return picows.WSUpgradeResponseWithListener(response, Listener(behave, SUBPROTOCOL))

    server = await picows.ws_create_server(accept, "127.0.0.1", 0, **OPTIONS)
    return int(server.sockets[0].getsockname()[1])


async def connect(uri: str, subprotocols: list[str], behave: Behave) -> None:
    def listener(_: Any, response: Any) -> Listener:
        return Listener(behave, response.headers.get(HEADER))

    offer = {HEADER: ", ".join(subprotocols)} if subprotocols else None
    _, connected = await picows.ws_connect(listener, uri, extra_headers=offer, **OPTIONS)
    await connected.talk
