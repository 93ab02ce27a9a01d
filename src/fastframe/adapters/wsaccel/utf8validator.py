"""``wsaccel.utf8validator``: our validator has the same interface."""

from ...codec import Utf8Validator

__all__ = ["Utf8Validator"]
