"""``install-check``: what `fastframe.install` would do here."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version

from .. import adapters
from .gains import GAINS

__all__ = ["run"]

_PLUG_IN = "fastframe.uvicorn:WebSocketProtocol"


def run(names: list[str], *, as_json: bool) -> int:
    """Print it.

    Args:
        names: of libraries, which have to be installed; all that are, if none.
        as_json: as one object, by the names.

    Returns:
        The exit status: 1 if something that is meant to be faster would not be.
    """
    checks = {name: adapters.check(name) for name in names or adapters.LIBRARIES}
    uvicorn = None if names else _uvicorn()
    if as_json:
        told = {name: check._asdict() | {"gain": _gain(name, check.depth)} for name, check in checks.items()}
        plugged = {"version": uvicorn, "gain": _gain("uvicorn", "the class")}
        print(json.dumps(told if names else told | {"uvicorn": plugged}, indent=2))
    else:
        for name, check in checks.items():
            print(f"{name:17} {check.version or '-':9} {_verdict(name, check)}")
        if not names:
            plug_in = f"uvicorn app:app --ws {_PLUG_IN}{_saying('uvicorn', 'the class')}"
            plug_in = plug_in if uvicorn else "not installed"
            print(f"{'uvicorn':17} {uvicorn or '-':9} {plug_in}")
    wanted = [check for check in checks.values() if names or check.version is not None]
    return int(any(check.refused is not None for check in wanted))


def _verdict(name: str, check: adapters.Check) -> str:
    if check.refused is None:
        return f"{check.depth}{_saying(name, check.depth)}"
    if check.version is None:
        return "not installed"
    possible = f"; depth {check.depth!r} would go in" if check.depth else ""
    return f"left untouched: {check.refused}{possible}"


def _gain(name: str, depth: str | None) -> tuple[float, float] | None:
    return GAINS.get(name, {}).get(depth or "")


def _saying(name: str, depth: str | None) -> str:
    gain = _gain(name, depth)
    if gain is None:
        return ""
    return f" (small messages: {gain[0]:.1f} times cheaper, {gain[1]:.1f} in bursts)"


def _uvicorn() -> str | None:
    try:
        return version("uvicorn")
    except PackageNotFoundError:
        return None
