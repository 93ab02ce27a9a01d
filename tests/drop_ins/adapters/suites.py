"""Each library's own tests, with its adapter and without it.

``python -m drop_ins.adapters.suites [SUITE ...]``, in tests/. Each suite runs
twice against the release that is installed, and every test has to end the same
way; those that do not run once more, for some depend on the time. Suites that
are not in the wheels come from the sdists of the package index; websockets' is
not in its sdists, and comes from its repository, or from a folder that is
named: nothing of them is kept. Of websockets 16 the sdists have half of it,
all that is about frames and the sans-I/O protocol, without the modules that
its tests import from each other: websockets_missing/ has ours in their place.
What cannot be had is told, and makes the exit status 1; except that where that
repository cannot be reached, its suite is told to be not run.
``--releases`` prints what to install for the suites that the newest tested
releases do not have any more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from packaging.version import Version

HERE = Path(__file__).resolve().parent

SECONDS = 600
"""For one run of one suite."""

SECONDS_TO_CLONE = 60

PLUGIN = """
import warnings
import fastframe.adapters
with warnings.catch_warnings():
    warnings.simplefilter("ignore", fastframe.adapters.IncompatibleLibraryWarning)
    fastframe.adapters.install({library!r}, strict={installs})

def pytest_unconfigure():
    assert (fastframe.adapters.status()[{library!r}].depth is not None) is {installs}
"""


class Suite(NamedTuple):
    """How to run one."""

    library: str
    """What is installed."""
    distribution: str
    """Whose tests these are."""
    arguments: tuple[str, ...]
    """For pytest, in the folder of the tests."""
    folder: str | None = None
    """Of the tests, in the sdist; None if the wheel has them."""
    environment: tuple[tuple[str, str], ...] = ()
    needs: str | None = None
    """A module, of pytest's plugins."""
    setup: str = ""
    """What the library's own runner does first."""
    repository: str | None = None
    """Where the tests are that no sdist has, at a tag named like the release."""
    until: str | None = None
    """The newest release that has these tests; None if the newest tested one has."""
    missing: str | None = None
    """A folder of ours, with the modules that they import and the sdist has not."""


QUIET = ("-p", "no:asyncio", "-p", "no:trio")

SUITES = {
    "websockets": Suite(
        "websockets",
        "websockets",
        (*QUIET, "tests"),
        "tests",
        repository="https://github.com/python-websockets/websockets",
    ),
    "websockets-sdist": Suite(
        "websockets",
        "websockets",
        (*QUIET, "tests"),
        "tests",
        until="16.1.1",
        missing="websockets_missing",
    ),
    "wsproto": Suite("wsproto", "wsproto", (*QUIET, "tests"), "tests"),
    "simple-websocket": Suite(
        "wsproto",
        "simple-websocket",
        (*QUIET, "tests", "--deselect", "tests/test_aioclient.py", "--deselect", "tests/test_client.py"),
        "tests",
    ),
    "hypercorn": Suite(
        "wsproto",
        "hypercorn",
        ("-p", "no:trio", "-o", "asyncio_mode=strict", "tests/protocol/test_ws_stream.py"),
        "tests",
        needs="pytest_asyncio",
    ),
    "websocket-client": Suite("websocket-client", "websocket-client", ("--pyargs", "websocket.tests")),
    "tornado": Suite(
        "tornado",
        "tornado",
        (*QUIET, "--pyargs", "tornado.test.websocket_test"),
        setup="import logging; logging.getLogger('tornado.access').setLevel(logging.CRITICAL)",
    ),
    "autobahn-twisted": Suite(
        "autobahn",
        "autobahn",
        (*QUIET, "--pyargs", "autobahn.websocket", "autobahn.nvx"),
        environment=(("USE_TWISTED", "1"),),
    ),
    "autobahn-asyncio": Suite(
        "autobahn",
        "autobahn",
        (
            "-p",
            "no:trio",
            "-o",
            "asyncio_mode=strict",
            "--pyargs",
            "autobahn.asyncio.test.test_aio_websocket",
        ),
        environment=(("USE_ASYNCIO", "1"),),
        needs="pytest_asyncio",
    ),
    "daphne": Suite(
        "autobahn",
        "daphne",
        (*QUIET, "tests/test_websocket.py"),
        "tests",
        # Now and then one of its servers misses the signal to end, and pytest would wait for it for ever.
        setup="from multiprocessing.process import BaseProcess; BaseProcess.terminate = BaseProcess.kill",
    ),
    "ws4py": Suite("ws4py", "ws4py", (*QUIET, "test", "--ignore=test/test_cherrypy.py"), "test"),
}

# From the outside in: of a test and its subtests, the worst counts.
KINDS = ("passed", "skipped", "failure", "error")


class Unavailable(Exception):
    """The tests, or what they test, cannot be had."""


class OutOfReach(Exception):
    """The tests are somewhere that this machine does not get to."""


def cloned(repository: str, release: str, scratch: Path) -> Path:
    """The repository at the release that is installed."""
    command = [
        "git",
        "clone",
        "--quiet",
        "--depth",
        "1",
        "--branch",
        release,
        repository,
        str(scratch / "clone"),
    ]
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS_TO_CLONE
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise OutOfReach(f"{repository}: {error}") from None
    if done.returncode:
        raise OutOfReach(f"{repository} at {release}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    return scratch / "clone"


def fetched(suite: Suite, scratch: Path) -> Path:
    """The source of the release that is installed."""
    if suite.repository is not None:
        return cloned(suite.repository, metadata.version(suite.distribution), scratch)
    wanted = f"{suite.distribution}=={metadata.version(suite.distribution)}"
    # Of this one alone: what pip builds it with would be built from source, too.
    command = ["download", "--quiet", "--no-deps", "--no-binary", suite.distribution]
    command += ["--dest", str(scratch), wanted]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    archives = list(scratch.glob("*.tar.gz"))
    if done.returncode or not archives:
        raise Unavailable(f"no sdist of {wanted}: {done.stderr.strip().splitlines()[-1:]}")
    with tarfile.open(archives[0]) as archive:
        # Python 3.10 has no filters before 3.10.12; what is unpacked is run as it is anyway.
        archive.extractall(scratch)
    return scratch / archives[0].name.removesuffix(".tar.gz")


def ended(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a command; its exit status, and what it printed."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            # With the processes that it began, one of which may be what it waits for.
            os.killpg(process.pid, signal.SIGKILL)
            raise Unavailable(f"pytest did not end within {SECONDS} s") from None
    return process.returncode, printed


def outcomes(
    suite: Suite, folder: Path, scratch: Path, *, accelerated: bool, installs: bool
) -> dict[str, str]:
    """How each test ended; `installs` says whether the adapter is to go in, or to refuse."""
    if suite.needs is not None and find_spec(suite.needs) is None:
        raise Unavailable(f"it needs {suite.needs}")
    report = scratch / f"report-{accelerated}.xml"
    plugin = scratch / f"plugin-{accelerated}"
    plugin.mkdir()
    (plugin / "suite_setup.py").write_text(
        suite.setup + (PLUGIN.format(library=suite.library, installs=installs) if accelerated else "")
    )
    # daphne's tests talk by files in the temporary directory, and hang if those of another run are there.
    environment = {**os.environ, "TMPDIR": str(scratch), **dict(suite.environment)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(plugin), environment.get("PYTHONPATH")]))
    arguments = [
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        "-q",
        "-W",
        "ignore",
        "--junitxml",
        str(report),
        "-p",
        "suite_setup",
    ]
    returncode, printed = ended(
        [sys.executable, "-m", "pytest", *arguments, *suite.arguments], folder, environment
    )
    if returncode not in (0, 1) or not report.exists():
        raise Unavailable(f"pytest ended with {returncode}: {printed[-2000:]}")
    ends: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        tags = (child.tag for child in case if child.tag in KINDS)
        ends[name] = max([ends.get(name, KINDS[0]), *tags], key=KINDS.index)
    return ends


def tally(results: dict[str, str]) -> str:
    kinds = sorted(set(results.values()), key=KINDS.index)
    return ", ".join(f"{list(results.values()).count(kind)} {kind}" for kind in kinds)


def both(
    suite: Suite, folder: Path, scratch: Path, *, installs: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """The outcomes without the adapter and with it."""
    scratch.mkdir()
    return (
        outcomes(suite, folder, scratch, accelerated=False, installs=installs),
        outcomes(suite, folder, scratch, accelerated=True, installs=installs),
    )


def differences(without: dict[str, str], with_it: dict[str, str]) -> set[str]:
    return {test for test in {*without, *with_it} if without.get(test) != with_it.get(test)}


def applies(name: str) -> bool:
    """Whether a suite is one of the release that is installed."""
    suite = SUITES[name]
    return suite.until is None or Version(metadata.version(suite.distribution)) <= Version(suite.until)


def releases() -> list[str]:
    """The newest releases of the suites that newer ones have not, for pip."""
    return [f"{suite.distribution}=={suite.until}" for suite in SUITES.values() if suite.until is not None]


def gathered(suite: Suite, source: Path | None, folder: Path, scratch: Path) -> None:
    """Copy the tests away from the library's source, which would be tested for what is installed."""
    if suite.folder is None:
        return
    shutil.copytree((source or fetched(suite, scratch)) / suite.folder, folder / suite.folder)
    if suite.missing is not None:
        ours = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE / suite.missing, folder / suite.folder, dirs_exist_ok=True, ignore=ours)


def compare(name: str, sources: dict[str, Path], *, installs: bool = True) -> bool:
    """Run a suite both ways and tell; whether they agree.

    Args:
        name: of the suite.
        sources: folders with the tests of some suites.
        installs: the adapter is to go in; False if it is to refuse the library.
    """
    suite = SUITES[name]
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        folder = scratch / "tests-only"
        folder.mkdir()
        try:
            release = metadata.version(suite.distribution)
            gathered(suite, sources.get(name), folder, scratch)
            without, with_it = both(suite, folder, scratch / "once", installs=installs)
            differing = differences(without, with_it)
            if differing:
                differing &= differences(*both(suite, folder, scratch / "again", installs=installs))
        except OutOfReach as why:
            print(f"not run: {name} {release}: the whole suite is in git alone, and {why}", flush=True)
            return True
        except (Unavailable, FileNotFoundError, metadata.PackageNotFoundError) as why:
            print(f"{name}: NOT RUN, {type(why).__name__}: {why}", flush=True)
            return False
    print(f"{name} {release}: {tally(without)} without, {tally(with_it)} with the adapter", flush=True)
    for test in sorted(differing):
        print(f"    {test}: {without.get(test)} without, {with_it.get(test)} with the adapter")
    # A suite that fails by itself proves nothing.
    kinds = set(without.values())
    if "passed" not in kinds or kinds & {"failure", "error"}:
        return False
    return not differing


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the libraries' own tests with and without adapters.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all if none")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="SUITE=FOLDER",
        help="a checkout of the release that is installed, for tests that no sdist has",
    )
    parser.add_argument("--releases", action="store_true", help="of suites that newer releases have not")
    options = parser.parse_args()
    if options.releases:
        print(*releases())
        return
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}")
    sources = {name: Path(folder) for name, _, folder in (one.partition("=") for one in options.source)}
    results = [compare(name, sources) for name in options.suites or filter(applies, SUITES)]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
