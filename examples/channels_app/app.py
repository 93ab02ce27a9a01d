"""A chat room in Django Channels, settings and all in one file.

    uvicorn app:app --ws fastframe.uvicorn:WebSocketProtocol

The line above is all that fastframe asks of an ASGI application.
"""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    INSTALLED_APPS=["channels"],
    SECRET_KEY="of an example",
)
django.setup()

# Both need the settings above.
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import re_path  # noqa: E402


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "locked":
            await self.close()
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive(self, text_data: Any = None, bytes_data: Any = None, **options: Any) -> None:
        try:
            await super().receive(text_data, bytes_data, **options)
        except (ValueError, RecursionError):  # no JSON, or no text at all
            await self.close(1003)

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "say", "content": content})

    async def say(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        await self.channel_layer.group_send(self.room, {"type": "say", "content": {"left": code}})


class Nowhere(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close()


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                # What Channels takes as the name of a group.
                re_path(r"^rooms/(?P<room>[a-zA-Z0-9_.-]{1,99})\Z", ChatConsumer.as_asgi()),
                re_path("", Nowhere.as_asgi()),
            ]
        ),
    }
)
