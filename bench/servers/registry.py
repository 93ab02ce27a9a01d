"""Who takes part: servers, and clients for the cases of that role."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..calls import version_of

LOOPS = ("asyncio", "uvloop")

LIMIT = "C limit"
CALLBACK = "fastframe callback"
COROUTINE = "fastframe"
PURE_CALLBACK = "fastframe pure callback"
PURE_COROUTINE = "fastframe pure"
PICOWS = "picows"
PICOWS_API = "picows websockets API"
WEBSOCKETS = "websockets"
AIOHTTP = "aiohttp"
TORNADO = "tornado"
UVICORN_OURS = "uvicorn fastframe"
SANSIO = "uvicorn websockets-sansio"


@dataclass(frozen=True)
class Server:
    """One library in one form on one event loop.

    Attributes:
        label: the library and the form.
        loop: "asyncio", "uvloop" or "" for the C program.
        module: of this package, the one that drives it; "" for the C program.
        form: told to the module.
        distributions: whose versions are reported.
        needs: modules without which it cannot take part.
        half: of fastframe's codec, or "".
        lacks: what it cannot do, by the name of a case's trait, and why.
        quick: whether a quick run measures it.
    """

    label: str
    loop: str
    module: str
    form: str = ""
    distributions: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    half: str = ""
    lacks: tuple[tuple[str, str], ...] = ()
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.label}, {self.loop}" if self.loop else self.label

    @property
    def is_ours(self) -> bool:
        return "fastframe" in self.label

    def missing(self) -> str | None:
        """Why it cannot take part here, None if it can."""
        for module in self.needs:
            try:
                found = importlib.util.find_spec(module)
            except ModuleNotFoundError:
                found = None
            if found is None:
                return f"{module} is not installed" if "." not in module else f"there is no {module} yet"
        return None


_NO_CLIENT = ("client", "has no client")
_SERVER_ONLY = ("client", "not measured as a client")


def _on_loops(
    label: str, module: str, *, quick: Iterable[str] = (), needs: Iterable[str] = (), **facts: Any
) -> list[Server]:
    return [
        Server(
            label,
            loop,
            module,
            quick=loop in quick,
            needs=(*needs, *(("uvloop",) if loop == "uvloop" else ())),
            **facts,
        )
        for loop in LOOPS
    ]


def _fastframe() -> list[Server]:
    made = []
    for half, names in (
        ("compiled", (CALLBACK, COROUTINE)),
        ("pure", (PURE_CALLBACK, PURE_COROUTINE)),
    ):
        for label, form in zip(names, ("callback", "coroutine"), strict=True):
            quick = LOOPS if half == "compiled" else ()
            made += _on_loops(label, "with_fastframe", form=form, half=half, quick=quick)
    return made


def _uvicorn() -> list[Server]:
    made = []
    for form, needs, quick in (
        ("fastframe.uvicorn:WebSocketProtocol", "fastframe.uvicorn", ("uvloop",)),
        ("websockets", "websockets", ()),
        ("websockets-sansio", "websockets", ("uvloop",)),
        ("wsproto", "wsproto", ()),
    ):
        made += _on_loops(
            f"uvicorn {form.split('.')[0]}",
            "with_uvicorn",
            form=form,
            quick=quick,
            distributions=("uvicorn", needs.split(".")[0]),
            needs=("uvicorn", needs),
            half="compiled" if needs == "fastframe.uvicorn" else "",
            lacks=(_NO_CLIENT,),
        )
    return made


SERVERS: tuple[Server, ...] = (
    Server(
        LIMIT,
        "",
        "",
        lacks=(
            _SERVER_ONLY,
            ("tls", "speaks no TLS"),
            ("deflate", "does not compress"),
        ),
        quick=True,
    ),
    *_fastframe(),
    *_on_loops(
        PICOWS,
        "with_picows",
        quick=LOOPS,
        distributions=("picows", "aiofastnet"),
        needs=("picows",),
        lacks=(("deflate", "does not compress"),),
    ),
    *_on_loops(
        PICOWS_API,
        "with_websockets",
        form="picows",
        quick=("uvloop",),
        distributions=("picows", "aiofastnet"),
        needs=("picows",),
    ),
    *_on_loops(
        WEBSOCKETS, "with_websockets", quick=("uvloop",), distributions=("websockets",), needs=("websockets",)
    ),
    *_on_loops(AIOHTTP, "with_aiohttp", quick=("uvloop",), distributions=("aiohttp",), needs=("aiohttp",)),
    *_on_loops(TORNADO, "with_tornado", quick=("uvloop",), distributions=("tornado",), needs=("tornado",)),
    *_uvicorn(),
)


def versions_of(servers: Iterable[Server]) -> dict[str, str]:
    """The versions of all distributions that take part."""
    names = {name for server in servers for name in server.distributions if name != "fastframe"}
    names |= {"uvloop"} if any(server.loop == "uvloop" for server in servers) else set()
    return {name: version_of(name) or "not installed" for name in sorted(names)}
