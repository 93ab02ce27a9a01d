"""What becomes of the messages of one visitor."""

from __future__ import annotations

import json
import math
import secrets
from typing import TYPE_CHECKING, Any

from ..frames import Close
from .frames import FrameRecord
from .limits import MAX_IMAGE, MAX_POST, MAX_TEXT, Allowance
from .pictures import kind_of
from .posts import FORMATS

if TYPE_CHECKING:
    import asyncio

    from ..aio.websocket import WebSocket
    from .room import Room

__all__ = ["Refusal", "Visitor", "as_json"]


def as_json(told: object) -> str:
    """A message of the server."""
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


class Refusal(Exception):
    """What a visitor sent is not taken, and why."""


class Visitor:
    """A page that takes part.

    Attributes:
        number: of this visitor, never given twice.
        name: what the others see.
        token: whoever has it may see this visitor's frames: the page itself.
        position: of the pointer, 0 to 1 from left and from top; None before it has moved.
        record: of the frames that pass.
        timers: of what this visitor is to be told yet.
    """

    def __init__(self, socket: WebSocket, room: Room, number: int, name: str) -> None:
        self.socket = socket
        self.number = number
        self.name = name
        self.token = secrets.token_urlsafe(16)
        self.position: tuple[float, float] | None = None
        self.record = FrameRecord()
        self.timers: list[asyncio.TimerHandle] = []
        self._room = room
        self._posts = Allowance(10, 1.0)
        self._pictures = Allowance(4, 3.0)

    def tell(self, told: object) -> None:
        """Send this visitor a message, as long as there is a connection."""
        self.socket.offer(as_json(told))

    def receive(self, message: str | bytes) -> None:
        """Do what a message asks for; who sends nonsense is told so."""
        try:
            if isinstance(message, bytes):
                self._show_picture(message)
            else:
                self._obey(_parsed(message))
        except Refusal as refusal:
            self.tell({"type": "refused", "why": str(refusal)})

    def _obey(self, asked: dict[str, Any]) -> None:
        kind = asked.get("type")
        if kind == "update":
            self._update(asked)
        elif kind == "post":
            self._post(asked)
        elif kind == "picture":
            self._spend(self._pictures)
            self._room.show_painting(self)
        elif kind == "close":
            self._close(asked)
        else:
            raise Refusal("this server knows no message of that type")

    def _update(self, asked: dict[str, Any]) -> None:
        number = asked.get("n")
        if type(number) is not int or not 0 <= number < 2**53:
            raise Refusal("an update needs its number n")
        position = _share(asked.get("x")), _share(asked.get("y"))
        if position != self.position:
            self.position = position
            self._room.moved = True
        # Answered at once: the page takes the time of the round trip.
        self.tell({"type": "echo", "n": number})

    def _post(self, asked: dict[str, Any]) -> None:
        form, text = asked.get("format"), asked.get("text")
        if form not in FORMATS or not isinstance(text, str):
            raise Refusal(f"a post has a text, and a format of {', '.join(FORMATS)}")
        if len(text) > MAX_POST:
            raise Refusal(f"a post has {MAX_POST} characters at most")
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half of an emoji, say, that was cut in two.
            raise Refusal("a post is text, and no surrogate by itself is") from None
        self._spend(self._posts)
        self._room.push({"type": "post", "from": self.name, "format": form, "text": text})

    def _show_picture(self, data: bytes) -> None:
        kind = kind_of(data)
        if kind is None:
            raise Refusal("a binary message is a picture: PNG, JPEG, GIF, WebP or AVIF")
        if len(data) > MAX_IMAGE:
            raise Refusal(f"a picture has {MAX_IMAGE} bytes at most")
        self._spend(self._pictures)
        self._room.push_picture(self.name, kind, data)

    def _close(self, asked: dict[str, Any]) -> None:
        code, reason = asked.get("code"), asked.get("reason")
        if type(code) is not int or not isinstance(reason, str):
            raise Refusal("closing takes a code and a reason")
        try:
            Close(code, reason).serialize()  # for its checks
        except ValueError as error:
            raise Refusal(str(error)) from None
        self.socket.close(code, reason)

    def _spend(self, allowance: Allowance) -> None:
        if not allowance.take():
            raise Refusal("that is more than this server passes on; wait a moment")


def _parsed(message: str) -> dict[str, Any]:
    if len(message) > MAX_TEXT:
        raise Refusal(f"a text message has {MAX_TEXT} characters at most")
    try:
        asked = json.loads(message)
    except (ValueError, RecursionError):
        raise Refusal("a text message is JSON") from None
    if not isinstance(asked, dict):
        raise Refusal("a text message is a JSON object")
    return asked


def _share(value: object) -> float:
    # NaN is not equal to itself.
    if not isinstance(value, (int, float)) or value != value or value in (math.inf, -math.inf):
        raise Refusal("an update needs a position, x and y from 0 to 1")
    return round(float(min(max(value, 0.0), 1.0)), 4)
