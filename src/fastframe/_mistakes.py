"""Every mistake a caller of the codec can make, worded once for both halves.

Each function builds (and does not raise) the exception; what the peer does
wrong is in `_violations`.
"""

from __future__ import annotations


def wrong_key_length(name: str, length: int) -> ValueError:
    return ValueError(f"{name} must be 4 bytes, got {length}")


def not_writable() -> TypeError:
    return TypeError("buffer must be writable and contiguous")


def negative(name: str, value: int) -> ValueError:
    return ValueError(f"{name} must not be negative, got {value}")


def not_whole(name: str, value: object) -> TypeError:
    return TypeError(f"{name} must be a whole number or None, got {value!r}")


def not_positive(name: str, value: int) -> ValueError:
    return ValueError(f"{name} must be positive, got {value}")


def not_a_byte(value: int) -> ValueError:
    return ValueError(f"byte must be in 0..255, got {value}")


def size_out_of_range(size: int, available: int) -> ValueError:
    return ValueError(f"size must be in 0..{available}, got {size}")


def no_buffer_handed_out() -> ValueError:
    return ValueError("received() without get_buffer()")


def not_a_role(role: object) -> TypeError:
    return TypeError(f"role must be Role.CLIENT or Role.SERVER, got {role!r}")


def unknown_opcode(opcode: int) -> ValueError:
    return ValueError(f"opcode {int(opcode)} is not one of RFC 6455")


def fragmented_control_frame() -> ValueError:
    return ValueError("a control frame cannot be fragmented")


def control_payload_too_long(length: int) -> ValueError:
    return ValueError(f"a control frame's payload has at most 125 bytes, got {length}")


def payload_length_out_of_range(length: int) -> ValueError:
    return ValueError(f"payload_length must be in 0..2**63-1, got {length}")


def str_payload(opcode: int) -> TypeError:
    return TypeError(f"str payload in a frame of opcode 0x{int(opcode):X}: bytes wanted")


def reentered() -> RuntimeError:
    return RuntimeError(
        "the decoder is receiving already; it belongs to one thread and is not to be called back"
    )


def inflate_returned(result: object) -> TypeError:
    return TypeError(f"inflate must return bytes, got {type(result).__name__}")
