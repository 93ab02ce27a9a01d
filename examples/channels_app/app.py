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
from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402


class ChatConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.room = self.scope["url_route"]["kwargs"]["room"]
        if self.room == "locked":
            await self.close()
            return
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive_json(self, content: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "say", "content": content})

    async def say(self, event: dict[str, Any]) -> None:
        await self.send_json(event["content"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)
        await self.channel_layer.group_send(self.room, {"type": "say", "content": {"left": code}})


app = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("rooms/<room>", ChatConsumer.as_asgi())]),
    }
)
