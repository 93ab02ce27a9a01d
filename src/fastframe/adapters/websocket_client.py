"""websocket-client: masking, validation, and the frames that it sends.

Reading stays as it is: it takes from the socket what the next frame needs and
no more, so that who waits for the socket never waits for bytes that were read
already.
"""

from __future__ import annotations

import os
from typing import Any

from ..codec import Utf8Validator, apply_mask, encode_frame
from ._guard import Depth, Known, Library, Replacement

__all__ = ["LIBRARY"]

_PIECE = 16384


def _mask(_: Any) -> Any:
    def mask(mask_value: Any, data_value: Any) -> bytes:
        return apply_mask(data_value, mask_value)

    return mask


def _validate_utf8(_: Any) -> Any:
    def validate_utf8(utfbytes: Any) -> bool:
        # A code point that is cut off at the end is none of its business.
        return Utf8Validator().validate(utfbytes)[0]

    return validate_utf8


def _format(original: Any) -> Any:
    def format_frame(self: Any) -> bytes:
        if (
            (self.opcode == 1 or self.opcode == 2)
            and type(self.data) is bytes
            and self.mask_value == 1
            and self.get_mask_key is os.urandom
            and (self.fin == 0 or self.fin == 1)
            and self.rsv1 == self.rsv2 == self.rsv3 == 0
        ):
            return encode_frame(self.opcode, self.data, fin=self.fin, masking_key=os.urandom(4))
        return original(self)  # type: ignore[no-any-return]

    return format_frame


def _recv_strict(original: Any) -> Any:
    def recv_strict(self: Any, bufsize: int) -> bytes:
        if type(bufsize) is int and 0 < bufsize <= _PIECE and not self.recv_buffer:
            received = self.recv(bufsize)
            if type(received) is bytes:
                if len(received) == bufsize:
                    return received
                self.recv_buffer.append(received)
            else:
                # As it takes what is no bytes: for nothing.
                self.recv_buffer = [b""]
                return b""
        return original(self, bufsize)  # type: ignore[no-any-return]

    return recv_strict


LIBRARY = Library(
    distribution="websocket-client",
    tested=("1.9.0", "1.9.2"),
    depths={
        "mask": Depth(
            replaces=(Replacement("websocket._abnf:_mask", ("28c587c46d5bc696", "78957569baebee8e"), _mask),)
        ),
        "utf8": Depth(
            replaces=(
                Replacement(
                    "websocket._utils:_validate_utf8",
                    ("40d8204c597c235e", "13c2c0a8b88f91b1"),
                    _validate_utf8,
                ),
            ),
            relies_on=(Known("websocket._utils:validate_utf8", ("b109683ed58f2590", "cfaeeeed68e97c22")),),
        ),
        "frame": Depth(
            replaces=(
                Replacement("websocket._abnf:ABNF.format", ("560972e774af763d",), _format),
                Replacement("websocket._abnf:frame_buffer.recv_strict", ("592fa5d7784cc6e1",), _recv_strict),
            ),
            relies_on=(
                Known("websocket._abnf:ABNF.__init__", ("c0f8cd9d8b9a5749",)),
                Known("websocket._abnf:ABNF.mask", ("3a1af1f21a921c38",)),
                Known("websocket._abnf:ABNF._get_masked", ("dc24a0e5aa37e158",)),
                Known("websocket._abnf:frame_buffer.recv_frame", ("7bad133b0879c2e2", "6aac3ff3a13acac8")),
            ),
        ),
    },
)
