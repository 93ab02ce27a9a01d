"""The process of one server or client under test; `process.py` starts it.

A server prints ``port N`` and serves until its standard input ends, so that it
never outlives who started it. A client prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import pathlib
import resource
from collections.abc import Coroutine
from typing import Any

from .hosting import Conversation, Setup, Talk, stopwatch


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _check_half(half: str) -> None:
    if half:
        found = importlib.import_module("fastframe").BACKEND
        if found != half:
            raise SystemExit(f"fastframe's {half} half was wanted, {found} is in use")


async def _serve(library: Any, form: str, setup: Setup) -> None:
    port = await library.serve(form, setup)
    print(f"port {port}", flush=True)
    # No handler of a library is asked to end: what is measured is over.
    asyncio.get_running_loop().add_reader(0, os._exit, 0)
    await asyncio.Event().wait()


async def _talk(library: Any, form: str, talk: Talk, warmup: float, seconds: float) -> None:
    """Measure a client; every message that was sent is answered before it ends."""
    talking = asyncio.ensure_future(library.talk(form, talk))
    done, _ = await asyncio.wait({talking}, timeout=warmup)
    before, (start, cpu_start) = talk.replies(), stopwatch()
    if not done:
        done, _ = await asyncio.wait({talking}, timeout=seconds)
    after, (end, cpu_end) = talk.replies(), stopwatch()
    talk.end()
    if done:
        talking.result()
        raise SystemExit("the connections ended before the time was over")
    await asyncio.wait_for(talking, 10)
    result = {
        "count": after - before,
        "seconds": end - start,
        "server_cpu": (cpu_end - cpu_start) / (end - start),
    }
    print(json.dumps(result), flush=True)


def _run(main: Coroutine[Any, Any, None], loop: str) -> None:
    if loop == "uvloop":
        importlib.import_module("uvloop").run(main)
    else:
        asyncio.run(main)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("form")
    parser.add_argument("loop", choices=("asyncio", "uvloop"))
    parser.add_argument("--half", default="")
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--certificate", default="")
    parser.add_argument("--port", type=int, help="be a client of this server")
    parser.add_argument("--payloads", type=pathlib.Path)
    for name in ("--size", "--connections", "--in-flight"):
        parser.add_argument(name, type=int)
    for name in ("--warmup", "--seconds"):
        parser.add_argument(name, type=float)
    return parser.parse_args()


def _talk_of(arguments: argparse.Namespace) -> Talk:
    data = arguments.payloads.read_bytes()
    size = arguments.size
    messages = [data[at : at + size] for at in range(0, len(data), size)]
    shift = len(messages) // arguments.connections + 1
    return Talk(
        arguments.port,
        tuple(
            # Each starts elsewhere, so that another connection's reply is noticed.
            Conversation(messages[start:] + messages[:start], arguments.in_flight)
            for start in (number * shift % len(messages) for number in range(arguments.connections))
        ),
    )


def main() -> None:
    arguments = _arguments()
    _raise_descriptor_limit()
    _check_half(arguments.half)
    library = importlib.import_module(f"{__package__}.{arguments.library}")
    if arguments.port is None:
        setup = Setup(arguments.copies, arguments.deflate, arguments.certificate)
        _run(_serve(library, arguments.form, setup), arguments.loop)
    else:
        talk = _talk_of(arguments)
        _run(_talk(library, arguments.form, talk, arguments.warmup, arguments.seconds), arguments.loop)


if __name__ == "__main__":
    main()
