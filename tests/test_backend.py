from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from wire import half_modules

import fastframe

OPTIONS = "*, fin=True, rsv1=False, rsv2=False, rsv3=False, masking_key=None"
FUNCTIONS = {
    "apply_mask": "data, mask",
    "apply_mask_inplace": "buffer, mask, offset=0",
    "is_valid_utf8": "data",
    "parse_header": "data, offset=0",
    "encode_header": f"opcode, payload_length, {OPTIONS}",
    "encode_frame": f"opcode, payload=b'', {OPTIONS}",
}
# Classes with their public members; what each member takes is in SIGNATURES.
CLASSES = {
    "Masker": {"offset", "process"},
    "Utf8Validator": {"UTF8_ACCEPT", "UTF8_REJECT", "codepoint", "decode", "i", "reset", "state", "validate"},
    "FrameDecoder": {"error", "receive", "retained"},
    "MessageDecoder": {
        "close",
        "control_frames",
        "error",
        "get_buffer",
        "last_frames",
        "receive",
        "received",
        "retained",
        "take_chunk",
    },
    "FrameEncoder": {"append", "append_encoded", "append_message", "take"},
}
SIGNATURES = {
    "Masker.process": "data",
    "Utf8Validator.validate": "data",
    "Utf8Validator.decode": "byte",
    "Utf8Validator.reset": "",
    "FrameDecoder.receive": "data, size=None",
    "MessageDecoder.receive": "data, size=None",
    "MessageDecoder.get_buffer": "minimum=1",
    "MessageDecoder.received": "size",
    "MessageDecoder.take_chunk": "",
    "FrameEncoder.append": "opcode, payload=b'', fin=True, rsv1=False, rsv2=False, rsv3=False",
    "FrameEncoder.append_encoded": "data",
    "FrameEncoder.append_message": "message",
    "FrameEncoder.take": "",
}
TYPES = "Close CloseCode Frame FrameHeader Opcode Ping Pong RecordedFrame Role"
ERRORS = (
    "ConnectionClosed ConnectionClosedError ConnectionClosedOK FastframeError HandshakeError InvalidProxy"
    " InvalidRequest InvalidResponse InvalidURI InvalidUtf8 MessageTooBig ProtocolError ProxyError"
    " RejectedByServer"
)
CONVERSATION = (
    "Connection Headers PerMessageDeflate Request Response Server State WebSocket WebSocketStream"
    " broadcast connect prepare replay serve accelerated install status uninstall"
)
NAMES = f"{TYPES} {ERRORS} {CONVERSATION} BACKEND __version__ build_info"
PUBLIC = {*FUNCTIONS, *CLASSES, *NAMES.split()}

HAS_EXTENSION = importlib.util.find_spec("fastframe._codec_c") is not None


def python(script: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run a script in a new interpreter, with environment variables set or (None) removed."""
    env = {**os.environ, "FASTFRAME_EXTENSION": None, "FASTFRAME_KERNEL": None, **environment}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={name: value for name, value in env.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )


def build_info(**environment: str | None) -> dict[str, Any]:
    ran = python("import fastframe, json; print(json.dumps(fastframe.build_info()))", **environment)
    assert ran.returncode == 0, ran.stderr
    info: dict[str, Any] = json.loads(ran.stdout)
    return info


def assert_import_error(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ran.returncode == 1
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith(("ImportError: ", "ModuleNotFoundError: ")), ran.stderr
    assert [word for word in words if word not in last] == []


def test_compiled_half_is_loaded_where_it_is_expected() -> None:
    if "compiled" in half_modules():
        module = importlib.import_module("fastframe._codec_c")
        assert module.__file__ is not None
        assert module.__file__.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
        assert fastframe.BACKEND == "compiled"
        assert fastframe.MessageDecoder is module.MessageDecoder
    else:
        assert fastframe.BACKEND == "pure"
        assert fastframe.MessageDecoder.__module__.startswith("fastframe._codec_py")


def test_codec_fixture_gives_the_half_it_names(codec: ModuleType, request: pytest.FixtureRequest) -> None:
    half = request.node.callspec.params["codec"]
    assert codec.__name__ == half_modules()[half]
    assert (codec.KERNEL == "python") is (half == "pure")


@pytest.mark.parametrize("setting", [None, ""])
def test_extension_unset_takes_the_compiled_half_if_there_is_one(setting: str | None) -> None:
    assert build_info(FASTFRAME_EXTENSION=setting)["backend"] == ("compiled" if HAS_EXTENSION else "pure")


def test_extension_0_takes_the_pure_half() -> None:
    info = build_info(FASTFRAME_EXTENSION="0")
    assert (info["backend"], info["kernel"], info["kernels"]) == ("pure", "python", ["python"])


def test_extension_1_takes_the_compiled_half_or_fails() -> None:
    ran = python("import fastframe; print(fastframe.BACKEND)", FASTFRAME_EXTENSION="1")
    if HAS_EXTENSION:
        assert ran.stdout == "compiled\n"
    else:
        assert_import_error(ran, "_codec_c")


@pytest.mark.parametrize("setting", ["2", "yes", "true", " 1", "01"])
def test_extension_junk_is_an_error_naming_the_choices(setting: str) -> None:
    ran = python("import fastframe", FASTFRAME_EXTENSION=setting)
    assert_import_error(ran, "FASTFRAME_EXTENSION", "0, 1 or unset", repr(setting))


NO_EXTENSION = "import sys; sys.modules['fastframe._codec_c'] = None\n"


def test_without_the_extension_unset_falls_back_and_1_fails() -> None:
    script = NO_EXTENSION + "import fastframe; print(fastframe.BACKEND)"
    assert python(script).stdout == "pure\n"
    assert python(script, FASTFRAME_EXTENSION="0").stdout == "pure\n"
    assert_import_error(python(script, FASTFRAME_EXTENSION="1"), "_codec_c")


def test_extension_0_does_not_load_the_extension() -> None:
    ran = python("import fastframe, sys; print('fastframe._codec_c' in sys.modules)", FASTFRAME_EXTENSION="0")
    assert ran.stdout == "False\n"


@pytest.mark.parametrize("setting", [None, "0"])
@pytest.mark.parametrize("heavy", ["asyncio", "ssl", "h11", "socket", "http"])
def test_importing_fastframe_loads_no_network_code(setting: str | None, heavy: str) -> None:
    ran = python(f"import fastframe, sys; print({heavy!r} in sys.modules)", FASTFRAME_EXTENSION=setting)
    assert ran.stdout == "False\n", ran.stderr


def test_build_info_describes_the_codec() -> None:
    info = fastframe.build_info()
    assert set(info) == {"backend", "kernel", "kernels", "version", "python", "machine"}
    assert (info["backend"], info["version"]) == (fastframe.BACKEND, fastframe.__version__)
    assert info["kernel"] in info["kernels"]  # type: ignore[operator]


# Every kernel against the same references: masks and UTF-8 at sizes around its blocks.
CHECK_KERNEL = """
import fastframe._codec_c as codec
from fastframe import MessageDecoder, Role
from reference import scan
from wire import data_frame, xor
noise = bytes(i * 167 % 256 for i in range(1000))
key = bytes.fromhex("37fa003d")
text = "ascii only, then aä你🌍 ".encode() * 20
for size in [*range(200), 255, 256, 257, 300, 511, 512, 513, 700]:
    for start in (0, 1, 7, 31):
        piece = noise[start : start + size]
        with memoryview(noise)[start : start + size] as view:
            assert codec.apply_mask(view, key) == xor(piece, key), (size, start)
        buffer = bytearray(noise)
        with memoryview(buffer)[start : start + size] as view:
            codec.apply_mask_inplace(view, key)
        assert buffer == noise[:start] + xor(piece, key) + noise[start + size :], (size, start)
for size in range(300):
    for bad in (b"", b"\\xff", b"\\xed\\xa0\\x80", b"\\xf4\\x90"):
        piece = text[:size] + bad + text[size : size + 20]
        index, state = scan(piece)
        total = len(piece) if index is None else index
        assert codec.is_valid_utf8(piece) is (state == 0), piece
        assert codec.Utf8Validator().validate(piece) == (index is None, state == 0, total, total), piece
    for message in ("x" * size, "ä" * size, "你" * size, "x" * size + "🌍"):
        wire = data_frame(Role.SERVER, 1, message.encode())
        assert MessageDecoder(Role.SERVER).receive(wire) == [message]
print(codec.KERNEL)
"""


def test_every_kernel_can_be_forced_and_is_right(codec: ModuleType) -> None:
    half = {"_codec_c": "1", "_codec_py": "0"}[codec.__name__.rpartition(".")[2]]
    assert codec.KERNEL in codec.KERNELS
    assert len(set(codec.KERNELS)) == len(codec.KERNELS) > 0
    script = CHECK_KERNEL.replace("fastframe._codec_c", codec.__name__)
    for kernel in codec.KERNELS:
        info = build_info(FASTFRAME_EXTENSION=half, FASTFRAME_KERNEL=kernel)
        assert (info["kernel"], info["kernels"]) == (kernel, list(codec.KERNELS))
        ran = python(script, FASTFRAME_EXTENSION=half, FASTFRAME_KERNEL=kernel)
        assert (ran.stdout, ran.returncode) == (f"{kernel}\n", 0), ran.stderr


@pytest.mark.skipif(not HAS_EXTENSION, reason="the pure half has no kernels to choose from")
@pytest.mark.parametrize("setting", [None, "1"])
@pytest.mark.parametrize("kernel", ["sse9", "AVX2", "avx2 ", "python"])
def test_unknown_kernel_is_an_error_naming_the_choices(setting: str | None, kernel: str) -> None:
    ran = python("import fastframe", FASTFRAME_EXTENSION=setting, FASTFRAME_KERNEL=kernel)
    kernels = build_info(FASTFRAME_EXTENSION="1")["kernels"]
    assert_import_error(ran, "FASTFRAME_KERNEL", repr(kernel), *kernels)


def test_kernels_are_those_of_the_contract_and_end_with_the_one_for_every_machine(codec: ModuleType) -> None:
    if codec.__name__.endswith("_py"):
        assert codec.KERNELS == ("python",)
    else:
        assert codec.KERNELS[-1] == "portable"
        assert set(codec.KERNELS) <= {"avx512", "avx2", "sse2", "neon", "portable"}


def test_package_exports_exactly_the_public_names() -> None:
    assert set(fastframe.__all__) == PUBLIC
    assert fastframe.__all__ == sorted(fastframe.__all__)
    assert [name for name in PUBLIC if not hasattr(fastframe, name)] == []


def test_half_has_every_name_and_no_other_member(codec: ModuleType) -> None:
    for name in FUNCTIONS:
        assert callable(getattr(codec, name))
    for name, members in CLASSES.items():
        assert {member for member in dir(getattr(codec, name)) if not member.startswith("_")} == members
    assert len(codec.FrameEncoder(fastframe.Role.SERVER)) == 0


def parameters(function: Any) -> str:
    signature = inspect.signature(function)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    return str(inspect.Signature(plain))[1:-1].replace(", /", "")


@pytest.mark.parametrize("name", [*FUNCTIONS, *SIGNATURES])
def test_signatures_are_those_of_the_contract(codec: ModuleType, name: str) -> None:
    function: Any = codec
    for part in name.split("."):
        function = getattr(function, part)
    assert parameters(function) == {**FUNCTIONS, **SIGNATURES}[name]


def test_every_public_name_has_a_docstring(codec: ModuleType) -> None:
    undocumented = [name for name in [*FUNCTIONS, *CLASSES, *SIGNATURES] if not _documented(codec, name)]
    assert undocumented == []


def _documented(codec: ModuleType, name: str) -> bool:
    found: Any = codec
    for part in name.split("."):
        found = getattr(found, part)
    return bool(found.__doc__)


# Modules that are compiled as they stand.

COMPILED_TOO = [
    "connection",
    *(f"aio.{name}" for name in ("broadcast", "facts", "operation", "protocol")),
    *(f"aio.{name}" for name in ("receiving", "sending", "transport", "websocket")),
]


def _files(setting: str) -> dict[str, str]:
    program = (
        "import importlib, json, fastframe\n"
        f"names = {COMPILED_TOO!r}\n"
        "print(json.dumps({name: importlib.import_module('fastframe.' + name).__file__ for name in names}))"
    )
    environment = os.environ | {"FASTFRAME_EXTENSION": setting}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    files: dict[str, str] = json.loads(done.stdout)
    return files


@pytest.mark.parametrize("setting", ["", "0", "1"])
def test_the_hot_path_is_compiled_where_the_codec_is(setting: str) -> None:
    has_extension = importlib.util.find_spec("fastframe._codec_c") is not None
    if setting == "1" and not has_extension:
        with pytest.raises(subprocess.CalledProcessError):
            _files(setting)
        return
    compiled = has_extension and setting != "0"
    for name, file in _files(setting).items():
        assert file.endswith(".py") is not compiled, f"{name} comes from {file}"


def test_every_module_compiled_as_it_stands_is_known_to_the_build() -> None:
    setup = (Path(__file__).parent.parent / "setup.py").read_text(encoding="utf-8")
    listed = setup.partition("AS_THEY_STAND = (")[2].partition(")")[0]
    names = [
        line.strip().strip('",').removesuffix(".py").replace("/", ".") for line in listed.strip().splitlines()
    ]
    assert sorted(names) == sorted(COMPILED_TOO)
