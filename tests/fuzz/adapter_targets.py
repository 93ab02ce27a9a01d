"""Each adapter: the library as it is and as the adapter makes it, on the same input.

What is compared, and how, stands in tests/drop_ins/adapters/test_agreement.py; here the input is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from drop_ins.adapters import test_agreement as agreement
from drop_ins.adapters import test_wsaccel as wsaccel
from fuzz.choices import Choices


def _inner(test: Any) -> Callable[..., None]:
    """The function that Hypothesis calls with what it has made up."""
    function: Callable[..., None] = test.hypothesis.inner_test
    return function


def _frames(choices: Choices) -> list[tuple[int, bytes, bool, int, int]]:
    """As `test_agreement.FRAMES`: opcode, payload, fin, reserved bits, and 0 where it is wrongly masked."""
    frames: list[tuple[int, bytes, bool, int, int]] = []
    while choices and len(frames) < 8:
        kind = choices.byte()
        opcode = [1, 2, 1, 2, 0, 8, 9, 10][kind & 7] if kind < 0xF8 else choices.below(16)
        rsv = choices.below(8) if choices.rarely() else 0
        frames.append((opcode, choices.payload(large=True), kind & 8 == 0, rsv, 0 if choices.rarely() else 1))
    return frames


def _cuts(choices: Choices) -> list[int]:
    return [choices.below(1 << 16) for _ in range(choices.below(7))]


def websockets(data: bytes) -> None:
    choices = Choices(data)
    is_server, extended, max_size = choices.flag(), choices.flag(), choices.pick([None, 100, (200, 100)])
    cuts = _cuts(choices)
    _inner(agreement.test_websockets_protocol)(
        is_server=is_server, extended=extended, max_size=max_size, frames=_frames(choices), cuts=cuts
    )


def wsproto(data: bytes) -> None:
    choices = Choices(data)
    is_server, cuts = choices.flag(), _cuts(choices)
    if choices.rarely():
        content: Any = choices.pick([choices.text(), choices.payload(), bytearray(choices.payload()), None])
        kind = choices.pick(["TextMessage", "BytesMessage", "Message"])
        _inner(agreement.test_wsproto_send)(
            is_server=is_server, data=content, kind=kind, finished=choices.flag()
        )
        return
    _inner(agreement.test_wsproto_connection)(is_server=is_server, frames=_frames(choices), cuts=cuts)


def websocket_client(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.byte() % 4
    if kind == 0:
        content: Any = choices.text() if choices.flag() else choices.payload(large=True)
        _inner(agreement.test_websocket_client_format)(
            data=content,
            opcode=choices.below(12),
            fin=choices.below(3),
            rsv=choices.below(3),
            masks=choices.below(2),
        )
    elif kind == 1:
        _inner(agreement.test_websocket_client_validation)(
            data=choices.text() if choices.flag() else choices.payload()
        )
    elif kind == 2:
        _inner(agreement.test_websocket_client_mask)(
            key=choices.take(4).ljust(4, b"\0"), data=choices.payload(True)
        )
    else:
        wanted = [choices.below(91) for _ in range(choices.below(5))]
        reads = [piece for _ in range(choices.below(9)) if (piece := choices.payload()[:50])]
        _inner(agreement.test_websocket_client_reads_of_an_exact_size)(reads=reads, wanted=wanted)


def tornado(data: bytes) -> None:
    choices = Choices(data)
    _inner(agreement.test_tornado_mask)(key=choices.take(4).ljust(4, b"\0"), data=choices.payload(large=True))


def _chunks(choices: Choices) -> list[bytes]:
    return [choices.payload() for _ in range(choices.below(6))]


def autobahn(data: bytes) -> None:
    choices = Choices(data)
    if choices.flag():
        _inner(agreement.test_autobahn_masker)(key=choices.take(4).ljust(4, b"\0"), chunks=_chunks(choices))
    else:
        _inner(agreement.test_validators)(library="autobahn.websocket.protocol", chunks=_chunks(choices))


def ws4py(data: bytes) -> None:
    choices = Choices(data)
    if choices.flag():
        payload: Any = choices.payload(large=True)
        key = choices.take(4).ljust(4, b"\0") + choices.take(choices.below(3))
        _inner(agreement.test_ws4py_mask)(key=key, data=bytearray(payload) if choices.flag() else payload)
    else:
        _inner(agreement.test_validators)(library="ws4py.streaming", chunks=_chunks(choices))


def wsaccel_modules(data: bytes) -> None:
    choices = Choices(data)
    if choices.flag():
        _inner(wsaccel.test_masker_agrees_with_wsaccel)(
            key=choices.take(4).ljust(4, b"\0"),
            chunks=[None if choices.rarely() else c for c in _chunks(choices)],
        )
    else:
        _inner(wsaccel.test_validator_agrees_with_wsaccel)(chunks=_chunks(choices))


TARGETS = {
    "adapter-websockets": websockets,
    "adapter-wsproto": wsproto,
    "adapter-websocket-client": websocket_client,
    "adapter-tornado": tornado,
    "adapter-autobahn": autobahn,
    "adapter-ws4py": ws4py,
    "adapter-wsaccel": wsaccel_modules,
}
