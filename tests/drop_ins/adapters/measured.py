"""What measure.py has found, as it is kept and as it is shown."""

from __future__ import annotations

import statistics
from typing import Any, NamedTuple


class Case(NamedTuple):
    """What is echoed."""

    name: str
    size: int
    """Bytes in a message."""
    in_flight: int = 1
    """Messages on their way at once, on each connection."""


CASES = (
    Case("125 B", 125),
    Case("32 x 125 B", 125, 32),
    Case("4 KiB", 4096),
    Case("1 MiB", 1 << 20),
)

Rounds = list[list[float]]
"""A figure of each round, of each variant."""


def document_of(labels: list[str], rates: Rounds, costs: Rounds) -> list[dict[str, Any]]:
    """The medians of each variant, and of its ratios to the first, round by round."""
    document = []
    for label, rate, cost in zip(labels, rates, costs, strict=True):
        faster = [ours / theirs for ours, theirs in zip(rate, rates[0], strict=True)]
        cheaper = [theirs / ours for ours, theirs in zip(cost, costs[0], strict=True)]
        document.append(
            {
                "depth": label,
                "rate": statistics.median(rate),
                "cpu": statistics.median(cost),
                "rate_ratio": statistics.median(faster),
                "cpu_ratio": statistics.median(cheaper),
            }
        )
    return document


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _table(results: dict[str, Any], value: str, ratio: str) -> list[str]:
    names = [case.name for case in CASES]
    lines = [f"| | depth | {' | '.join(names)} |", "|---|---|" + "---:|" * len(names)]
    for name, result in results.items():
        depths = [one["depth"] for one in next(iter(result["figures"].values()))]
        for index, depth in enumerate(depths[1:], 1):
            cells = []
            for case in names:
                found = result["figures"].get(case)
                if found is None:
                    cells.append("-")
                    continue
                without, ours = found[0], found[index]
                cells.append(f"{_number(without[value])} → {_number(ours[value])} ({ours[ratio]:.2f} x)")
            lines.append(f"| {name} | {f'`{depth}`' if depth else 'the class'} | {' | '.join(cells)} |")
    return lines


def _where(results: dict[str, Any]) -> list[str]:
    about: dict[str, dict[str, None]] = {}
    for result in results.values():
        machine = result["machine"]
        facts = {
            "Measured": machine["date"],
            "machine": f"{machine['cpu']}, {machine['cpus']} processors",
            "system": machine["system"],
            "Python": machine["python"],
            "kernel": machine["kernel"],
        }
        facts |= machine["versions"]
        for name, fact in facts.items():
            about.setdefault(name, {})[fact] = None
    said = [f"{name} {' and '.join(facts)}" for name, facts in about.items()]
    return ["", f"{'; '.join(said)}."]


GAINS_OF = {
    "autobahn": "autobahn",
    "tornado": "tornado",
    "uvicorn": "uvicorn's plug-in",
    "websocket-client": "websocket-client, a client",
    "websockets": "websockets",
    "ws4py": "ws4py",
    "wsproto": "wsproto",
}
"""The subject that stands for each library."""


def gains(results: dict[str, Any]) -> str:
    """What `install-check` tells of them: lines of a dictionary."""
    lines = []
    for library, name in GAINS_OF.items():
        if name not in results:
            continue
        figures = [results[name]["figures"][case.name] for case in CASES[:2]]
        told = ", ".join(
            f'"{one["depth"] or "the class"}": ({one["cpu_ratio"]:.2f}, {many["cpu_ratio"]:.2f})'
            for one, many in zip(*(figure[1:] for figure in figures), strict=True)
        )
        lines.append(f'    "{library}": {{{told}}},\n')
    return "".join(lines)


def markdown(results: dict[str, Any]) -> str:
    """Both tables, and where they come from."""
    return "\n".join(
        [
            "Microseconds of the echoing process's processor time a message, without → with the adapter:",
            "",
            *_table(results, "cpu", "cpu_ratio"),
            "",
            "Messages a second:",
            "",
            *_table(results, "rate", "rate_ratio"),
            *_where(results),
        ]
    )
