"""Frames by the letter of RFC 6455 section 5.2, for inputs and for checking outputs.

Neither fastframe nor a peer makes what all of them are measured with.
"""

from __future__ import annotations

import sys

TEXT, BINARY = 1, 2


def xor(data: bytes, key: bytes) -> bytes:
    """Mask `data` with a key of 4 bytes (RFC 6455 section 5.3)."""
    size = len(data)
    keys = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, sys.byteorder) ^ int.from_bytes(keys, sys.byteorder)
    return masked.to_bytes(size, sys.byteorder)


def header(opcode: int, length: int, *, masked: bool) -> bytes:
    """Return the first 2 to 10 bytes of an unfragmented frame."""
    mask_bit = 0x80 if masked else 0
    if length < 126:
        return bytes((0x80 | opcode, mask_bit | length))
    if length < 1 << 16:
        return bytes((0x80 | opcode, mask_bit | 126)) + length.to_bytes(2, "big")
    return bytes((0x80 | opcode, mask_bit | 127)) + length.to_bytes(8, "big")


def client_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """Return a masked frame."""
    return header(opcode, len(payload), masked=True) + key + xor(payload, key)


def binary_payloads(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """Take unfragmented binary frames apart.

    Returns:
        The payloads, unmasked, and the masking keys (of masked frames only).

    Raises:
        ValueError: a frame of another kind, or one that is cut short.
    """
    payloads: list[bytes] = []
    keys: list[bytes] = []
    at = 0
    while at < len(data):
        first, second = data[at : at + 2]
        if first != 0x80 | BINARY:
            raise ValueError(f"first byte 0x{first:02X} at {at}: not an unfragmented binary frame")
        at += 2
        length = second & 0x7F
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        key = data[at : at + 4] if second & 0x80 else b""
        at += len(key)
        payload = data[at : at + length]
        if len(payload) != length:
            raise ValueError(f"{len(payload)} of {length} bytes of payload at {at}")
        at += length
        payloads.append(xor(payload, key) if key else payload)
        if key:
            keys.append(key)
    return payloads, keys
