"""Which parts of the suite run where. Emulation takes 10 to 20 times as long: not all runs each time."""

from __future__ import annotations

from enum import Enum

from .running import TESTS


class Extent(Enum):
    """How much of the suite runs."""

    BRIEF = "brief"
    USUAL = "usual"
    WHOLE = "whole"


# Every byte of the wire, read and written: byte order, alignment and word size show here.
CODEC = (
    "test_header.py",
    "test_masking.py",
    "test_utf8.py",
    "test_frame_decoder.py",
    "test_encoder.py",
    "test_message_decoder.py",
    "test_receive_in_place.py",
    "test_take_chunk.py",
    "test_masking_keys.py",
)
# That all modules are compiled, and that every kernel of the processor is right.
BACKEND = (
    "test_backend.py::test_the_hot_path_is_compiled_where_the_codec_is",
    "test_backend.py::test_every_kernel_can_be_forced_and_is_right",
)
# The other compiled modules: conversation, both forms over loopback, `am_send` and the writes to sockets.
CONVERSATION = (
    "test_connection.py",
    "test_connection_closing.py",
    "test_handshake_server.py",
    "test_aio_closing.py",
    "test_aio_operation.py",
    "test_aio_outlet.py",
    "test_aio_stream.py",
    "test_aio_websocket.py",
)
# Of those, what `--brief` leaves: all compiled modules, and messages of every kind over loopback.
CONVERSATION_IN_BRIEF = ("test_connection.py", "test_connection_closing.py", "test_aio_stream.py")
# They are about the machine that builds and its tools, not about the processor or the interpreter.
ELSEWHERE = (
    "test_aio_proxy.py",  # proxies of other packages
    "test_aio_socks.py",
    "test_autobahn_report.py",
    "test_bench_instructions.py",
    "test_bench_servers.py",
    "test_bench_servers_resume.py",
    "test_build.py",
    "test_cimport_example.py",
    "test_cli.py",
    "test_cli_accelerate.py",
    "test_cli_commands.py",
    "test_cli_connect.py",
    "test_cli_serve.py",
    "test_cli_showing.py",
    "test_cli_terminal.py",
    "test_deflate_compressors.py",  # isal and zlib-ng
    "test_readme.py",
    "test_subinterpreters.py",
    "test_wheels.py",
)


def whole() -> tuple[str, ...]:
    """All but ELSEWHERE."""
    names = sorted(path.name for path in TESTS.glob("test_*.py"))
    missing = {*ELSEWHERE, *CODEC, *CONVERSATION} - set(names)
    assert not missing, f"no such part of the suite: {missing}"
    return tuple(name for name in names if name not in ELSEWHERE)


def chosen(extent: Extent, *more: str) -> tuple[str, ...]:
    """What runs of the suite; `more` where that is not all of it."""
    if extent is Extent.WHOLE:
        return whole()
    return (*CODEC, *(CONVERSATION_IN_BRIEF if extent is Extent.BRIEF else CONVERSATION), *more)
