"""A chat room in FastAPI.

    uvicorn app:app --ws fastframe.uvicorn:WebSocketProtocol

The line above is all that fastframe asks of an ASGI application.

`send_text` waits while a client's network does not keep up. So each member has a queue and a task that
empties it: nobody waits for anybody else, and who is too slow misses the oldest messages.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect

MAX_WAITING = 100
"""Messages that wait for one member."""

app = FastAPI()
rooms: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


@app.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, room: str, name: str = "") -> None:
    if not name:
        await websocket.send_denial_response(Response("who are you?", status_code=401))
        return
    await websocket.accept()
    waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
    rooms[room].add(waiting)
    sending = asyncio.create_task(send_all(websocket, waiting))
    try:
        while True:
            say(room, f"{name}: {await websocket.receive_text()}")
    except WebSocketDisconnect as left:
        code = left.code
    except KeyError:  # a message without text
        code = 1003
        await websocket.close(code, "text only")
    finally:
        sending.cancel()
        rooms[room].discard(waiting)
        if not rooms[room]:
            del rooms[room]
    say(room, f"{name} has left ({code})")


def say(room: str, text: str) -> None:
    for waiting in rooms.get(room, ()):
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(text)


async def send_all(websocket: WebSocket, waiting: asyncio.Queue[str]) -> None:
    try:
        while True:
            await websocket.send_text(await waiting.get())
    except (WebSocketDisconnect, RuntimeError):
        pass  # it is closing; who receives learns of it
