"""Memory that ends anywhere within a call: an encoder has what it had, a decoder goes on rightly or never.

Each allocation of a call fails once, and each with the one after it, in processes of their own.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from types import ModuleType

import pytest

from fastframe import Role

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython" or find_spec("_testcapi") is None,
    reason="not run: this Python has no _testcapi, which makes allocations fail",
)

START = """
import importlib, _testcapi
from fastframe import Role, encode_header
codec = importlib.import_module({module!r})

def failing(call):
    "Each way of failing: what a new case gives, and whether the call ended in MemoryError."
    failures = 0
    for count in (1, 2):
        first = good = 0
        while good < 10:  # behind the last allocation nothing fails
            case = new()
            error = None
            _testcapi.set_nomemory(first, first + count)
            try:
                call(case)
            except MemoryError as caught:
                error = caught
            finally:
                _testcapi.remove_mem_hooks()
            failures += error is not None
            good = 0 if error else good + 1
            first += 1
            yield case, error
    assert failures, "nothing failed"
"""

ENCODER = """
first = codec.encode_frame(2, b"f" * {have}, masking_key={key})
later = codec.encode_frame(1, b"later", masking_key={key})
peer = Role.SERVER if {key} else Role.CLIENT

def new():
    encoder = codec.FrameEncoder({role})
    encoder.append(1)  # so that there are keys
    encoder.take()
    if {adopted}:
        encoder.append_encoded(bytes(bytearray(first)))
    else:
        encoder.append(2, b"f" * {have})
    return encoder

data = {data}
call = lambda encoder: {call}
for encoder, error in failing(call):
    size = len(encoder)
    encoder.append_encoded(later)
    frames = codec.FrameDecoder(peer, max_frame_size=None).receive(encoder.take())
    sizes = [len(frame.payload) for frame in frames]
    # The length that append_message returns is made when all is done, and may be what fails.
    assert sizes in ([{have}, 5], [{have}, {more}, 5]), sizes
    assert error is not None or sizes[1:2] == [{more}], "nothing was said"
    assert (size > len(first)) == (len(sizes) == 3)
    assert frames[0].payload == b"f" * {have}
    assert frames[-1].payload == b"later"
"""

TAKE = """
def new():
    encoder = codec.FrameEncoder(Role.SERVER)
    for _ in range({count}):
        encoder.append(2, b"f" * {size})
    return encoder, [None]

for (encoder, taken), error in failing(lambda case: case[1].__setitem__(0, case[0].take())):
    assert (taken[0] or b"") + encoder.take() == codec.encode_frame(2, b"f" * {size}) * {count}
"""

DECODER = """
payload = {payload!r}.encode() * {times}
wire = codec.encode_frame({opcode}, payload, masking_key=b"keys")
head, rest = wire[:{have}], wire[{have}:]

def new():
    decoder = codec.{name}(Role.SERVER, {limit}=None)
    assert decoder.receive(head) == []
    return decoder, [None]

def refuses(decoder, error):
    # Telling of it takes memory, too, so what was raised may be another one.
    assert type(decoder.error) is type(error) is MemoryError
    assert decoder.retained == 0
    if {name!r} == "MessageDecoder":
        assert decoder.take_chunk() is decoder.get_buffer() is None
    for _ in range(2):
        try:
            decoder.receive(rest)
        except MemoryError as again:
            assert again is decoder.error
        else:
            raise AssertionError("received")

for (decoder, got), error in failing(lambda case: case[1].__setitem__(0, case[0].{call})):
    if decoder.error is not None:
        refuses(decoder, error)
        continue
    {go_on}
    pieces = [piece.payload if hasattr(piece, "payload") else piece for piece in pieces]
    pieces = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    assert b"".join(pieces) == payload
"""


INFLATE = """
import zlib
from fastframe.deflate import PerMessageDeflate
from fastframe.http_headers import Extension

deflater = zlib.compressobj(wbits=-15)
messages = [b"first" * 20, bytes(range(256)) * 500, b"last" * 20]
payloads = [deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4] for message in messages]

def new():
    _, inflating = PerMessageDeflate().accept([Extension("permessage-deflate", ())])
    if {has_begun}:
        assert inflating.inflate(payloads[0], None) == messages[0]
    return inflating

place = 1 if {has_begun} else 0
for inflating, error in failing(lambda inflating: inflating.inflate(payloads[place], None)):
    if error is None:
        assert inflating.inflate(payloads[place + 1], None) == messages[place + 1]
        continue
    for _ in range(2):
        try:
            message = inflating.inflate(payloads[place], None)
        except MemoryError:
            continue
        assert message == messages[place]  # it had not begun
        break
"""


def run(codec: ModuleType, script: str) -> None:
    script = START.format(module=codec.__name__) + script
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(("have", "more"), [(1, 5), (300, 200), (70_000, 200_000)])
@pytest.mark.parametrize(
    ("data", "call"),
    [
        ("b'm' * {more}", "encoder.append(2, data)"),
        ("'m' * {more}", "encoder.append_message(data)"),
        ("bytearray(b'm' * {more})", "encoder.append_message(data)"),
        ("codec.encode_frame(2, b'm' * {more}, masking_key={key})", "encoder.append_encoded(data)"),
    ],
)
def test_encoder_has_what_it_had(
    codec: ModuleType, role: Role, adopted: bool, have: int, more: int, data: str, call: str
) -> None:
    key = "b'keys'" if role is Role.CLIENT else "None"
    data = data.format(more=more, key=key)
    options = {"have": have, "more": more, "adopted": adopted, "key": key, "role": str(role)}
    run(codec, ENCODER.format(data=data, call=call, **options))


@pytest.mark.parametrize(("count", "size"), [(3, 3), (3, 200), (3, 100_000)])
def test_what_could_not_be_taken_stays(codec: ModuleType, count: int, size: int) -> None:
    run(codec, TAKE.format(count=count, size=size))


Payload = tuple[str, int, int]
PAYLOADS: list[Payload] = [
    ("aé", 200, 1),
    ("plain", 300, 1),
    ("é", 100_000, 1),
    ("bytes", 300, 2),
    ("bytes", 500_000, 2),
]
# In the middle, also of a code point; a mebibyte, behind which memory grows.
PLACES = [19, 400, 1_048_576]
CASES = [(payload, have) for payload in PAYLOADS for have in PLACES if have < len(payload[0]) * payload[1]]
# Of more it would take the pure half a minute.
SMALL_CASES = [(payload, have) for payload, have in CASES if len(payload[0]) * payload[1] < 1_000_000]


def decoding(codec: ModuleType, payload: Payload, have: int, call: str, go_on: str) -> None:
    text, times, opcode = payload
    name = "FrameDecoder" if call.startswith("frames") else "MessageDecoder"
    options = {"name": name, "limit": "max_frame_size" if name == "FrameDecoder" else "max_message_size"}
    call = call.removeprefix("frames ")
    run(
        codec,
        DECODER.format(
            payload=text, times=times, opcode=opcode, have=have, call=call, go_on=go_on, **options
        ),
    )


@pytest.mark.parametrize(("payload", "have"), CASES)
def test_message_is_whole_or_refused_after_get_buffer(codec: ModuleType, payload: Payload, have: int) -> None:
    decoding(codec, payload, have, "get_buffer()", "pieces = decoder.receive(rest)")


@pytest.mark.parametrize(("payload", "have"), CASES)
def test_message_is_whole_or_refused_after_take_chunk(codec: ModuleType, payload: Payload, have: int) -> None:
    decoding(codec, payload, have, "take_chunk()", "pieces = [got[0] or '', *decoder.receive(rest)]")


@pytest.mark.parametrize("call", ["receive(rest)", "frames receive(rest)"])
@pytest.mark.parametrize(("payload", "have"), SMALL_CASES)
def test_message_is_whole_or_refused_after_receive(
    codec: ModuleType, payload: Payload, have: int, call: str
) -> None:
    decoding(codec, payload, have, call, "pieces = got[0] or decoder.receive(rest)")


@pytest.mark.parametrize("has_begun", [False, True])
def test_message_is_inflated_whole_or_never(codec: ModuleType, has_begun: bool) -> None:
    run(codec, INFLATE.format(has_begun=has_begun))
