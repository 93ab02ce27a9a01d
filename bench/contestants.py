"""Who takes part in which operation: the registry that the command and the suites read.

Nothing is defined twice: how a contestant is called is in calls.py and calls_frames.py,
once, and the cases (inputs, expected results, goals) are in the modules cases_*.py.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from . import calls, calls_frames
from .calls import MaskInput, load
from .calls_frames import DecodeInput, EncodeInput
from .timing import Runner, Snippet

Input = TypeVar("Input")

OURS = "fastframe"
OURS_PURE = "fastframe pure"
COPY = "copy"
EMPTY_CALL = "empty C call"


class Kind(enum.Enum):
    """What a contestant stands for."""

    OURS = "fastframe, compiled"
    OURS_PURE = "fastframe, pure Python"
    PEER = "peer"
    PEER_PURE = "peer, pure Python"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Contestant(Generic[Input]):
    """One way to do one operation.

    Attributes:
        name: unique in its operation.
        build: makes what is timed for one input, or raises `calls.Unavailable`.
        distribution: whose version is reported.
        largest: bytes of input above which it is left out, with a remark, since one pass takes too long.
        in_process: whether it runs in this process, so that pytest-benchmark can time it.
    """

    name: str
    kind: Kind
    build: Callable[[Input], Runner | Snippet]
    distribution: str | None = None
    largest: int | None = None
    in_process: bool = True


def _peer(
    name: str, build: Callable[[Any], Runner | Snippet], distribution: str | None = None
) -> Contestant[Any]:
    return Contestant(name, Kind.PEER, build, distribution or name)


def _pure_peer(
    name: str, build: Callable[[Any], Runner | Snippet], distribution: str, largest: int | None = None
) -> Contestant[Any]:
    return Contestant(name, Kind.PEER_PURE, build, distribution, largest)


def _halves(build: Callable[[str], Callable[[Any], Snippet]]) -> tuple[Contestant[Any], Contestant[Any]]:
    return (
        Contestant(OURS, Kind.OURS, build("_codec_c")),
        Contestant(OURS_PURE, Kind.OURS_PURE, build("_codec_py")),
    )


def _yardsticks(
    copy: Callable[[Any], Snippet], empty: Callable[[Any], Snippet]
) -> tuple[Contestant[Any], Contestant[Any]]:
    return Contestant(COPY, Kind.REFERENCE, copy), Contestant(EMPTY_CALL, Kind.REFERENCE, empty)


_BYTE_BY_BYTE = 64 * 1024
"""Largest input, in bytes, of contestants that loop over bytes in Python."""

_MASK_YARDSTICKS = _yardsticks(
    lambda case: calls.copy_of(case.data), lambda case: calls.empty_call(case.data)
)

MASK: tuple[Contestant[MaskInput], ...] = (
    *_halves(calls.mask_ours),
    _peer("websockets", calls.mask_websockets("websockets.speedups")),
    _peer("tornado", calls.mask_tornado("tornado.speedups", "websocket_mask")),
    _peer("wsaccel", calls.mask_object("wsaccel", "wsaccel.xormask")),
    _peer("autobahn NVX", calls.mask_autobahn(pure=False), "autobahn"),
    _peer("websocket-client", calls.mask_websocket_client(pure=False)),
    _peer("picows", calls.lacks("exposes no masking function")),
    _pure_peer("wsproto", calls.mask_object("wsproto", "wsproto.frame_protocol"), "wsproto"),
    _pure_peer("websockets pure", calls.mask_websockets("websockets.utils"), "websockets"),
    _pure_peer("websocket-client pure", calls.mask_websocket_client(pure=True), "websocket-client"),
    _pure_peer(
        "tornado pure", calls.mask_tornado("tornado.util", "_websocket_mask_python"), "tornado", _BYTE_BY_BYTE
    ),
    _pure_peer("autobahn pure", calls.mask_autobahn(pure=True), "autobahn", _BYTE_BY_BYTE),
    *_MASK_YARDSTICKS,
)

MASK_INPLACE: tuple[Contestant[MaskInput], ...] = (
    *_halves(calls.inplace_ours),
    _peer("aiohttp", calls.inplace_aiohttp("aiohttp._websocket.mask", "_websocket_mask_cython")),
    _pure_peer(
        "aiohttp pure",
        calls.inplace_aiohttp("aiohttp._websocket.helpers", "_websocket_mask_python"),
        "aiohttp",
    ),
    *_MASK_YARDSTICKS,
)

UTF8_RESUMABLE = "fastframe resumable"
SIMDUTF = "simdutf (node)"


def _validator_of(half: str) -> Callable[[bytes], Snippet]:
    return calls.utf8_validator(lambda: calls.ours(half).Utf8Validator)


UTF8: tuple[Contestant[bytes], ...] = (
    *_halves(calls.utf8_whole),
    Contestant(UTF8_RESUMABLE, Kind.OURS, _validator_of("_codec_c")),
    Contestant("fastframe pure resumable", Kind.OURS_PURE, _validator_of("_codec_py")),
    _peer("wsaccel", calls.utf8_validator(lambda: load("wsaccel", "wsaccel.utf8validator", "Utf8Validator"))),
    _peer("autobahn NVX", calls.utf8_validator(calls.nvx_validator), "autobahn"),
    Contestant("bytes.decode", Kind.PEER, calls.utf8_decode),
    Contestant(SIMDUTF, Kind.REFERENCE, calls.utf8_node, in_process=False),
    *_yardsticks(calls.copy_of, calls.empty_call),
)

DECODE: tuple[Contestant[DecodeInput], ...] = (
    *_halves(calls_frames.decode_ours),
    _peer("aiohttp", calls_frames.decode_aiohttp("aiohttp._websocket.reader_c")),
    _peer(
        "aiohttp, left queued", calls_frames.decode_aiohttp_queued("aiohttp._websocket.reader_c"), "aiohttp"
    ),
    _peer("websockets", calls_frames.decode_websockets),
    _peer("wsproto", calls_frames.decode_wsproto),
    _peer("picows", calls.lacks("exposes no decoder without a transport")),
    *_yardsticks(calls_frames.decode_copy, calls_frames.decode_empty_call),
)

BINARY_PATH = "as binary"
BINARY_AND_DECODE = "as binary + decode"

TEXT: tuple[Contestant[DecodeInput], ...] = (
    *_halves(calls_frames.decode_ours),
    Contestant(BINARY_PATH, Kind.REFERENCE, calls_frames.decode_ours_as_binary(decode=False)),
    Contestant(BINARY_AND_DECODE, Kind.REFERENCE, calls_frames.decode_ours_as_binary(decode=True)),
    _peer("aiohttp", calls_frames.decode_aiohttp("aiohttp._websocket.reader_c")),
    _peer("wsproto", calls_frames.decode_wsproto),
    *_yardsticks(calls_frames.decode_copy, calls_frames.decode_empty_call),
)

ENCODE: tuple[Contestant[EncodeInput], ...] = (
    *_halves(calls_frames.encode_ours),
    _peer("aiohttp", calls_frames.encode_aiohttp),
    _peer("websockets", calls_frames.encode_websockets),
    _peer("wsproto", calls_frames.encode_wsproto),
    _peer("picows", calls.lacks("exposes no encoder without a transport")),
    *_yardsticks(calls_frames.encode_copy, calls_frames.encode_empty_call),
)

HEADER: tuple[Contestant[bytes], ...] = _halves(calls_frames.header_parse)
"""In no figure of its own, and no peer has a function for it; the suite alone measures it."""
