"""Compressors: made late, dropped in time, and by whom."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from deflate_pairs import BACKENDS, STATELESS, codec_pair, compressing_with, contents
from hypothesis import given
from hypothesis import strategies as st
from traced import traced

from fastframe import _compressors
from fastframe.deflate import DEFLATE_BACKEND, DeflateCodec, PerMessageDeflate


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with compressing_with(request.param) as name:
        yield name


def size_of(make: Callable[[], object]) -> int:
    """Bytes that what `make` returns holds on to."""
    make()
    with traced() as memory:
        kept = make()
        size, _ = memory()
        del kept
        return size


@pytest.mark.resident_memory
def test_negotiated_but_idle_takes_less_than_a_kilobyte() -> None:
    assert size_of(lambda: [codec_pair()[1] for _ in range(50)]) < 50 * 1024


@pytest.mark.resident_memory
def test_each_direction_takes_its_memory_at_its_first_message() -> None:
    with compressing_with("zlib"):
        payload = codec_pair()[0].compress(b"Hello" * 20)

        def used(*methods: str) -> DeflateCodec:
            _, codec = codec_pair()
            if "compress" in methods:
                codec.compress(b"Hello" * 20)
            if "inflate" in methods:
                codec.inflate(payload, None)
            if "reset" in methods:
                codec.reset_compressor()
            return codec

        assert size_of(used) < 2 * 1024
        assert 20 * 1024 < size_of(lambda: used("compress")) < 48 * 1024
        assert 7 * 1024 < size_of(lambda: used("inflate")) < 16 * 1024
        assert size_of(lambda: used("compress", "reset")) < 2 * 1024


def test_stateless_codecs_keep_nothing_between_messages(backend: str) -> None:
    client, server = codec_pair(STATELESS)
    for _ in range(2):
        assert server.inflate(client.compress(b"Hello" * 20), None) == b"Hello" * 20
        for codec in (client, server):
            assert codec._compressor is None and codec._inflater is None


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_makes_small_messages_smaller(backend: str, level: int) -> None:
    messages = [b'{"type": "trade", "id": %d, "price": %d.25}' % (9**i, 7**i) for i in range(20)]
    client, _ = codec_pair(PerMessageDeflate(level=level))
    assert sum(len(client.compress(message)) for message in messages) < 0.8 * sum(map(len, messages))


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "prepared", "reset", "fail", "interrupt"]), contents), max_size=12
    )
)
def test_resets_prepared_messages_and_failures_never_desynchronise(
    backend: str, steps: list[tuple[str, bytes]]
) -> None:
    client, server = codec_pair()
    alone, _ = codec_pair(STATELESS)
    new_compressor = _compressors.new_compressor
    for step, message in steps:
        if step == "send":
            assert server.inflate(client.compress(message), len(message)) == message
        elif step == "prepared":
            client.reset_compressor()
            assert server.inflate(alone.compress(message), len(message)) == message
        elif step == "reset":
            client.reset_compressor()
        elif message:
            error = MemoryError() if step == "fail" else Interrupt()
            client._compressor = Failing(client._compressor or new_compressor(12, 6, 5), error)
            with pytest.raises(type(error)):
                client.compress(message)


class Interrupt(BaseException):
    """Like KeyboardInterrupt, which would end the tests if it got away."""


class Failing:
    """A compressor that takes the message in, and then does not give it out."""

    def __init__(self, compressor: Any, error: BaseException) -> None:
        self._compressor = compressor
        self._error = error

    def compress(self, data: Any, /) -> bytes:
        compressed: bytes = self._compressor.compress(data)
        return compressed

    def flush(self, mode: int, /) -> bytes:
        self._compressor.flush(mode)
        raise self._error


def test_a_prepared_message_without_reset_would_desynchronise(backend: str) -> None:
    # What the test above relies on `reset_compressor` for.
    client, server = codec_pair()
    alone, _ = codec_pair(STATELESS)
    first = random.Random(1).randbytes(500)
    server.inflate(client.compress(first), None)
    server.inflate(alone.compress(bytes(range(256))), None)
    assert server.inflate(client.compress(first), None) != first


def test_codecs_with_equal_sharing_keys_compress_alike(backend: str) -> None:
    message = b"".join(b'{"id": %d, "name": "n%d"}' % (i, i * i) for i in range(300))
    variants = [{}, {"level": 1}, {"memory_level": 9}, {"server_max_window_bits": 15}, {"threshold": 0}]
    compressed: dict[object, bytes] = {}
    for variant in variants:
        _, server = codec_pair(STATELESS, PerMessageDeflate(**variant))  # type: ignore[arg-type]
        assert compressed.setdefault(server.sharing_key, server.compress(message)) == server.compress(message)
    assert len(compressed) == 4


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "FASTFRAME_DEFLATE"}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


SHOW = "from fastframe.deflate import DEFLATE_BACKEND; print(DEFLATE_BACKEND)"
HIDE = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


def test_fastest_installed_backend_is_chosen() -> None:
    hidden: list[str] = []
    for name, package in (("isal", "isal"), ("zlib-ng", "zlib_ng"), ("zlib", "")):
        if name in BACKENDS:
            assert python(HIDE.format(names=hidden) + SHOW).stdout.strip() == name
        hidden.append(package)


def test_backend_in_use_is_the_one_asked_for() -> None:
    assert os.environ.get("FASTFRAME_DEFLATE", BACKENDS[-1]) == DEFLATE_BACKEND


@pytest.mark.parametrize("name", BACKENDS)
def test_environment_forces_a_backend(name: str) -> None:
    assert python(SHOW, FASTFRAME_DEFLATE=name).stdout.strip() == name


@pytest.mark.parametrize(("name", "package"), [("isal", "isal"), ("zlib-ng", "zlib_ng")])
def test_forced_backend_that_is_missing_is_an_import_error(name: str, package: str) -> None:
    ran = python(HIDE.format(names=[package]) + SHOW, FASTFRAME_DEFLATE=name)
    assert ran.returncode == 1
    assert package in ran.stderr.strip().splitlines()[-1]


def test_isal_without_fixed_codes_is_passed_over() -> None:
    old = HIDE.format(names=["zlib_ng"]) + "sys.modules['isal'] = type(sys)('isal'); "
    old += "sys.modules['isal'].__version__ = '1.8.0'; "
    assert python(old + SHOW).stdout.strip() == "zlib"
    assert "isal 1.8.0 has no fixed codes" in python(old + SHOW, FASTFRAME_DEFLATE="isal").stderr


def test_unknown_backend_is_an_import_error() -> None:
    ran = python(SHOW, FASTFRAME_DEFLATE="brotli")
    assert ran.stderr.strip().endswith(
        "ImportError: FASTFRAME_DEFLATE must be one of isal, zlib-ng, zlib, got 'brotli'"
    )


def test_backend_that_breaks_its_promise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def compress(self, data: Any, /) -> bytes:
            return b"abc"

        def flush(self, mode: int, /) -> bytes:
            return b"def"

    monkeypatch.setattr(_compressors, "new_compressor", lambda *_: Broken())
    with pytest.raises(RuntimeError, match="ended a flush with 646566, not 0000ffff"):
        codec_pair()[0].compress(b"Hello")
