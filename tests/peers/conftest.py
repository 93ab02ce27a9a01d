"""Peers run in processes of their own, one each for the session; a test that fails takes its peer along."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet
from browser.chromium import COMMANDS
from peers.catalogue import ALL_WAYS, FORMS, PAIRS, THOROUGH_PEER, WAYS, Pair, Way
from peers.conversation import Meet, PeerProcesses
from peers.machine import need
from peers.node_modules import HERE, node_modules


def _command(peer: str) -> list[str]:
    if peer == "ws":
        need("npm")
        return [need("node"), str(HERE / "peer_ws.js"), str(node_modules())]
    if peer == "chromium":
        need(*COMMANDS)
    return [sys.executable, "-m", "peers.run_peer", peer]


@pytest.fixture(scope="session")
def peer_processes() -> Iterator[PeerProcesses]:
    processes = PeerProcesses(_command)
    yield processes
    processes.end_all()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "peer_can(ability): only peers that have this of `Abilities`")
    config.addinivalue_line(
        "markers", "our_form(form): only this form of our side, as the other cannot do it"
    )


def _combinations(abilities: list[str], forms: list[str]) -> Iterator[ParameterSet]:
    for pair in PAIRS:
        if all(getattr(pair.abilities, ability) for ability in abilities):
            for way in ALL_WAYS if pair.peer == THOROUGH_PEER else WAYS:
                if way.form in forms:
                    yield pytest.param(pair, way, id=f"{pair}-{way}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that meets a peer runs for all of them, in all roles, and for all ways of ours."""
    if "meet" not in metafunc.fixturenames:
        return
    abilities = [mark.args[0] for mark in metafunc.definition.iter_markers("peer_can")]
    forms = [mark.args[0] for mark in metafunc.definition.iter_markers("our_form")] or FORMS
    metafunc.parametrize(("pair", "way"), list(_combinations(abilities, forms)))


@pytest.fixture
def meet(peer_processes: PeerProcesses, pair: Pair, way: Way) -> Meet:
    return Meet(peer_processes, pair, way)
