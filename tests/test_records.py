"""Classes of fastframe beside the same ones made by typing and dataclasses, which it does not import."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import typing
from typing import Any

import pytest

import fastframe
from fastframe import Close, Frame, FrameHeader, Opcode, Ping, Pong


@dataclasses.dataclass(frozen=True, slots=True)
class LikeClose:
    close_code: int | None = None
    close_reason: str = ""


class LikeFrame(typing.NamedTuple):
    opcode: Opcode
    payload: bytes = b""
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False


CLOSES: list[Any] = [Close, LikeClose]
FRAMES: list[Any] = [Frame, LikeFrame]
VALUES: list[Any] = [Ping(b"a"), Pong(), Close(1000, "bye"), Close(), Frame(Opcode.TEXT, b"x", rsv1=True)]


def both(examined: list[Any]) -> list[Any]:
    """What is left of a pair when the name of the class is taken away."""
    return [str(value).replace("Like", "") for value in examined]


def test_shown_and_called_like_a_dataclass() -> None:
    ours, theirs = both([cls(1000, close_reason="a'b") for cls in CLOSES])
    assert ours == theirs == """Close(close_code=1000, close_reason="a'b")"""
    ours, theirs = both([inspect.signature(cls) for cls in CLOSES])
    assert ours == theirs
    assert Close.__match_args__ == LikeClose.__match_args__
    assert [cls.__slots__ for cls in CLOSES] == [("close_code", "close_reason")] * 2
    for cls in CLOSES:
        with pytest.raises(TypeError):
            cls(1000, "", "more")
        with pytest.raises(TypeError):
            cls(code=1000)
        with pytest.raises(dataclasses.FrozenInstanceError, match="^cannot delete field 'close_code'$"):
            del cls().close_code
        assert hash(cls(1, "a")) == hash((1, "a"))


def test_shown_and_called_like_a_named_tuple() -> None:
    ours, theirs = both([cls(Opcode.PING, rsv2=True) for cls in FRAMES])
    assert ours == theirs
    signatures = [inspect.signature(cls).parameters.values() for cls in FRAMES]
    ours, theirs = [[(one.name, one.kind, one.default) for one in taken] for taken in signatures]
    assert ours == theirs
    for name in ("_fields", "_field_defaults"):
        assert getattr(Frame, name) == getattr(LikeFrame, name)
    assert Frame.__module__ == "fastframe.frames"
    assert FrameHeader._fields[-1] == "header_length"
    assert FrameHeader.masked.__doc__ == "Whether the payload is masked."
    assert typing.get_type_hints(Frame) == typing.get_type_hints(LikeFrame)


def test_matched_by_position() -> None:
    match VALUES[2]:
        case Close(code, reason):
            assert (code, reason) == (1000, "bye")
        case _:
            pytest.fail("not matched")


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_copied_and_pickled(value: Any) -> None:
    assert copy.copy(value) == copy.deepcopy(value) == value
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(value, protocol))
        assert again == value
        assert type(again) is type(value)


def test_documented() -> None:
    for cls in (Ping, Pong, Close, Frame, FrameHeader):
        assert cls.__doc__
        assert getattr(fastframe, cls.__qualname__) is cls
