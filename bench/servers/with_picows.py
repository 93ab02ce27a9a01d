"""picows: WSListener."""

from __future__ import annotations

import asyncio
from typing import Any

import picows

from .hosting import NO_LIMIT, Conversation, Setup, Talk

_running: list[Any] = []

OPTIONS: dict[str, Any] = {"max_frame_size": NO_LIMIT}


class _Listener(picows.WSListener):  # type: ignore[misc]
    """Answers the close frame, which picows leaves to its user."""

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        kind = frame.msg_type
        if kind is picows.WSMsgType.TEXT or kind is picows.WSMsgType.BINARY:
            self.on_message(transport, kind, frame)
        elif kind is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    def on_message(self, transport: Any, kind: Any, frame: Any) -> None:
        raise NotImplementedError


class _Echo(picows.WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        # Its cheapest way: no object is made of the payload, and no text is checked.
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


def _fanout(copies: int) -> Any:
    transports: set[Any] = set()

    class Fanout(_Listener):
        def on_ws_connected(self, transport: Any) -> None:
            transports.add(transport)

        def on_message(self, transport: Any, kind: Any, frame: Any) -> None:
            payload = frame.get_payload_as_bytes()
            for _ in range(copies):
                for other in transports:
                    other.send(kind, payload)

        def on_ws_disconnected(self, transport: Any) -> None:
            transports.discard(transport)

    return Fanout


async def serve(form: str, setup: Setup) -> int:
    listener = _fanout(setup.copies) if setup.copies else _Echo
    server = await picows.ws_create_server(
        lambda request: listener(), "127.0.0.1", 0, ssl=setup.tls(), backlog=1024, **OPTIONS
    )
    _running.append(server)
    return int(server.sockets[0].getsockname()[1])


async def _converse(uri: str, conversation: Conversation) -> None:
    done = asyncio.get_running_loop().create_future()
    answer = conversation.answer

    class Client(_Listener):
        in_flight = 0

        def on_ws_connected(self, transport: Any) -> None:
            for message in conversation.opening():
                self.in_flight += 1
                transport.send(picows.WSMsgType.BINARY, message)

        def on_message(self, transport: Any, kind: Any, frame: Any) -> None:
            following = answer(frame.get_payload_as_memoryview())
            if following is not None:
                transport.send(picows.WSMsgType.BINARY, following)
                return
            self.in_flight -= 1
            if not self.in_flight:
                transport.send_close()

        def on_ws_disconnected(self, transport: Any) -> None:
            if not done.done():
                done.set_result(None)

    await picows.ws_connect(Client, uri, **OPTIONS)
    await done


async def talk(form: str, talk: Talk) -> None:
    await asyncio.gather(*(_converse(talk.uri, conversation) for conversation in talk.conversations))
