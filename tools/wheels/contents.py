"""What belongs into an sdist and into a wheel, and what is wrong with those at hand.

`python -m tools.wheels.contents FILE...` checks files that were built elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
MAX_WHEEL_SIZE = 600 * 1024
"""Bytes."""

EXTENSION_SUFFIXES = {".so", ".pyd", ".dylib", ".dll"}
# Sources of the extension. Of these only the declarations that users cimport are installed.
BUILD_SUFFIXES = {".c", ".cpp", ".h", ".o", ".obj", ".pyx", ".pxi", ".pxd"}
FOR_CIMPORT = "fastframe/_codec_c.pxd"
METADATA = {"METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE"}

ASK_SETUP = """
import setuptools
from distutils.core import run_setup
print(*(extension.name for extension in run_setup("setup.py", stop_after="init").ext_modules))
"""


def extension_modules(root: Path = ROOT) -> set[str]:
    """The modules that setup.py compiles, as paths without a suffix."""
    environment = os.environ | {"FASTFRAME_EXTENSION": "1"}
    command = [sys.executable, "-c", ASK_SETUP]
    asked = subprocess.run(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=120
    )
    return {name.replace(".", "/") for name in asked.stdout.split()}


def source_files(root: Path = ROOT) -> set[str]:
    """What every wheel has of the package."""
    package = root / "src" / "fastframe"
    found = [
        *package.rglob("*.py"),
        *package.rglob("*.pyi"),
        *(package / "demo" / "static").iterdir(),
        package / "py.typed",
        root / "src" / FOR_CIMPORT,
    ]
    return {path.relative_to(root / "src").as_posix() for path in found}


def wheel_faults(wheel: Path, sources: set[str], extensions: set[str]) -> list[str]:
    """One line for each thing that is wrong with `wheel`, or that it lacks.

    Args:
        wheel: the file, named as wheels are.
        sources: the paths of `source_files`.
        extensions: the paths of `extension_modules`.
    """
    # Wheels' file names: distribution, version, perhaps a build tag, then Python, ABI and platform.
    python, abi, platform = wheel.stem.split("-")[-3:]
    is_pure = (python, abi, platform) == ("py3", "none", "any")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        damaged = archive.testzip()
        about = {name: archive.read(name).decode() for name in names if name.endswith(".dist-info/WHEEL")}
    compiled = {name for name in names if PurePosixPath(name).suffix in EXTENSION_SUFFIXES}
    package = {name for name in names if name.startswith("fastframe/")} - compiled
    information = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    faults = [f"damaged: {damaged}"] if damaged else []
    if (size := wheel.stat().st_size) >= MAX_WHEEL_SIZE:
        faults.append(f"{size} bytes, at most {MAX_WHEEL_SIZE - 1} are allowed")
    faults += [f"lacks {name}" for name in sorted(sources - package)]
    faults += [f"should not have {name}" for name in sorted(unwanted(package, sources))]
    faults += [f"should not have {name}" for name in sorted(names - package - compiled - information)]
    faults += metadata_faults(information)
    if f"Root-Is-Purelib: {str(is_pure).lower()}" not in "".join(about.values()):
        faults.append(f"is {'' if is_pure else 'not '}pure by its name, and its WHEEL says otherwise")
    if is_pure:
        return faults + [f"should not have {name}" for name in sorted(compiled)]
    return faults + extension_faults(compiled, extensions, abi)


def unwanted(package: set[str], sources: set[str]) -> set[str]:
    """Of the files of the package those that are no source that belongs there; generated C above all."""
    built = {name for name in package if PurePosixPath(name).suffix in BUILD_SUFFIXES} - {FOR_CIMPORT}
    return (package - sources) | built


def metadata_faults(information: set[str]) -> list[str]:
    found = {name.partition("/")[2] for name in information}
    faults = [f"lacks {name} in its metadata" for name in sorted(METADATA - found)]
    return faults + [f"should not have {name} in its metadata" for name in sorted(found - METADATA)]


def extension_faults(compiled: set[str], extensions: set[str], abi: str) -> list[str]:
    """Each extension module once, for the interpreter of the wheel, and nothing else that is compiled."""
    by_module: dict[str, list[str]] = {}
    for name in compiled:
        by_module.setdefault(name.partition(".")[0], []).append(name)
    faults = [f"lacks the extension module {name}" for name in sorted(extensions - by_module.keys())]
    for module, files in sorted(by_module.items()):
        if module not in extensions or len(files) > 1:
            faults.append(f"should not have {' and '.join(sorted(files))}")
            continue
        # cpython-314t-x86_64-linux-gnu.so, cpython-314-darwin.so, cp314t-win_amd64.pyd
        tag = files[0].partition(".")[2].removeprefix("cpython-").removeprefix("cp").partition("-")[0]
        if f"cp{tag}" != abi:
            faults.append(f"{files[0]} is not for {abi}")
    return faults


def sdist_faults(sdist: Path, root: Path = ROOT) -> list[str]:
    """One line for each thing that is wrong with `sdist`, or that it lacks to build, test and document."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"src/{name}" for name in source_files(root)}
    to_build = [path for path in (root / "src").rglob("*") if path.suffix in {".h", ".pyx", ".pxd", ".pxi"}]
    wanted |= {path.relative_to(root).as_posix() for path in [*to_build, *(root / "tests").rglob("*.py")]}
    wanted |= {"LICENSE", "Makefile", "PKG-INFO", "README.md", "pyproject.toml", "setup.py"}
    wanted = {name for name in wanted if "__pycache__" not in name and ".egg-info" not in name}
    faults = [f"lacks {name}" for name in sorted(wanted - names)]
    generated = {
        name for name in names if name.startswith("src/") and name.endswith((".c", ".so", ".pyd", ".o"))
    }
    return faults + [f"should not have {name}" for name in sorted(generated)]


def faults_of(files: list[Path]) -> list[str]:
    """Of sdists and wheels, each line with the name of the file."""
    sources, extensions = source_files(), extension_modules()
    found = []
    for file in files:
        faults = sdist_faults(file) if file.suffix == ".gz" else wheel_faults(file, sources, extensions)
        found += [f"{file.name}: {fault}" for fault in faults]
    return found


def main(arguments: list[str]) -> int:
    if not arguments:
        sys.exit("usage: python -m tools.wheels.contents FILE...")
    files = [Path(argument) for argument in arguments]
    faults = faults_of(files)
    print("\n".join(faults) or f"{len(files)} files have what they should have, and nothing else")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
