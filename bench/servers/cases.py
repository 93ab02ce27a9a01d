"""The cases: what is done with every server."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..figures import KIB, MIB, size_name
from .hosting import Setup


class Mode(enum.Enum):
    """What the load does, and the unit of what is counted."""

    ECHO = "messages/s echoed"
    FANOUT = "deliveries/s"
    CONNECT = "connections/s, each with one echo"
    IDLE = "bytes a connection"
    CLIENT = "messages/s, as client of the C server"


@dataclass(frozen=True)
class Case:
    """One load.

    Attributes:
        figure: of the project's list, to which it belongs; 0 for none.
        connections: how many; in mode CONNECT, how many at the same time.
        in_flight: messages on each connection whose replies are outstanding.
        size: bytes in a message.
        copies: broadcasts for each message, in a fan-out.
        packed: whether the messages are compressed where deflate is agreed on.
        slow: further connections that send and never read.
        quick: whether a quick run has it.
    """

    mode: Mode
    connections: int
    in_flight: int = 1
    size: int = 125
    figure: int = 0
    text: bool = False
    tls: bool = False
    deflate: bool = False
    packed: bool = True
    copies: int = 0
    slow: int = 0
    quick: bool = False

    @property
    def label(self) -> str:
        """Unique, and what `--cases` selects by."""
        if self.mode is Mode.IDLE:
            label = f"idle {self.connections:,}"
        elif self.mode is Mode.CONNECT:
            label = "connect"
        elif self.mode is Mode.FANOUT:
            label = f"fan-out {self.connections:,}" + (f" x {self.copies} a tick" if self.copies > 1 else "")
        else:
            role = "client " if self.mode is Mode.CLIENT else ""
            label = f"{role}{self.connections} x {self.in_flight}, {size_name(self.size)}"
        traits = {"text": self.text, "TLS": self.tls, "deflate": self.deflate}
        traits |= {"unused": not self.packed, "slow": bool(self.slow)}
        return ", ".join([label, *(name for name, has in traits.items() if has)])

    @property
    def needs_fresh_server(self) -> bool:
        """Whether it asks for memory, of which an old process says nothing."""
        return self.mode is Mode.IDLE or self.slow > 0

    @property
    def traits(self) -> set[str]:
        """What a server has to be able to do."""
        traits = {"client"} if self.mode is Mode.CLIENT else set()
        traits |= {"tls"} if self.tls else set()
        traits |= {"deflate"} if self.deflate else set()
        return traits | ({"fanout"} if self.mode is Mode.FANOUT else set())

    def setup(self, certificate: str) -> Setup:
        return Setup(self.copies, self.deflate, certificate if self.tls else "")


def _echo(connections: int, in_flight: int, size: int = 125, figure: int = 0, **traits: bool) -> Case:
    quick = traits.pop("quick", figure > 0)
    return Case(Mode.ECHO, connections, in_flight, size, figure, quick=quick, **traits)


CASES: tuple[Case, ...] = (
    _echo(32, 1, figure=7),
    _echo(8, 32, figure=8),
    _echo(8, 32, KIB, figure=9),
    _echo(8, 8, 16 * KIB, figure=10),
    _echo(4, 2, MIB, figure=11),
    _echo(1, 1),
    _echo(1, 32),
    _echo(500, 1),
    _echo(500, 32),
    _echo(8, 32, 0),
    _echo(8, 32, text=True),
    _echo(8, 8, 16 * KIB, text=True),
    _echo(4, 2, MIB, text=True),
    _echo(32, 1, tls=True),
    _echo(8, 32, tls=True),
    _echo(8, 8, 16 * KIB, tls=True),
    _echo(8, 32, 512, text=True, deflate=True),
    Case(Mode.ECHO, 8, 32, slow=2),
    Case(Mode.FANOUT, 500, figure=12, copies=1, quick=True),
    Case(Mode.FANOUT, 500, figure=12, copies=10, quick=True),
    Case(Mode.FANOUT, 5000, copies=1),
    Case(Mode.IDLE, 1500, figure=13, quick=True),
    Case(Mode.IDLE, 1500, size=16, figure=13, deflate=True, packed=False),
    Case(Mode.IDLE, 1500, size=512, text=True, deflate=True),
    Case(Mode.IDLE, 10_000),
    Case(Mode.CONNECT, 32, figure=14, quick=True),
    Case(Mode.CLIENT, 32, 1),
    Case(Mode.CLIENT, 8, 32),
    Case(Mode.CLIENT, 8, 8, 16 * KIB),
)
