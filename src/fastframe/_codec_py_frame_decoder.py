"""The frame decoder of the pure half."""

from __future__ import annotations

from . import _mistakes
from ._codec_py_header import OPCODES, expectation, read_header, received_bytes
from ._codec_py_kernels import masked
from .errors import ProtocolError
from .frames import DEFAULT_MAX_MESSAGE_SIZE, Frame, Role

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import final

    from typing_extensions import Buffer
else:
    from ._records import final

__all__ = ["FrameDecoder"]


@final
class FrameDecoder:
    """Bytes in, frames out, however the bytes were cut.

    It judges each frame by itself (RFC 6455 section 5.2); whether they make
    up messages is for `MessageDecoder`. It belongs to one thread at a time.

    Args:
        role: which end of the connection we are; it decides what must be masked.
        max_frame_size: bytes in a payload at most, None for no limit.
        rsv1: an extension defines this bit, so frames may have it set.
        rsv2: likewise.
        rsv3: likewise.

    Raises:
        TypeError: `role` is not a `Role`.
        ValueError: a negative limit.
    """

    __slots__ = ("_busy", "_error", "_expected", "_held", "_wanted")

    def __init__(
        self,
        role: Role,
        *,
        max_frame_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
        rsv1: bool = False,
        rsv2: bool = False,
        rsv3: bool = False,
    ) -> None:
        allowed_bits = bool(rsv1) << 2 | bool(rsv2) << 1 | bool(rsv3)
        self._expected = expectation(role, max_frame_size, allowed_bits)
        self._error: BaseException | None = None
        self._busy = False
        # An unfinished frame as it came, and its size once that is known.
        self._held = bytearray()
        self._wanted = 0

    @property
    def error(self) -> BaseException | None:
        """What ended the decoding, if something did: a violation, an interrupt, no memory."""
        return self._error

    @property
    def retained(self) -> int:
        """Bytes held of an unfinished frame, header and payload."""
        return len(self._held)

    def receive(self, data: Buffer, size: int | None = None) -> list[Frame]:
        """Decode the next bytes of the stream.

        Args:
            data: the bytes; the caller may change them afterwards.
            size: how many of them count, all if None.

        Returns:
            The frames that are complete now, oldest first.

        Raises:
            ProtocolError: the peer broke RFC 6455; `decoded` has the frames
                before that. Every later call raises the same exception.
            ValueError: `size` is not in 0 to the bytes in `data`.
            TypeError: `data` has no buffer.
        """
        ended_by = self._error
        if ended_by is not None:
            if isinstance(ended_by, ProtocolError):
                ended_by.decoded = []
            raise ended_by.with_traceback(None)
        if self._busy:
            raise _mistakes.reentered()
        received = received_bytes(data, size)
        frames: list[Frame] = []
        self._busy = True
        try:
            self._decode(received, frames)
        except BaseException as error:
            # An interrupt too, and the end of memory: what came after the place where it struck is lost.
            self._error = error
            self._held = bytearray()
            if isinstance(error, ProtocolError):
                error.decoded = [*frames]
            raise
        finally:
            self._busy = False
        return frames

    def _decode(self, data: bytes, frames: list[Frame]) -> None:
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held = bytearray()
        position, end = 0, len(data)
        self._wanted = 0
        while position < end:
            header = read_header(data, position, self._expected)
            if header is None:
                break
            first, length, masking_key, start = header
            stop = start + length
            if stop > end:
                self._wanted = stop - position
                break
            payload = data[start:stop]
            if masking_key is not None:
                payload = masked(payload, masking_key)
            fin, rsv1, rsv2, rsv3 = first > 0x7F, first & 0x40 > 0, first & 0x20 > 0, first & 0x10 > 0
            frames.append(Frame(OPCODES[first & 0x0F], payload, fin, rsv1, rsv2, rsv3))
            position = stop
        self._held += data[position:]
