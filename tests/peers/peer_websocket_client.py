"""https://pypi.org/project/websocket-client/"""

from __future__ import annotations

import asyncio
from typing import Any

import websocket
from peers.behaviour import Behave, Closed, Peer
from websocket import ABNF


class WebsocketClientPeer(Peer):
    """It blocks, so a thread does what takes time."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.subprotocol = connection.subprotocol
        self._close_frame: Any = None

    def _receive(self) -> tuple[int, Any]:
        opcode, frame = self._connection.recv_data_frame(control_frame=True)
        return opcode, frame

    async def recv(self) -> str | bytes | Closed:
        while True:
            if self._close_frame is not None:
                return _closed(self._close_frame)
            try:
                opcode, frame = await asyncio.to_thread(self._receive)
            except websocket.WebSocketConnectionClosedException:
                return Closed(1006, "")
            if opcode == ABNF.OPCODE_CLOSE:
                return _closed(frame)
            if opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY):
                data = bytes(frame.data)
                return data.decode() if opcode == ABNF.OPCODE_TEXT else data

    async def send(self, message: str | bytes) -> None:
        opcode = ABNF.OPCODE_TEXT if isinstance(message, str) else ABNF.OPCODE_BINARY
        await asyncio.to_thread(self._connection.send, message, opcode)

    async def send_fragments(self, fragments: list[bytes], is_text: bool) -> None:
        opcode = ABNF.OPCODE_TEXT if is_text else ABNF.OPCODE_BINARY
        for number, fragment in enumerate(fragments, 1):
            frame = ABNF.create_frame(fragment, opcode, fin=number == len(fragments))
            await asyncio.to_thread(self._connection.send_frame, frame)
            opcode = ABNF.OPCODE_CONT

    async def ping(self, payload: bytes) -> None:
        await asyncio.to_thread(self._connection.ping, payload)
        while True:
            opcode, frame = await asyncio.to_thread(self._receive)
            if opcode == ABNF.OPCODE_PONG and frame.data == payload:
                return

    async def close(self, code: int, reason: str) -> None:
        await asyncio.to_thread(self._connection.close, code, reason.encode())
        self._close_frame = self._connection.close_frame


def _closed(frame: Any) -> Closed:
    data = bytes(frame.data)
    return Closed(int.from_bytes(data[:2], "big"), data[2:].decode()) if data else Closed(1005, "")


async def connect(uri: str, subprotocols: list[str], behave: Behave) -> None:
    connection = await asyncio.to_thread(
        websocket.create_connection, uri, subprotocols=subprotocols or None, suppress_origin=True
    )
    try:
        await behave(WebsocketClientPeer(connection))
    finally:
        await asyncio.to_thread(connection.shutdown)
