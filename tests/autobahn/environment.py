"""Makes the environment of the Autobahn testsuite, which runs on Python 2.7, and prints its interpreter.

Usage: python tests/autobahn/environment.py [--accelerated]

It is kept in .venvs and made again only when its requirements or the Python 2.7
change. A machine without Python 2.7 gets "not run: ..." on stderr, nothing on
stdout, and no failure; an environment that cannot be made is one.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent.parent / ".venvs"
# The last virtualenv that makes environments for Python 2.7.
VIRTUALENV = "virtualenv==20.15.1"
STEP_SECONDS = 900


def clean_environ() -> dict[str, str]:
    """The environment variables, without those that would lead Python 2.7 to modules of another Python."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def find_python27() -> str | None:
    """A Python 2.7 on PATH, or the newest of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob("versions/2.7*/bin/python"), reverse=True)
    for candidate in [shutil.which("python2.7"), *map(str, installed)]:
        # pyenv's shims stand on PATH for versions that are not switched on, and exit with 127.
        if candidate and answer(candidate) == "2.7 CPython":
            return candidate
    return None


def answer(python: str) -> str:
    """What `python` says that it is; "" if it does not run."""
    code = "import platform; print(platform.python_version()[:3] + ' ' + platform.python_implementation())"
    command = [python, "-c", code]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=clean_environ()
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def step(*command: str | Path) -> None:
    """Run a command that is only worth reading when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=STEP_SECONDS,
        env=clean_environ(),
    )
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-20:]), file=sys.stderr)
        sys.exit(f"failed with {done.returncode}: {' '.join(str(word) for word in command)}")


def make(python27: str, folder: Path, requirements: list[Path]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        maker = Path(scratch) / "maker"
        step(sys.executable, "-m", "venv", maker)
        step(maker / "bin" / "python", "-m", "pip", "install", VIRTUALENV)
        options = ["--no-periodic-update", "--app-data", f"{scratch}/app-data"]
        step(maker / "bin" / "python", "-m", "virtualenv", *options, "--python", python27, folder)
    for path in requirements:
        step(folder / "bin" / "python", "-m", "pip", "install", "--no-deps", "-r", path)


def environment(*, accelerated: bool) -> Path | None:
    """The interpreter of the environment, made if need be; None if the machine has no Python 2.7."""
    python27 = find_python27()
    if python27 is None:
        return None
    folder = ENVIRONMENTS / ("autobahn-accelerated" if accelerated else "autobahn")
    requirements = [HERE / "requirements.txt", *([HERE / "accelerator.txt"] if accelerated else [])]
    wanted = "\n".join([python27, VIRTUALENV, *(path.read_text() for path in requirements)])
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Written last: an environment that was not finished has none.
        stamp = folder / "made-from"
        if not stamp.exists() or stamp.read_text() != wanted:
            print(f"making {folder}", file=sys.stderr)
            make(python27, folder, requirements)
            stamp.write_text(wanted)
    return folder / "bin" / "python"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the environment of the Autobahn testsuite.")
    parser.add_argument("--accelerated", action="store_true", help="with accelerator.txt")
    python = environment(accelerated=parser.parse_args().accelerated)
    if python is None:
        print("not run: no Python 2.7 on this machine", file=sys.stderr)
    else:
        print(python)


if __name__ == "__main__":
    main()
