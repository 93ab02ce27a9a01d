"""What websockets' tests import as ``tests.extensions.utils``; written by what they ask of it."""

from __future__ import annotations

import dataclasses
from typing import Any

from websockets.exceptions import NegotiationError
from websockets.extensions.base import ClientExtensionFactory, Extension, ServerExtensionFactory

Params = list[tuple[str, str | None]]


@dataclasses.dataclass
class OpExtension(Extension):  # type: ignore[misc]
    """It changes nothing, and has a parameter."""

    op: str | None = None
    name = "x-op"

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        return frame

    def encode(self, frame: Any) -> Any:
        return frame


@dataclasses.dataclass
class Rsv2Extension(Extension):  # type: ignore[misc]
    """It sets RSV2 in every frame, and wants it set in each."""

    name = "x-rsv2"

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        assert frame.rsv2
        return dataclasses.replace(frame, rsv2=False)

    def encode(self, frame: Any) -> Any:
        assert not frame.rsv2
        return dataclasses.replace(frame, rsv2=True)


class _Op:
    """Agrees to the one value of the parameter."""

    name = "x-op"

    def __init__(self, op: str | None = None) -> None:
        self.op = op

    def agree(self, params: Params) -> OpExtension:
        if params != [("op", self.op)]:
            raise NegotiationError(f"{params} is not {self.op}")
        return OpExtension(self.op)


class ClientOpExtensionFactory(_Op, ClientExtensionFactory):  # type: ignore[misc]
    def get_request_params(self) -> Params:
        return [("op", self.op)]

    def process_response_params(self, params: Params, accepted: Any) -> OpExtension:
        return self.agree(params)


class ServerOpExtensionFactory(_Op, ServerExtensionFactory):  # type: ignore[misc]
    def process_request_params(self, params: Params, accepted: Any) -> tuple[Params, OpExtension]:
        return params, self.agree(params)


class ClientRsv2ExtensionFactory(ClientExtensionFactory):  # type: ignore[misc]
    name = "x-rsv2"

    def get_request_params(self) -> Params:
        return []

    def process_response_params(self, params: Params, accepted: Any) -> Rsv2Extension:
        return Rsv2Extension()


class ServerRsv2ExtensionFactory(ServerExtensionFactory):  # type: ignore[misc]
    name = "x-rsv2"

    def process_request_params(self, params: Params, accepted: Any) -> tuple[Params, Rsv2Extension]:
        return params, Rsv2Extension()
