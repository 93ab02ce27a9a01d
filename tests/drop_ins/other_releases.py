"""Other releases of the libraries than those that `make drop-ins` tests: none is broken by us.

``python -m drop_ins.other_releases [--accepted] NAME==VERSION ...``, in tests/,
in an environment that has them; `make drop-ins-newest` and `make
drop-ins-oldest` do all that. Either an adapter fits a release, and then it has
to pass what it passes with the others; or it refuses it, and then the library
has to be left as it is, down to the last attribute. In both cases the library's
own tests have to end as they do without the adapter. ``--accepted`` is for those
which it says that it fits: then it must not refuse.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from importlib import import_module, metadata
from pathlib import Path

from drop_ins.adapters.suites import SUITES, applies, compare

from fastframe import adapters

SECONDS = 600
HERE = Path(__file__).resolve().parent

# What every attribute of a library's modules and classes is, by where it is kept.
Attributes = dict[tuple[str, str], object]


def attributes_of(package: str) -> Attributes:
    """All that is kept in the modules of a package that are imported, and in the classes in them."""
    kept: Attributes = {}
    for name, module in list(sys.modules.items()):
        if name != package and not name.startswith(f"{package}."):
            continue
        for attribute, value in vars(module).items():
            kept[name, attribute] = value
            if isinstance(value, type) and value.__module__.partition(".")[0] == package:
                kept.update({(f"{name}:{attribute}", inner): it for inner, it in vars(value).items()})
    return kept


def changed(before: Attributes, after: Attributes) -> list[str]:
    """The attributes that are not the same object any more."""
    return sorted(":".join(key) for key, value in before.items() if after.get(key, None) is not value)


def import_targets(name: str) -> None:
    """Import what the adapter would look at, of which a newer release may not have everything."""
    targets: set[str] = set()
    for depth in (adapters._library(name).depths or {}).values():
        targets |= {one.target for one in depth.replaces} | {one.target for one in depth.relies_on}
    for module in sorted({target.partition(":")[0] for target in targets}):
        try:
            import_module(module)
        except Exception as error:  # noqa: BLE001
            print(f"    {module} cannot be imported: {error}")


def is_left_alone(name: str) -> bool:
    """Try to install an adapter that refuses; whether it warned, and changed nothing."""
    package = adapters._library(name).package
    import_targets(name)
    before = attributes_of(package)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        handle = adapters.install(name)
    wrong = changed(before, attributes_of(package))
    warned = [str(one.message) for one in caught if one.category is adapters.IncompatibleLibraryWarning]
    handle.uninstall()
    print(f"    {' '.join(warned) or 'no warning'}; {len(before)} attributes as before, {len(wrong)} not")
    for target in wrong:
        print(f"    CHANGED: {target}")
    return bool(before) and not wrong and len(warned) == 1 and handle.depth is None


def passes(*arguments: str) -> bool:
    """Whether some of our own tests do."""
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(command, cwd=HERE.parents[1], check=False, timeout=SECONDS).returncode == 0


def uvicorn_passes(*, accepted: bool) -> bool:
    """Whether our tests of the plug-in do, and uvicorn's own if it is a newer release."""
    if not accepted:
        return passes(str(HERE / "uvicorn"))
    release = metadata.version("uvicorn")
    print(f"not run: the own suite of uvicorn {release}: it uses names that the newer websockets warns of")
    return passes(str(HERE / "uvicorn"), "--ignore", str(HERE / "uvicorn" / "test_uvicorn_own_suite.py"))


def fits(name: str) -> bool:
    """Whether the adapter goes in whole."""
    return adapters.check(name).refused is None


def examine(name: str, *, accepted: bool) -> bool:
    """Whether all is well with one of the distributions."""
    print(f"{name} {metadata.version(name)}:", flush=True)
    results = []
    if name in adapters.LIBRARIES:
        if fits(name):
            print("    the adapter fits", flush=True)
            wanted = f"{name} or {name.replace('-', '_')}"
            results.append(passes(str(HERE / "adapters"), "-k", wanted))
        elif accepted:
            print(f"    NOT ACCEPTED: {adapters.check(name).refused}")
            results.append(False)
        else:
            results.append(is_left_alone(name))
    if name == "uvicorn":
        results.append(uvicorn_passes(accepted=accepted))
    for suite_name, suite in SUITES.items():
        if name in (suite.library, suite.distribution) and applies(suite_name):
            results.append(compare(suite_name, {}, installs=fits(suite.library)))
    return bool(results) and all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description="Examine releases that make drop-ins does not test.")
    parser.add_argument("releases", nargs="+", metavar="NAME==VERSION", help="installed here")
    parser.add_argument("--accepted", action="store_true", help="the adapters are to fit")
    options = parser.parse_args()
    names = [word.partition("==")[0] for word in options.releases]
    results = {name: examine(name, accepted=options.accepted) for name in names}
    for name, is_well in results.items():
        print(f"{name} {metadata.version(name)}: {'well' if is_well else 'NOT WELL'}")
    return int(not all(results.values()))


if __name__ == "__main__":
    sys.exit(main())
