"""autobahn: masking, validation, and messages of one frame; daphne and Channels ride on it.

A message goes past the frame and streaming hooks only if they are autobahn's
own: a class or an object that overrides one gets its calls as before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from ..codec import Utf8Validator, encode_frame, is_valid_utf8
from ..frames import Frame, Opcode, Role
from ._guard import Depth, Known, Library, Replacement
from ._messages import size_of, whole_messages
from .wsaccel.xormask import XorMaskerSimple

__all__ = ["LIBRARY"]

_HOOKS = (
    "fire",
    "onFrameBegin",
    "onFrameData",
    "onFrameEnd",
    "onMessageBegin",
    "onMessageEnd",
    "onMessageFrame",
    "onMessageFrameBegin",
    "onMessageFrameData",
    "onMessageFrameEnd",
)
"""What is called for every message or frame, and does nothing that can be seen unless it is overridden."""


def _mask(_: Any) -> Any:
    def create_xor_masker(mask: bytes, length: int | None = None) -> XorMaskerSimple:  # noqa: ARG001
        return XorMaskerSimple(mask)

    return create_xor_masker


def _utf8(_: Any) -> Any:
    return Utf8Validator


def _has_fast_path() -> Callable[[Any], bool]:
    """A function that tells whether a protocol is between messages, and nobody looks inside them."""
    from autobahn.websocket.protocol import WebSocketProtocol

    hooks_of, names = attrgetter(*_HOOKS), frozenset(_HOOKS)
    hooks = hooks_of(WebSocketProtocol)
    is_open = WebSocketProtocol.STATE_OPEN

    def has_fast_path(protocol: Any) -> bool:
        if (
            protocol.state != is_open
            or protocol.current_frame is not None
            or protocol.inside_message
            or protocol._perMessageCompress is not None
            or protocol._listeners is not None
            or protocol.failedByMe
            or protocol.trackedTimings
            or protocol.logFrames
            or not protocol.applyMask
        ):
            return False
        return bool(hooks_of(type(protocol)) == hooks) and vars(protocol).keys().isdisjoint(names)

    return has_fast_path


def _deliver(protocol: Any, frame: Frame) -> None:
    """What all the steps of a message come to."""
    size = len(frame.payload)
    is_binary = frame.opcode is Opcode.BINARY
    stats = protocol.trafficStats
    stats.incomingOctetsWebSocketLevel += size
    stats.incomingOctetsAppLevel += size
    stats.incomingWebSocketFrames += 1
    stats.incomingWebSocketMessages += 1
    if protocol.autoPingTimeoutCall and protocol.autoPingRestartOnAnyTraffic:
        protocol._cancelAutoPingTimeoutCall()
    protocol.message_is_binary = is_binary
    protocol._onMessage(frame.payload, is_binary)


def _process_data(original: Any) -> Any:
    has_fast_path = _has_fast_path()
    settings_of = attrgetter("maxMessagePayloadSize", "maxFramePayloadSize", "utf8validateIncoming")

    def process_data(self: Any) -> bool:
        data = self.data
        if len(data) < 2 or not has_fast_path(self):
            return original(self)  # type: ignore[no-any-return]
        role = Role.SERVER if self.factory.isServer else Role.CLIENT
        settings = settings_of(self)
        limits = [size for size in settings[:2] if size > 0]
        frames, used = whole_messages(data, role, max_size=min(limits, default=None))
        if settings[2]:
            for count, frame in enumerate(frames):
                if frame.opcode is Opcode.TEXT and not is_valid_utf8(frame.payload):
                    del frames[count:]
                    used = size_of(frames, role)
                    break
        if not frames:
            return original(self)  # type: ignore[no-any-return]
        self.data = data[used:]
        for count, frame in enumerate(frames, 1):
            _deliver(self, frame)
            if count < len(frames) and not (has_fast_path(self) and settings_of(self) == settings):
                # The application has said something that matters for those that follow.
                self.data = data[size_of(frames[:count], role) :]
                break
        return len(self.data) > 0

    return process_data


def _send_frame(original: Any) -> Any:
    def send_frame(
        self: Any,
        opcode: int,
        payload: bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        masks = self.maskServerFrames if self.factory.isServer else self.maskClientFrames
        if (
            not (opcode == 1 or opcode == 2)
            or type(payload) is not bytes
            or rsv & ~4
            or mask is not None
            or payload_len is not None
            or self.logFrames
            or not self.applyMask
        ):
            original(self, opcode, payload, fin, rsv, mask, payload_len, chopsize, sync)
            return
        self.trafficStats.outgoingWebSocketFrames += 1
        key = os.urandom(4) if masks else None
        self.sendData(encode_frame(opcode, payload, fin=fin, rsv1=rsv == 4, masking_key=key), sync, chopsize)

    return send_frame


_MODULE = "autobahn.websocket.protocol"
_PROTOCOL = "autobahn.websocket.protocol:WebSocketProtocol"

LIBRARY = Library(
    distribution="autobahn",
    tested=("26.7.1", "26.10.2"),
    depths={
        "mask": Depth(
            replaces=(
                Replacement(f"{_MODULE}:create_xor_masker", ("240d02cb93d1dbef", "6f5888b0d2d1fe33"), _mask),
            )
        ),
        "utf8": Depth(
            replaces=(
                Replacement(f"{_MODULE}:Utf8Validator", ("b5e7d7a2baf164a4", "d7bec4dc97f41938"), _utf8),
            )
        ),
        "frame": Depth(
            replaces=(
                Replacement(f"{_PROTOCOL}.processData", ("25b9c1387a46ab25",), _process_data),
                Replacement(f"{_PROTOCOL}.sendFrame", ("89cc8b024c413aa0",), _send_frame),
            ),
            relies_on=(
                Known("autobahn.util:ObservableMixin.fire", ("25429a670af93ea0",)),
                Known(f"{_PROTOCOL}.consumeData", ("aaa88196e762438f",)),
                Known(f"{_PROTOCOL}.onFrameBegin", ("9537027007767ae4",)),
                Known(f"{_PROTOCOL}.onFrameData", ("3b8d57e252644cd0", "b39b40e3d1702273")),
                Known(f"{_PROTOCOL}.onFrameEnd", ("d01f81c9c8c1bcce", "c45a45b9bf333417")),
                Known(f"{_PROTOCOL}.onMessageBegin", ("1c5cb3b3e3eb227b",)),
                Known(f"{_PROTOCOL}.onMessageEnd", ("efff2a43ca8540d0",)),
                Known(f"{_PROTOCOL}.onMessageFrame", ("f125b1f1668fa11c",)),
                Known(f"{_PROTOCOL}.onMessageFrameBegin", ("68c4eae4de95e1fb",)),
                Known(f"{_PROTOCOL}.onMessageFrameData", ("23e4805e8f059816",)),
                Known(f"{_PROTOCOL}.onMessageFrameEnd", ("00c94dd299eb55fc",)),
                Known(f"{_PROTOCOL}.sendData", ("5dcca425b048b07e",)),
            ),
        ),
    },
)
