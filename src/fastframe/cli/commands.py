"""A line that was typed: a message, or a command that begins with a slash."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..frames import MAX_CONTROL_PAYLOAD, Close, CloseCode

__all__ = [
    "HELP",
    "NAMES",
    "Command",
    "CommandError",
    "End",
    "Send",
    "SendFile",
    "SendPing",
    "ShowHelp",
    "parse_line",
]


class CommandError(ValueError):
    """A line cannot be obeyed, and why."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message."""

    message: str | bytes


@dataclass(frozen=True, slots=True)
class SendFile:
    """Send what is in a file, as one message."""

    path: Path
    as_text: bool


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping; a random payload if it is None."""

    payload: bytes | None


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection."""

    close_code: int
    close_reason: str


@dataclass(frozen=True, slots=True)
class ShowHelp:
    """Show `HELP`."""


Command: TypeAlias = Send | SendFile | SendPing | End | ShowHelp

HELP = """\
a line               is sent as a text message
/text TEXT           send TEXT, even if it begins with a slash or is empty
/binary HEX          send a binary message: /binary 48 65 6c 6c 6f
/binary base64 DATA  likewise: /binary base64 SGVsbG8=
/file PATH           send a file as one binary message
/file text PATH      send a file as one text message
/ping [PAYLOAD]      send a ping; the pong is shown with the time it took
/close [CODE [REASON]]   close the connection, with 1000 unless told otherwise
/help                show this"""


def parse_line(line: str) -> Command:
    """Understand a line.

    Raises:
        ValueError: it begins with a slash and is no command, or a wrong one.
    """
    if not line.startswith("/"):
        return Send(line)
    name, _, rest = line.partition(" ")
    parse = _PARSERS.get(name)
    if parse is None:
        raise CommandError(f"there is no command {name}: see /help, or send the line with /text {line}")
    return parse(rest)


def _binary(rest: str) -> Command:
    kind, _, data = rest.strip().partition(" ")
    try:
        if kind == "base64":
            return Send(base64.b64decode("".join(data.split()), validate=True))
        return Send(bytes.fromhex(data if kind == "hex" else rest))
    except (binascii.Error, ValueError) as error:
        wanted = "Base64" if kind == "base64" else "pairs of hexadecimal digits"
        raise CommandError(f"/binary needs {wanted}: {error}") from None


def _file(rest: str) -> Command:
    path = rest.strip()
    as_text = path.startswith("text ")
    path = path.removeprefix("text ").strip()
    if not path:
        raise CommandError("/file needs the path of a file")
    return SendFile(Path(os.path.expanduser(path)), as_text)


def _ping(rest: str) -> Command:
    payload = rest.encode()
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise CommandError(f"the payload of a ping has {MAX_CONTROL_PAYLOAD} bytes at most")
    return SendPing(payload or None)


def _close(rest: str) -> Command:
    number, _, reason = rest.strip().partition(" ")
    if number and not (number.isascii() and number.isdigit() and len(number) <= 5):
        raise CommandError(f"/close needs a number as its code, not {number}")
    close_code, close_reason = int(number or CloseCode.NORMAL_CLOSURE), reason.strip()
    Close(close_code, close_reason).serialize()  # for its checks
    return End(close_code, close_reason)


_PARSERS: dict[str, Callable[[str], Command]] = {
    "/binary": _binary,
    "/close": _close,
    "/file": _file,
    "/help": lambda _: ShowHelp(),
    "/ping": _ping,
    "/text": Send,
}

NAMES = tuple(_PARSERS)
