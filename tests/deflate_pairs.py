"""Pairs of permessage-deflate codecs, the backends they compress with, and what to send through them.

Environment: FASTFRAME_DEFLATE=zlib tests zlib alone, for machines for which
the extra ``deflate`` has no wheels; otherwise its packages have to be there.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import strategies as st

from fastframe import _compressors
from fastframe.deflate import DeflateCodec, PerMessageDeflate
from fastframe.http_headers import Extension, parse_extensions

BACKENDS = ["zlib"] if os.environ.get("FASTFRAME_DEFLATE") == "zlib" else ["zlib", "zlib-ng", "isal"]
TAIL = b"\x00\x00\xff\xff"
HELLO = bytes.fromhex("f248cdc9c90700")
STATELESS = PerMessageDeflate(server_no_context_takeover=True, client_no_context_takeover=True)


@contextmanager
def compressing_with(name: str) -> Iterator[str]:
    """Let one backend compress, which must be installed."""
    try:
        new_compressor = _compressors.BACKENDS[name]()
    except ImportError as error:
        pytest.fail(f"{error}: install fastframe[deflate], or set FASTFRAME_DEFLATE=zlib to test zlib alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_compressors, "new_compressor", new_compressor)
        yield name


def parsed(element: str) -> Extension:
    [extension] = parse_extensions(element)
    return extension


def accepted(wishes: PerMessageDeflate, offers: str) -> tuple[str, DeflateCodec]:
    answer = wishes.accept(parse_extensions(offers))
    assert answer is not None
    return answer


def codec_pair(
    client: PerMessageDeflate | None = None, server: PerMessageDeflate | None = None
) -> tuple[DeflateCodec, DeflateCodec]:
    """A client's and a server's codec, as their handshake makes them."""
    client = client or PerMessageDeflate()
    element, server_codec = accepted(server or PerMessageDeflate(), client.offer())
    return client.confirm(parsed(element)), server_codec


window_bits = st.none() | st.integers(8, 15)
all_wishes = st.builds(
    PerMessageDeflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=window_bits,
    client_max_window_bits=window_bits | st.just(True),
    level=st.integers(1, 9),
    memory_level=st.integers(1, 9),
)


words = st.sampled_from([b'{"type": "trade", ', b'"price": ', b"0.125", b"\0\0\xff\xff", b"\0" * 300])
contents = (
    st.binary(max_size=60)
    | st.lists(words, max_size=60).map(b"".join)
    | st.builds(
        lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 3), st.integers(0, 9000)
    )
    | st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=9), st.integers(1, 9000))
)
