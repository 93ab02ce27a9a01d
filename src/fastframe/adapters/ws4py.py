"""ws4py: masking and validation, which are nearly all that it does."""

from __future__ import annotations

from typing import Any

from ..codec import Utf8Validator, apply_mask_inplace
from ._guard import Depth, Known, Library, Replacement

__all__ = ["LIBRARY"]


def _mask(original: Any) -> Any:
    def mask(self: Any, data: Any) -> bytearray:
        key = self.masking_key
        if isinstance(data, (bytes, bytearray)) and isinstance(key, (bytes, bytearray)) and len(key) >= 4:
            masked = bytearray(data)
            # It takes longer ones too, and uses no more of them.
            apply_mask_inplace(masked, key[:4])
            return masked
        return original(self, data)  # type: ignore[no-any-return]

    return mask


class _Validator:
    """ws4py's interface and its way to count: the index of the last byte, where others have the end."""

    UTF8_ACCEPT = Utf8Validator.UTF8_ACCEPT
    UTF8_REJECT = Utf8Validator.UTF8_REJECT

    def __init__(self) -> None:
        self.reset()

    @property
    def state(self) -> int:
        """Of the validator underneath."""
        return self._validator.state

    @property
    def codepoint(self) -> int:
        """Of the validator underneath."""
        return self._validator.codepoint

    def decode(self, b: int) -> int:
        """Feed one byte."""
        return self._validator.decode(b)

    def reset(self) -> None:
        """Start a new text."""
        self._validator = Utf8Validator()
        self.i = 0

    def validate(self, ba: bytes | bytearray) -> tuple[bool, bool, int, int]:
        """Validate the next chunk."""
        valid, ends_on_code_point, index, _ = self._validator.validate(ba)
        if valid and index:
            index -= 1
        self.i += index
        return valid, ends_on_code_point, index, self.i


def _utf8(_: Any) -> Any:
    return _Validator


LIBRARY = Library(
    distribution="ws4py",
    tested=("0.6.0", "0.6.0"),
    depths={
        "mask": Depth(
            replaces=(
                Replacement("ws4py.framing:Frame.mask", ("82022178c67875ac",), _mask),
                Replacement("ws4py.framing:Frame.unmask", ("82022178c67875ac",), _mask),
            ),
        ),
        "utf8": Depth(
            replaces=(Replacement("ws4py.streaming:Utf8Validator", ("882de378aff0e41e",), _utf8),),
            relies_on=(Known("ws4py.streaming:Stream.receiver", ("b0da2cdbd5b076be",)),),
        ),
    },
)
