"""References and memory blocks that stay behind: every operation again and again on a debug build of CPython.

``python3-dbg tests/checkers/leaks.py``, with the package built for it. sys.gettotalrefcount counts all
references there are; after a warming-up it must be the same before and after an operation, whether that
succeeds or raises.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastframe import Close, Connection, Role, _codec_c, connect, serve
from fastframe.deflate import PerMessageDeflate
from fastframe.errors import ConnectionClosed, ProtocolError
from fastframe.http_headers import parse_extensions

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
WARM = 30
REPEATED = 200
ROUNDS = 5
REPEATED_LOOP = 15

KEPT: list[object] = []
CODEC: Any = _codec_c

Operation = Callable[[], object]


def refused(call: Operation, kind: type[BaseException] | tuple[type[BaseException], ...]) -> Operation:
    """An operation that must raise."""

    def run() -> None:
        try:
            call()
        except kind:
            return
        raise AssertionError("it did not raise")

    return run


def bytes_of(spec: Any) -> bytes:
    if isinstance(spec, str):
        return bytes.fromhex(spec)
    if isinstance(spec, list):
        return b"".join(map(bytes_of, spec))
    return (
        str(spec["text"]).encode() if "text" in spec else bytes.fromhex(spec["repeat"]) * int(spec["count"])
    )


def frame(opcode: int, payload: bytes, role: Role, first: int = 0x80, key: bytes = b"\1\2\3\4") -> bytes:
    length = len(payload)
    size = bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
    header = bytearray(bytes([first | opcode]) + size)
    if role is Role.CLIENT:
        return bytes(header) + payload
    header[1] |= 0x80
    return bytes(header) + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


def decoding(role: Role, data: bytes, **options: Any) -> Operation:
    """Whole, cut, in place and in pieces; its own exception caught."""

    def run() -> None:
        for chunks in ([data], [data[i : i + 1] for i in range(len(data))], [data[:7], data[7:]]):
            for in_place in (False, True):
                decoder = CODEC.MessageDecoder(role, **options)
                try:
                    for chunk in chunks:
                        view = decoder.get_buffer(1) if in_place else None
                        if view is not None and len(view) >= len(chunk):
                            view[: len(chunk)] = chunk
                            decoder.received(len(chunk))
                        else:
                            decoder.receive(chunk)
                        decoder.take_chunk()
                except ProtocolError as error:
                    assert decoder.error is error
        frames = CODEC.FrameDecoder(role, rsv1=True)
        with contextlib.suppress(ProtocolError):
            frames.receive(data)

    return run


def broken_inflate(_: bytes, __: int | None) -> bytes:
    raise RuntimeError("inflate fails")


def inflating(role: Role, data: bytes, inflate: Callable[..., object]) -> None:
    CODEC.MessageDecoder(role, inflate=inflate).receive(data)


def decoder_operations() -> dict[str, Operation]:
    operations: dict[str, Operation] = {}
    for role in Role:
        for opcode, payload in [
            (1, "aé".encode() * 30),
            (1, b"a" * 300),
            (2, b"\xff" * 70),
            (9, b"x"),
            (8, b"\x03\xe8"),
        ]:
            name = f"decode opcode {opcode}, {len(payload)} bytes, {role.value}"
            operations[name] = decoding(role, frame(opcode, payload, role))
        operations[f"invalid UTF-8, {role.value}"] = decoding(role, frame(1, b"a\xff", role))
        operations[f"fragments, {role.value}"] = decoding(
            role, frame(1, "é".encode()[:1], role, 0) + frame(9, b"", role) + frame(0, "é".encode()[1:], role)
        )
        operations[f"too big, {role.value}"] = decoding(role, frame(2, bytes(100), role), max_message_size=99)
        operations[f"too many fragments, {role.value}"] = decoding(
            role, frame(2, b"a", role, 0) + frame(0, b"a", role) * 3, max_fragments=1
        )
        operations[f"unfinished, {role.value}"] = decoding(role, frame(2, bytes(200), role)[:50])
        compressed = frame(1, b"abc", role, 0xC0)
        operations[f"inflate, {role.value}"] = decoding(role, compressed, inflate=lambda data, _: data)
        operations[f"inflate gives no bytes, {role.value}"] = refused(
            partial(inflating, role, compressed, lambda *_: None),
            Exception,
        )
        operations[f"inflate raises, {role.value}"] = refused(
            partial(inflating, role, compressed, broken_inflate),
            RuntimeError,
        )
    for vector in json.loads((VECTORS / "header_errors.json").read_text()):
        data = bytes_of(vector["header"])
        operations[f"header error: {vector['name']}"] = decoding(Role.SERVER, data)
    return operations


def other_operations() -> dict[str, Operation]:
    encoder = CODEC.FrameEncoder(Role.CLIENT)
    room = bytearray(300)
    validator = CODEC.Utf8Validator()
    mistakes = (TypeError, ValueError)

    def encode() -> None:
        encoder.append(2, b"abc" * 50)
        encoder.append_message("text é")
        encoder.append_message(memoryview(b"a1b2")[::2])
        assert encoder.take()

    def wrong_data() -> None:
        for wrong in ("x", 5, None, "\ud800"):
            refused(partial(CODEC.apply_mask, wrong, b"abcd"), mistakes)()

    return {
        "mask": lambda: CODEC.apply_mask(b"x" * 100, b"abcd"),
        "mask strided": lambda: CODEC.apply_mask(memoryview(b"x" * 100)[::3], b"abcd"),
        "mask in place": lambda: CODEC.apply_mask_inplace(room, b"abcd", 3),
        "masker": lambda: CODEC.Masker(b"abcd").process(b"x" * 33),
        "mask of other types": wrong_data,
        "wrong key": refused(lambda: CODEC.apply_mask(b"x", b"abc"), ValueError),
        "wrong offset": refused(lambda: CODEC.apply_mask_inplace(room, b"abcd", -1), ValueError),
        "read-only": refused(lambda: CODEC.apply_mask_inplace(b"abcd", b"abcd"), (*mistakes, BufferError)),
        "UTF-8": lambda: (
            CODEC.is_valid_utf8("é".encode() * 60),
            validator.validate(b"a\xff"),
            validator.reset(),
        ),
        "UTF-8 of no bytes": refused(lambda: CODEC.is_valid_utf8("text"), TypeError),
        "header": lambda: CODEC.parse_header(b"\x81\x85abcdefghi"),
        "header refused": refused(lambda: CODEC.parse_header(b"\x83\x00"), ProtocolError),
        "frame": lambda: CODEC.encode_frame(1, "é" * 100, masking_key=b"abcd"),
        "encode": encode,
        "opcode refused": refused(lambda: encoder.append(3, b""), ValueError),
        "ping too long": refused(lambda: encoder.append(9, bytes(126)), ValueError),
        "surrogate": refused(lambda: encoder.append(1, "\ud800"), ValueError),
        "no payload": refused(lambda: encoder.append(1, 5), TypeError),
        "no message": refused(lambda: encoder.append_message(None), TypeError),
        "close refused": refused(lambda: Close(1005).serialize(), ValueError),
        "wrong options": refused(lambda: CODEC.MessageDecoder(Role.CLIENT, max_fragments=0), ValueError),
        "wrong role": refused(lambda: CODEC.FrameDecoder("x"), mistakes),
    }


def connection_operations() -> dict[str, Operation]:
    def talk() -> None:
        wishes = PerMessageDeflate()
        accepted = wishes.accept(parse_extensions(wishes.offer()))
        assert accepted is not None
        client = Connection(Role.CLIENT, deflate=wishes.confirm(parse_extensions(accepted[0])[0]))
        server = Connection(Role.SERVER, deflate=accepted[1])
        client.send("text" * 50)
        client.ping(b"p")
        assert len(server.receive(client.take())) == 2
        client.receive(server.take())
        server.close(1001, "enough")
        client.receive(server.take())
        client.conclude()
        server.receive(client.take())
        assert server.finished and client.finished
        refused(lambda: client.send("late"), ConnectionClosed)()
        server.end()

    def fail() -> None:
        server = Connection(Role.SERVER)
        server.receive(frame(1, b"ok", Role.SERVER) + b"\x81\x01a")
        server.conclude()
        assert server.failure is not None and server.take()
        refused(server.ping, ConnectionClosed)()

    return {"conversation": talk, "failed connection": fail}


def references() -> int:
    """All that there are, but for those to the types of Cython's own generators and coroutines.

    Of such a type Cython 3.3 leaves a reference behind with each generator; the type is there for ever in any
    case, and nothing is lost.
    """
    types = [
        each
        for each in gc.get_objects()
        if isinstance(each, type) and str(each).startswith("<class '_cython_")
    ]
    total: int = sys.gettotalrefcount()
    return total - sum(map(sys.getrefcount, types))


def grown(operation: Operation, repeated: int) -> int:
    """References that each repetition leaves behind, rounded; the least of a few rounds."""
    least = None
    for _ in range(WARM if repeated == REPEATED else 3):
        operation()
    for _ in range(ROUNDS):
        gc.collect()
        before = references()
        for _ in range(repeated):
            operation()
        gc.collect()
        more = references() - before
        least = more if least is None else min(least, more)
    assert least is not None
    return int(least)


async def _echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def _scenario() -> None:
    """Messages, cancelled operations, a failed connection, and one that is dropped."""
    async with serve(_echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/") as ws:
            await ws.send("a" * 200)
            assert await ws.recv() == "a" * 200
            for _ in range(5):
                waiting = asyncio.ensure_future(ws.recv())
                await asyncio.sleep(0)
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waiting
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.001)
            await ws.send("b")
            assert await ws.recv() == "b"
            unused = ws.recv()
            unused.close()
            ws.transport.write(b"\x81\x01a")
            with contextlib.suppress(ConnectionClosed):
                await ws.recv()


def scenario() -> None:
    # asyncio logs the violation.
    asyncio.run(_scenario())


def planted() -> None:
    KEPT.append(object())


def main() -> int:
    # What shows that a leak would be found.
    if grown(planted, REPEATED) < REPEATED:
        print("FAILED: the planted leak was not found")
        return 1
    operations = {**decoder_operations(), **other_operations(), **connection_operations()}
    leaks = {name: grown(operation, REPEATED) for name, operation in operations.items()}
    leaks["sockets"] = grown(scenario, REPEATED_LOOP)
    # Fewer than one in ten repetitions: what the interpreter itself caches now and then.
    found = {
        name: more
        for name, more in leaks.items()
        if more * 10 >= (REPEATED_LOOP * 10 if name == "sockets" else REPEATED)
    }
    for name, more in found.items():
        print(f"FAILED: {name} left {more} references behind")
    print(f"leaks: {len(leaks)} operations, {len(found)} leak")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
