"""Types of the compiled half; `_codec_py` has the same names, and what they do is documented in both."""

from collections.abc import Callable
from typing import ClassVar, Final, TypeAlias, final

from typing_extensions import Buffer

from .frames import Close, Frame, FrameHeader, Ping, Pong, Role
from .recorder import RecordedFrame

Item: TypeAlias = str | bytes | Ping | Pong | Close
Inflate: TypeAlias = Callable[[bytes, int | None], bytes]

KERNEL: Final[str]
KERNELS: Final[tuple[str, ...]]

def apply_mask(data: Buffer, mask: Buffer) -> bytes: ...
def apply_mask_inplace(buffer: Buffer, mask: Buffer, offset: int = 0) -> None: ...
def is_valid_utf8(data: Buffer, /) -> bool: ...
def parse_header(data: Buffer, offset: int = 0) -> FrameHeader | None: ...
def encode_header(
    opcode: int,
    payload_length: int,
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv2: bool = False,
    rsv3: bool = False,
    masking_key: Buffer | None = None,
) -> bytes: ...
def encode_frame(
    opcode: int,
    payload: Buffer | str = b"",
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv2: bool = False,
    rsv3: bool = False,
    masking_key: Buffer | None = None,
) -> bytes: ...

@final
class Masker:
    def __init__(self, masking_key: Buffer) -> None: ...
    @property
    def offset(self) -> int: ...
    def process(self, data: Buffer) -> bytes: ...

@final
class Utf8Validator:
    UTF8_ACCEPT: ClassVar[int]
    UTF8_REJECT: ClassVar[int]
    def __init__(self) -> None: ...
    @property
    def state(self) -> int: ...
    @property
    def codepoint(self) -> int: ...
    @property
    def i(self) -> int: ...
    def validate(self, data: Buffer, /) -> tuple[bool, bool, int, int]: ...
    def decode(self, byte: int, /) -> int: ...
    def reset(self) -> None: ...

@final
class FrameDecoder:
    def __init__(
        self,
        role: Role,
        *,
        max_frame_size: int | None = ...,
        rsv1: bool = False,
        rsv2: bool = False,
        rsv3: bool = False,
    ) -> None: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def retained(self) -> int: ...
    def receive(self, data: Buffer, size: int | None = None) -> list[Frame]: ...

@final
class MessageDecoder:
    def __init__(
        self,
        role: Role,
        *,
        max_message_size: int | None = ...,
        max_frame_size: int | None = None,
        max_fragments: int | None = ...,
        text_as_bytes: bool = False,
        inflate: Inflate | None = None,
    ) -> None: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def close(self) -> Close | None: ...
    @property
    def control_frames(self) -> int: ...
    @property
    def last_frames(self) -> tuple[RecordedFrame, ...]: ...
    @property
    def retained(self) -> int: ...
    def receive(self, data: Buffer, size: int | None = None) -> list[Item]: ...
    def get_buffer(self, minimum: int = 1) -> memoryview | None: ...
    def received(self, size: int) -> list[Item]: ...
    def take_chunk(self) -> str | bytes | None: ...

@final
class FrameEncoder:
    def __init__(self, role: Role) -> None: ...
    def __len__(self) -> int: ...
    def append(
        self,
        opcode: int,
        payload: Buffer | str = b"",
        fin: bool = True,
        rsv1: bool = False,
        rsv2: bool = False,
        rsv3: bool = False,
    ) -> None: ...
    def append_message(self, message: Buffer | str) -> int: ...
    def append_encoded(self, data: Buffer) -> None: ...
    def take(self) -> bytes: ...
