"""How contestants are called for masking and UTF-8 (frames: calls_frames.py, who takes part: contestants.py).

Every function here takes what an operation works on and returns what is to be
timed, or raises `Unavailable`. Where a peer has several ways, it is measured
the way it calls itself.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

from .node import NodeMissing, NodeUtf8, node_process
from .timing import Runner, Snippet


class Unavailable(Exception):
    """A contestant cannot take part here; the text goes into the table."""


UNCHECKED: object = object()
"""The result of a yardstick, which does another thing than the contestants."""


@dataclass(frozen=True)
class MaskInput:
    """Bytes to mask, and a key of 4 bytes."""

    data: bytes
    key: bytes


# How contestants are loaded ------------------------------------------------


def version_of(distribution: str) -> str | None:
    """Return the installed version of a distribution, None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def load(distribution: str, module: str, name: str | None = None) -> Any:
    """Import a peer's module, or one name of it."""
    try:
        found = importlib.import_module(module)
        return found if name is None else getattr(found, name)
    except (ImportError, AttributeError) as error:
        if version_of(distribution) is None:
            raise Unavailable("not installed") from error
        raise Unavailable(f"{distribution} has no {module}{'.' + name if name else ''} here") from error


def ours(half: str) -> Any:
    """Import one half of our codec, whichever is in use."""
    try:
        return importlib.import_module(f"fastframe.{half}")
    except ImportError as error:
        raise Unavailable(f"not built: {error}") from error


def role(*, client: bool) -> Any:
    """Return our Role.CLIENT or Role.SERVER."""
    return ours("frames").Role["CLIENT" if client else "SERVER"]


def load_again(distribution: str, module: str, without: Any) -> Any:
    """Import a second copy of a module under a condition that makes it choose its pure code."""
    load(distribution, module)
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    with without:
        spec.loader.exec_module(copy)
    return copy


def lacks(reason: str) -> Callable[[Any], Snippet]:
    """A contestant that is listed only to say why it is not measured."""

    def build(_: Any) -> Snippet:
        raise Unavailable(reason)

    return build


# Masking: bytes and a key in, bytes out ------------------------------------


def mask_ours(half: str) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        return Snippet("mask(data, key)", {"mask": ours(half).apply_mask, "data": case.data, "key": case.key})

    return build


def mask_websockets(module: str) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        mask = load("websockets", module, "apply_mask")
        return Snippet("mask(data, key)", {"mask": mask, "data": case.data, "key": case.key})

    return build


def mask_tornado(module: str, name: str) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        mask = load("tornado", module, name)
        return Snippet("mask(key, data)", {"mask": mask, "data": case.data, "key": case.key})

    return build


def mask_object(distribution: str, module: str) -> Callable[[MaskInput], Snippet]:
    """XorMaskerSimple of wsaccel and wsproto: a new one a frame, as their callers make it."""

    def build(case: MaskInput) -> Snippet:
        masker = load(distribution, module, "XorMaskerSimple")
        names = {"Masker": masker, "data": case.data, "key": case.key}
        return Snippet("Masker(key).process(data)", names, normalise=bytes)

    return build


def mask_websocket_client(pure: bool) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        if pure:
            blocked = mock.patch.dict(sys.modules, {"wsaccel": None, "wsaccel.xormask": None})
            mask = load_again("websocket-client", "websocket._abnf", blocked)._mask
        else:
            load("wsaccel", "wsaccel.xormask")
            mask = load("websocket-client", "websocket._abnf", "_mask")
        names = {"mask": mask, "array": array, "data": case.data, "key": case.key}
        return Snippet("mask(array('B', key), array('B', data))", names)

    return build


def mask_autobahn(pure: bool) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        if pure:
            package = load("autobahn", "autobahn.websocket")
            module = load_again(
                "autobahn", "autobahn.websocket.xormasker", mock.patch.object(package, "USES_NVX", False)
            )
        else:
            load("autobahn", "_nvx_xormasker")
            module = load("autobahn", "autobahn.nvx._xormasker")
        names = {
            "create": module.create_xor_masker,
            "data": case.data,
            "key": case.key,
            "size": len(case.data),
        }
        return Snippet("create(key, size).process(data)", names)

    return build


def inplace_ours(half: str) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        names = {"mask": ours(half).apply_mask_inplace, "buffer": bytearray(case.data), "key": case.key}
        return Snippet("mask(buffer, key)", names, normalise=lambda _: bytes(names["buffer"]))

    return build


def inplace_aiohttp(module: str, name: str) -> Callable[[MaskInput], Snippet]:
    def build(case: MaskInput) -> Snippet:
        names = {"mask": load("aiohttp", module, name), "buffer": bytearray(case.data), "key": case.key}
        return Snippet("mask(key, buffer)", names, normalise=lambda _: bytes(names["buffer"]))

    return build


# UTF-8: bytes in, valid or not ---------------------------------------------


def utf8_whole(half: str) -> Callable[[bytes], Snippet]:
    def build(data: bytes) -> Snippet:
        return Snippet("is_valid(data)", {"is_valid": ours(half).is_valid_utf8, "data": data})

    return build


def utf8_validator(find: Callable[[], Any]) -> Callable[[bytes], Snippet]:
    """Validators of wsaccel's contract. One is kept: after a whole text it is as good as new."""

    def build(data: bytes) -> Snippet:
        validate = find()().validate
        return Snippet(
            "validate(data)",
            {"validate": validate, "data": data},
            normalise=lambda answer: bool(answer[0] and answer[1]),
        )

    return build


def nvx_validator() -> Any:
    load("autobahn", "_nvx_utf8validator")
    return load("autobahn", "autobahn.nvx._utf8validator", "Utf8Validator")


def utf8_decode(data: bytes) -> Snippet:
    """What peers without a validator do; UnicodeDecodeError is its False."""
    return Snippet("data.decode()", {"data": data}, normalise=lambda text: isinstance(text, str))


def utf8_node(data: bytes) -> Runner:
    try:
        return NodeUtf8(node_process(), data)
    except NodeMissing as error:
        raise Unavailable(str(error)) from error


# The yardsticks ------------------------------------------------------------


def copy_of(data: bytes) -> Snippet:
    return Snippet("copy(source)", {"copy": bytes, "source": bytearray(data)}, normalise=lambda _: UNCHECKED)


def empty_call(data: bytes) -> Snippet:
    """`callable` is a C function of one argument (METH_O) that reads one type slot and returns a
    shared object: argument passing and return are all it does, for bytes of any length."""
    return Snippet("empty(data)", {"empty": callable, "data": data}, normalise=lambda _: UNCHECKED)
