"""A chat room in FastAPI.

    uvicorn app:app --ws fastframe.uvicorn:WebSocketProtocol

The line above is all that fastframe asks of an ASGI application.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, name: str = "") -> None:
    if not name:
        await websocket.send_denial_response(Response("who are you?", status_code=401))
        return
    await websocket.accept()
    rooms[room].add(websocket)
    try:
        while True:
            await say(room, f"{name}: {await websocket.receive_text()}")
    except WebSocketDisconnect as left:
        rooms[room].discard(websocket)
        await say(room, f"{name} has left ({left.code})")


async def say(room: str, text: str) -> None:
    # Whoever has left meanwhile keeps nobody else from hearing it.
    await asyncio.gather(*(member.send_text(text) for member in rooms[room]), return_exceptions=True)
