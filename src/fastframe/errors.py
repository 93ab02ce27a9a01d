"""What fastframe raises.

::

    FastframeError
    └── ProtocolError      the peer broke RFC 6455            close code 1002
        ├── InvalidUtf8    a text message is not UTF-8        close code 1007
        └── MessageTooBig  a limit of ours was exceeded       close code 1009

All of them are the peer's fault. A mistake of the caller is a ``TypeError`` or
a ``ValueError``, raised at the call that makes it.
"""

from __future__ import annotations

__all__ = ["FastframeError", "InvalidUtf8", "MessageTooBig", "ProtocolError"]


class FastframeError(Exception):
    """Base class of every exception that this package defines."""


class ProtocolError(FastframeError):
    """The peer sent what RFC 6455 forbids.

    The connection has to be failed (RFC 6455 section 7.1.7) with `close_code`.

    Attributes:
        close_code: the status code to send in the close frame (RFC 6455
            section 7.4.1).
        decoded: what the call that raised had decoded before it met the
            violation, oldest first; nothing the peer sent before its mistake
            is lost.
    """

    close_code: int = 1002

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.decoded: list[object] = []


class InvalidUtf8(ProtocolError):
    """A text message or a close reason is not UTF-8 (RFC 6455 section 8.1)."""

    close_code = 1007


class MessageTooBig(ProtocolError):
    """A frame or message exceeds a limit that the receiver had set."""

    close_code = 1009
