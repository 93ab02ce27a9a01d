"""``python -m fuzz.one NAME [libFuzzer's options] [folders of inputs]``: one target under atheris, in tests/.

run.py calls it, with what has to be preloaded.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    name, *arguments = sys.argv[1:]
    with atheris.instrument_imports(include=["fastframe", "fuzz.planted"], enable_loader_override=False):
        from fuzz import catalogue, planted

        target = planted.TARGETS.get(name) or catalogue.target(name)
    # libFuzzer hands its first argument to a shell to merge in processes of their own.
    atheris.Setup([f"{sys.executable} -m fuzz.one {name}", *arguments], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
