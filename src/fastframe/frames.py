"""The words of RFC 6455 as Python values; every constant of the wire lives here, once."""

from __future__ import annotations

import enum

from . import _violations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import NamedTuple
else:
    from ._records import NamedTuple, dataclass

__all__ = [
    "DEFAULT_MAX_FRAGMENTS",
    "DEFAULT_MAX_MESSAGE_SIZE",
    "MAX_CONTROL_PAYLOAD",
    "MAX_HEADER_SIZE",
    "MAX_PAYLOAD_LENGTH",
    "Close",
    "CloseCode",
    "Frame",
    "FrameHeader",
    "Opcode",
    "Ping",
    "Pong",
    "Role",
]

MAX_CONTROL_PAYLOAD = 125
"""Bytes in the payload of a control frame at most (RFC 6455 section 5.5)."""

MAX_HEADER_SIZE = 14
"""Bytes in a frame header at most: 2, 8 of length, 4 of masking key."""

MAX_PAYLOAD_LENGTH = 2**63 - 1
"""Bytes in a frame's payload at most: the top bit is zero (RFC 6455 section 5.2)."""

DEFAULT_MAX_MESSAGE_SIZE = 1024 * 1024
"""Bytes in a message at most, unless the caller says otherwise."""

DEFAULT_MAX_FRAGMENTS = 4096
"""Frames in a message at most, empty ones too, unless the caller says otherwise."""


class Opcode(enum.IntEnum):
    """The opcodes of RFC 6455 section 5.2."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Role(enum.Enum):
    """Which end of the connection we are: clients mask, servers do not (RFC 6455 section 5.1)."""

    CLIENT = "client"
    SERVER = "server"

    # There is one of each, and the name's hash, which is that of `Enum`, is a function in Python.
    __hash__ = object.__hash__


class CloseCode(enum.IntEnum):
    """Close codes by their names in IANA's WebSocket Close Code Number Registry."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


# RFC 6455 section 7.4.1: these three are for the API and "MUST NOT be set as
# a status code in a Close control frame by an endpoint".
_NEVER_ON_THE_WIRE = frozenset(
    {
        CloseCode.NO_STATUS_RECEIVED,
        CloseCode.ABNORMAL_CLOSURE,
        CloseCode.TLS_HANDSHAKE,
    }
)
_REGISTERED = frozenset(CloseCode) - _NEVER_ON_THE_WIRE


def _may_be_sent(close_code: int) -> bool:
    # RFC 6455 section 7.4.2: 3000-3999 are registered by libraries and
    # applications, 4000-4999 are for private use.
    return 3000 <= close_code <= 4999 or close_code in _REGISTERED


class FrameHeader(NamedTuple):
    """A frame's header (RFC 6455 section 5.2)."""

    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    opcode: Opcode
    masking_key: bytes | None
    """4 bytes, or None for an unmasked frame."""
    payload_length: int
    """Bytes of payload that follow the header."""
    header_length: int
    """Bytes of the header itself, 2 to 14."""

    @property
    def masked(self) -> bool:
        """Whether the payload is masked."""
        return self.masking_key is not None


class Frame(NamedTuple):
    """One frame, its payload unmasked."""

    opcode: Opcode
    payload: bytes = b""
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping; it is to be answered by a pong with the same payload (RFC 6455 section 5.5.2)."""

    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong, asked for or not (RFC 6455 section 5.5.3)."""

    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Close:
    """A close frame (RFC 6455 section 5.5.1).

    Attributes:
        close_code: the status code, or None for a close frame without one.
        close_reason: text of at most 123 bytes in UTF-8.
    """

    close_code: int | None = None
    close_reason: str = ""

    @classmethod
    def parse(cls, payload: bytes) -> Close:
        """Read the payload of a close frame.

        Args:
            payload: 0 to 125 bytes, unmasked.

        Raises:
            ProtocolError: one byte alone, or a close code that no endpoint may send.
            InvalidUtf8: the reason is not UTF-8.
        """
        plain = _PLAIN.get(bytes(payload))
        if plain is not None:
            return plain
        if len(payload) == 1:
            raise _violations.truncated_close_code(payload)
        close_code = int.from_bytes(payload[:2], "big")
        if not _may_be_sent(close_code):
            raise _violations.forbidden_close_code(close_code)
        try:
            close_reason = payload[2:].decode()
        except UnicodeDecodeError as error:
            raise _violations.close_reason_not_utf8(error) from None
        return cls(close_code, close_reason)

    def serialize(self) -> bytes:
        """Write the payload of a close frame.

        Returns:
            0 to 125 bytes, not masked.

        Raises:
            TypeError: a code that is no int, or a reason that is no str.
            ValueError: a code that may not be sent, a reason without a code,
                or one longer than 123 bytes in UTF-8.
        """
        # A float may be equal to a code, and have its hash.
        if not (self.close_code is None or isinstance(self.close_code, int)):
            raise TypeError(f"close_code must be an int or None, got {self.close_code!r}")
        if not isinstance(self.close_reason, str):
            raise TypeError(f"close_reason must be a str, got {self.close_reason!r}")
        if not self.close_reason and self.close_code in _PLAIN_PAYLOADS:
            return _PLAIN_PAYLOADS[self.close_code]
        if self.close_code is None:
            raise ValueError("close_reason needs a close_code: RFC 6455 5.5.1 puts the code first")
        if not _may_be_sent(self.close_code):
            raise ValueError(f"close_code {self.close_code} may not be sent (RFC 6455 7.4)")
        reason = self.close_reason.encode()
        if len(reason) > MAX_CONTROL_PAYLOAD - 2:
            raise ValueError(
                f"close_reason has {len(reason)} bytes in UTF-8, at most {MAX_CONTROL_PAYLOAD - 2} fit"
            )
        return self.close_code.to_bytes(2, "big") + reason


# Those without a reason: most connections end with one, and nobody can change it.
_PLAIN = {b"": Close()} | {code.to_bytes(2, "big"): Close(int(code)) for code in _REGISTERED}
_PLAIN_PAYLOADS = {close.close_code: payload for payload, close in _PLAIN.items()}
