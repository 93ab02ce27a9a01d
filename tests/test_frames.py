from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import partial
from typing import Any, cast

import pytest
from wire import Error, expand, load

from fastframe import (
    Close,
    CloseCode,
    FastframeError,
    Frame,
    FrameHeader,
    InvalidUtf8,
    MessageTooBig,
    Opcode,
    Ping,
    Pong,
    ProtocolError,
)

CLOSES = [pytest.param(vector, id=vector["name"]) for vector in load("closes")]
CODES = load("close_codes")


@pytest.mark.parametrize("vector", CLOSES)
def test_close_parse_reads_or_refuses_the_payload(vector: dict[str, Any]) -> None:
    payload = expand(vector["payload"])
    if "close" in vector:
        assert Close.parse(payload) == Close(*vector["close"])
        assert Close(*vector["close"]).serialize() == payload
    else:
        with pytest.raises(ProtocolError) as caught:
            Close.parse(payload)
        assert Error.of(caught.value) == Error(*vector["error"])


def test_close_code_vectors_cover_every_code_once() -> None:
    assert [code for span in CODES for code in range(span["first"], span["last"] + 1)] == list(range(65536))


def refusal(call: Callable[[], object]) -> str | None:
    """What `call` raises; pytest.raises would take seconds for all codes."""
    try:
        call()
    except (ProtocolError, ValueError) as error:
        return str(error)
    return None


@pytest.mark.parametrize("span", CODES, ids=lambda span: f"{span['first']}-{span['last']}")
def test_close_codes_are_judged_alike_in_both_directions(span: dict[str, Any]) -> None:
    for code in range(span["first"], span["last"] + 1):
        payload = code.to_bytes(2, "big")
        if span["may_be_sent"]:
            assert Close.parse(payload) == Close(code)
            assert Close(code).serialize() == payload
        else:
            assert refusal(partial(Close.parse, payload)) == f"close code {code} may not be sent"
            assert refusal(Close(code).serialize) == f"close_code {code} may not be sent (RFC 6455 7.4)"


def test_close_serialize_refuses_what_does_not_fit() -> None:
    assert Close().serialize() == b""
    with pytest.raises(ValueError, match="^close_reason needs a close_code"):
        Close(None, "why").serialize()
    assert len(Close(1000, "ä" * 61 + ".").serialize()) == 125
    with pytest.raises(ValueError, match="^close_reason has 124 bytes in UTF-8, at most 123 fit"):
        Close(1000, "ä" * 62).serialize()
    with pytest.raises(ValueError, match="^close_code -1 may not be sent"):
        Close(-1).serialize()


@pytest.mark.parametrize(
    ("close_code", "close_reason", "wrong"),
    [
        (1000.0, "", "close_code must be an int or None, got 1000.0"),
        (3000.5, "why", "close_code must be an int or None, got 3000.5"),
        ("1000", "", "close_code must be an int or None, got '1000'"),
        ([], "", r"close_code must be an int or None, got \[\]"),
        (1000, b"why", "close_reason must be a str, got b'why'"),
        (1000, None, "close_reason must be a str, got None"),
    ],
)
def test_close_serialize_refuses_other_types(close_code: Any, close_reason: Any, wrong: str) -> None:
    with pytest.raises(TypeError, match=f"^{wrong}$"):
        Close(close_code, close_reason).serialize()


def test_items_compare_by_type_and_payload_and_are_frozen() -> None:
    assert Ping(b"a") == Ping(b"a") != Ping(b"b")
    ping, pong = cast("object", Ping(b"a")), cast("object", Pong(b"a"))
    assert ping != pong
    assert Ping().payload == Pong().payload == b""
    assert Close() != Close(1000) != Close(1000, "x")
    for value, field in ((Ping(), "payload"), (Pong(), "payload"), (Close(), "close_code")):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field, b"")
        assert value in {value}


def test_opcodes_and_close_codes_have_their_wire_values() -> None:
    assert {opcode.name: int(opcode) for opcode in Opcode} == {
        "CONTINUATION": 0,
        "TEXT": 1,
        "BINARY": 2,
        "CLOSE": 8,
        "PING": 9,
        "PONG": 10,
    }
    assert [int(code) for code in CloseCode] == [*range(1000, 1004), *range(1005, 1016)]


def test_frame_defaults_to_a_whole_plain_one() -> None:
    assert Frame(Opcode.TEXT) == (Opcode.TEXT, b"", True, False, False, False)
    header = FrameHeader(True, False, False, False, Opcode.TEXT, None, 5, 2)
    assert not header.masked
    assert header._replace(masking_key=b"abcd").masked


@pytest.mark.parametrize(
    ("error", "parent", "close_code"),
    [
        (ProtocolError, FastframeError, 1002),
        (InvalidUtf8, ProtocolError, 1007),
        (MessageTooBig, ProtocolError, 1009),
    ],
)
def test_errors_carry_their_close_code(
    error: type[ProtocolError], parent: type[Exception], close_code: int
) -> None:
    raised = error("why")
    assert error.__base__ is parent
    assert (str(raised), raised.close_code, raised.decoded) == ("why", close_code, [])
    assert error("other").decoded is not raised.decoded
