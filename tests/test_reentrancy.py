"""Code of Python's that runs within a call of the codec, as finalizers do, and comes back to the same object.

In processes of their own: what goes wrong here writes into memory that is gone.
"""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
from wire import half_modules

START = """
import gc, importlib
from fastframe import Role, encode_header, masking_keys
codec = importlib.import_module({module!r})
"""

# While an encoder fetches a block of keys; what it runs then may do anything with the encoder.
WITHIN_NEW_KEYS = """
encoder = codec.FrameEncoder(Role.CLIENT)
take_block, within = masking_keys.take_block, []

def coming_back():
    block = take_block()
    if not within:
        within.append(None)
        within[0] = {call}
    return block

masking_keys.take_block = coming_back
{before}
encoder.append(2, b"A" * 50)
wire = (within[0] or b"") + encoder.take()
print([(frame.payload[:1], len(frame.payload)) for frame in codec.FrameDecoder(Role.SERVER).receive(wire)])
"""

# A collection within the `tried` call.
WITHIN_A_COLLECTION = """
import sys
said, came = [], []

class Finalized:
    def __init__(self):
        self.me = self
    def __del__(self):
        try:
            came.extend(decoder.receive(b"b" * 999))
        except RuntimeError as error:
            said.append(str(error))

decoder = codec.MessageDecoder(Role.CLIENT)
decoder.receive(encode_header(2, 1000) + b"a")
{before}
gc.disable()
gc.collect()
Finalized()
gc.set_threshold(1)
gc.enable()
result = {tried}
gc.disable()
assert [line[:33] for line in said] == ["the decoder is receiving already;"]
{after}
print(b"".join(came) == b"a" + b"b" * 999)
"""


def output(module: str, script: str) -> str:
    script = START.format(module=module) + script
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("size", [0, 5, 5000, 100_000])
def test_encoder_may_be_appended_to_while_it_fetches_keys(codec: ModuleType, size: int) -> None:
    script = WITHIN_NEW_KEYS.format(call=f'encoder.append(2, b"B" * {size})', before="")
    assert output(codec.__name__, script) == f"{[(b'B' * min(size, 1), size), (b'A', 50)]}\n"


@pytest.mark.parametrize(
    "before", ["", "encoder.append_encoded(codec.encode_frame(2, b'C', masking_key=b'keys'))"]
)
def test_encoder_may_be_taken_from_while_it_fetches_keys(codec: ModuleType, before: str) -> None:
    script = WITHIN_NEW_KEYS.format(call="encoder.take()", before=before)
    assert output(codec.__name__, script) == f"{[(b'C', 1)] * bool(before) + [(b'A', 50)]}\n"


collects_within_calls = pytest.mark.skipif(
    "compiled" not in half_modules() or sys.version_info >= (3, 12),
    reason="the compiled half alone, and only before 3.12, collects at known places of a call",
)


@collects_within_calls
def test_decoder_is_not_called_back_while_it_makes_a_view() -> None:
    after = """result[:] = b"b" * 999
came += decoder.received(999)"""
    script = WITHIN_A_COLLECTION.format(before="", tried="decoder.get_buffer()", after=after)
    assert output("fastframe._codec_c", script) == "True\n"


@collects_within_calls
def test_decoder_is_not_called_back_while_it_takes_its_view_back() -> None:
    # Looked at by somebody else, so that releasing it fails, which makes an exception.
    before = """view = decoder.get_buffer()
view[:] = b"b" * 999
kept = memoryview(view)"""
    script = WITHIN_A_COLLECTION.format(before=before, tried="decoder.received(999)", after="came += result")
    assert output("fastframe._codec_c", script) == "True\n"
