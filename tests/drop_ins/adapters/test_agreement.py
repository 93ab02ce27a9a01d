"""Original and replaced functions agree on results and on exceptions, for any input that Hypothesis finds."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from typing import Any
from unittest import mock

import pytest
from drop_ins.adapters.driver import frame
from hypothesis import given
from hypothesis import strategies as st

from fastframe import adapters

SMALL = st.binary(max_size=140)
PAYLOADS = st.one_of(SMALL, st.text(max_size=40).map(str.encode), st.just(bytes(70_000)))
# Mostly messages of one frame; and all that may come in their place.
OPCODES = st.one_of(st.sampled_from([1, 2]), st.sampled_from([1, 2, 0, 8, 9, 10]), st.integers(0, 15))
FINS = st.one_of(st.just(True), st.booleans())
RSVS = st.one_of(st.just(0), st.just(0), st.integers(0, 7))
FRAMES = st.lists(st.tuples(OPCODES, PAYLOADS, FINS, RSVS, st.integers(0, 40)), max_size=8)
CUTS = st.lists(st.integers(0, 2**17), max_size=6)


def stream(frames: list[Any], cuts: list[int], *, masked: bool) -> list[bytes]:
    """The frames as a peer sends them, in pieces; one in forty wrongly masked."""
    whole = b"".join(
        frame(opcode, payload, masked=masked is (luck != 0), fin=fin, rsv=rsv)
        for opcode, payload, fin, rsv, luck in frames
    )
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    return [whole[start:stop] for start, stop in pairwise(places)]


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What it returns and of which type, or what it raises."""
    try:
        value = function(*arguments, **options)
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)
    return type(value), value


ROLES = pytest.mark.parametrize("is_server", [True, False], ids=["server", "client"])


def both_ways(library: str, talk: Callable[[], Any]) -> tuple[Any, Any]:
    """What comes of it without the adapter, and with it."""
    # A masking key of zeros, whoever asks for one.
    with mock.patch.object(secrets, "token_bytes", bytes), mock.patch.object(os, "urandom", bytes):
        without = talk()
        with adapters.install(library, strict=True):
            return without, talk()


@ROLES
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("max_size", [None, 100, (200, 100)])
@given(frames=FRAMES, cuts=CUTS)
def test_websockets_protocol(
    is_server: bool, extended: bool, max_size: Any, frames: list[Any], cuts: list[int]
) -> None:
    deflate = import_module("websockets.extensions.permessage_deflate")
    library = import_module("websockets.protocol")

    def talk() -> Any:
        protocol = library.Protocol(library.SERVER if is_server else library.CLIENT, max_size=max_size)
        if extended:
            protocol.extensions = [deflate.PerMessageDeflate(False, False, 15, 15)]
        told = []
        for piece in stream(frames, cuts, masked=is_server):
            protocol.receive_data(piece)
            told.append((protocol.events_received(), protocol.data_to_send(), protocol.state))
            if protocol.state is library.OPEN:
                protocol.send_text(piece[:200])
                protocol.send_binary(piece[:300], fin=True)
                told.append(protocol.data_to_send())
        protocol.receive_eof()
        told.append((protocol.events_received(), protocol.data_to_send(), protocol.state))
        return told, repr(protocol.parser_exc), repr(protocol.close_exc)

    without, with_it = both_ways("websockets", talk)
    assert with_it == without


@ROLES
@given(frames=FRAMES, cuts=CUTS)
def test_wsproto_connection(is_server: bool, frames: list[Any], cuts: list[int]) -> None:
    library = import_module("wsproto.connection")
    events = import_module("wsproto.events")

    def talk() -> Any:
        connection = library.Connection(library.SERVER if is_server else library.CLIENT)
        told: list[Any] = []
        for piece in stream(frames, cuts, masked=is_server):
            told.append(outcome(connection.receive_data, piece))
            for event in connection.events():
                told.append((event, type(getattr(event, "data", None)), connection.state))
                if isinstance(event, events.Message):
                    told.append(outcome(connection.send, type(event)(event.data)))
                    told.append(outcome(connection.send, event))
        return told, connection.state

    without, with_it = both_ways("wsproto", talk)
    assert with_it == without


@ROLES
@given(
    data=st.one_of(st.text(max_size=200), st.binary(max_size=300), st.binary().map(bytearray), st.none()),
    kind=st.sampled_from(["TextMessage", "BytesMessage", "Message"]),
    finished=st.booleans(),
)
def test_wsproto_send(is_server: bool, data: Any, kind: str, finished: bool) -> None:
    library = import_module("wsproto.connection")
    events = import_module("wsproto.events")

    def talk() -> Any:
        connection = library.Connection(library.SERVER if is_server else library.CLIENT)
        event = getattr(events, kind)(data, True, finished)
        return [outcome(connection.send, event), outcome(connection.send, events.BytesMessage(b"next"))]

    without, with_it = both_ways("wsproto", talk)
    assert with_it == without


@given(
    data=st.one_of(PAYLOADS, st.text(max_size=100)),
    opcode=st.integers(0, 11),
    fin=st.integers(0, 2),
    rsv=st.integers(0, 2),
    masks=st.integers(0, 1),
)
def test_websocket_client_format(data: Any, opcode: int, fin: int, rsv: int, masks: int) -> None:
    abnf = import_module("websocket._abnf").ABNF

    def talk() -> Any:
        return outcome(abnf(fin, rsv % 2, 0, 0, opcode, masks, data).format)

    without, with_it = both_ways("websocket-client", talk)
    assert with_it == without


@given(data=st.one_of(SMALL, st.text(max_size=40).map(str.encode), st.text(max_size=40)))
def test_websocket_client_validation(data: Any) -> None:
    utils = import_module("websocket._utils")
    without, with_it = both_ways("websocket-client", lambda: outcome(utils.validate_utf8, data))
    assert with_it == without


@given(key=st.binary(min_size=4, max_size=4), data=PAYLOADS)
def test_websocket_client_mask(key: bytes, data: bytes) -> None:
    abnf = import_module("websocket._abnf").ABNF
    without, with_it = both_ways("websocket-client", lambda: outcome(abnf.mask, key, data))
    assert with_it == without


@given(
    reads=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    wanted=st.lists(st.integers(0, 90), max_size=4),
)
def test_websocket_client_reads_of_an_exact_size(reads: list[bytes], wanted: list[int]) -> None:
    library = import_module("websocket._abnf")

    def talk() -> Any:
        left = list(reads)
        asked: list[int] = []

        def recv(size: int) -> bytes:
            asked.append(size)
            if not left:
                raise TimeoutError("timed out")
            first = left.pop(0)
            if len(first) > size:
                left.insert(0, first[size:])
            return first[:size]

        buffer = library.frame_buffer(recv, True)
        # What has timed out is asked for again.
        told = [outcome(buffer.recv_strict, size) for size in wanted for _ in range(2)]
        return told, asked, buffer.recv_buffer

    without, with_it = both_ways("websocket-client", talk)
    assert with_it == without


@given(key=st.binary(min_size=4, max_size=4), data=PAYLOADS)
def test_tornado_mask(key: bytes, data: bytes) -> None:
    library = import_module("tornado.websocket")
    without, with_it = both_ways("tornado", lambda: outcome(library._websocket_mask, key, data))
    assert with_it == without


@given(key=st.binary(min_size=4, max_size=4), chunks=st.lists(PAYLOADS, max_size=4))
def test_autobahn_masker(key: bytes, chunks: list[bytes]) -> None:
    library = import_module("autobahn.websocket.protocol")

    def talk() -> Any:
        masker = library.create_xor_masker(key, 1000)
        told = [(outcome(masker.process, chunk), masker.pointer()) for chunk in chunks]
        masker.reset()
        return told, masker.pointer()

    without, with_it = both_ways("autobahn", talk)
    assert with_it == without


@given(chunks=st.lists(st.one_of(st.binary(max_size=8), st.text(max_size=8).map(str.encode)), max_size=4))
@pytest.mark.parametrize("library", ["autobahn.websocket.protocol", "ws4py.streaming"])
def test_validators(library: str, chunks: list[bytes]) -> None:
    module = import_module(library)

    def talk() -> Any:
        validator = module.Utf8Validator()
        told = []
        for chunk in chunks:
            told.append(validator.validate(chunk))
            if not told[-1][0]:
                # From here on NVX goes by chunks again, and nobody asks it.
                break
        validator.reset()
        return told, validator.validate(b"again")

    without, with_it = both_ways(library.partition(".")[0], talk)
    assert with_it == without


@given(
    key=st.binary(min_size=4, max_size=6),
    data=st.one_of(PAYLOADS, SMALL.map(bytearray)),
)
def test_ws4py_mask(key: bytes, data: Any) -> None:
    library = import_module("ws4py.framing")

    def talk() -> Any:
        made = library.Frame(opcode=2, body=b"", masking_key=key, fin=1)
        return outcome(made.mask, data), outcome(made.unmask, data)

    without, with_it = both_ways("ws4py", talk)
    assert with_it == without
