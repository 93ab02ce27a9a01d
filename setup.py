"""Builds the extension: the compiled half of the codec, and modules of the hot path as they stand in Python.

Everything else is in pyproject.toml.

Environment variables:
    FASTFRAME_EXTENSION: ``0`` leaves the extension out; ``1`` fails if it cannot be built; unset warns
        in that case and goes on with the pure half alone.
    FASTFRAME_CFLAGS: more flags for the C compiler (warnings, sanitizers), placed after our own.
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, CompileError, ExecError, LinkError, PlatformError

COMPILER_FAILED = (CCompilerError, CompileError, ExecError, LinkError, PlatformError)

NO_COMPILER = """
*************************************************************************
fastframe: the compiled half of the codec could NOT be built:
    {error}
The install goes on with the pure-Python half, which behaves the same and
is much slower. To get the compiled half, install a C compiler and the
headers of Python, then install fastframe again without pip's cache.
FASTFRAME_EXTENSION=1 makes this an error, FASTFRAME_EXTENSION=0 silences it.
*************************************************************************
"""

SETTING = os.environ.get("FASTFRAME_EXTENSION", "")
if SETTING not in ("", "0", "1"):
    sys.exit(f"FASTFRAME_EXTENSION must be 0, 1 or unset, got {SETTING!r}")


# Compiled from Python sources that run without a compiler, too. A .pxd beside each tells C of its classes.
AS_THEY_STAND = (
    "connection.py",
    "aio/broadcast.py",
    "aio/facts.py",
    "aio/operation.py",
    "aio/protocol.py",
    "aio/receiving.py",
    "aio/sending.py",
    "aio/transport.py",
    "aio/websocket.py",
)
# The codec is compiled for speed, these for size, except that a handful of instructions, as Py_DECREF is,
# is copied and not called. Between the event loop and the codec it costs 1 to 2 % of the instructions, and
# saves a quarter. Most code of some runs once a connection, or once for all, or only where something has to
# wait: there even Py_DECREF and its like are called.
SELDOM = (
    "fastframe.aio.broadcast",
    "fastframe.aio.facts",
    "fastframe.aio.sending",
    "fastframe.connection",
)
DIRECTIVES = {
    # Annotations are mypy's: Cython would read some of them otherwise.
    "annotation_typing": False,
    "auto_pickle": False,
    "binding": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "freethreading_compatible": True,
    "language_level": 3,
}


class BuildExtension(build_ext):
    """Runs Cython at build time only, its C in the temporary directory, where no wheel picks it up."""

    def build_extensions(self):
        from Cython.Build import cythonize

        is_msvc = self.compiler.compiler_type == "msvc"
        asked_for = os.environ.get("FASTFRAME_CFLAGS", "").split()
        for extension in self.extensions:
            made = cythonize([extension], build_dir=self.build_temp, compiler_directives=DIRECTIVES)
            extension.sources = made[0].sources
            extension.extra_compile_args = [*optimization(extension.name, is_msvc), *asked_for]
        try:
            super().build_extensions()
        except COMPILER_FAILED as error:
            if SETTING == "1":
                raise
            print(NO_COMPILER.format(error=error), file=sys.stderr)
            self.go_on_pure()

    def go_on_pure(self):
        for extension in self.extensions:
            Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
        self.distribution.ext_modules = []
        # What is left runs everywhere, so its wheel is to be named py3-none-any.
        wheel = self.distribution.get_command_obj("bdist_wheel", create=False)
        if wheel is not None:
            wheel.root_is_pure = True


def optimization(name, is_msvc):
    if name == "fastframe._codec_c":
        return ["/O2"] if is_msvc else ["-O3"]
    if is_msvc:
        return ["/O1"]
    size = 3 if name in SELDOM else 6
    # What unpacks strings is there nevertheless, for nobody to call. All the C of these is Cython's.
    return ["-Os", "--param", f"max-inline-insns-size={size}", "-Wno-unused-function"]


def macros(source):
    """What of Cython's own code is left out."""
    # Python calls methods as fast by itself, in less code.
    common = [("CYTHON_UNPACK_METHODS", "0")]
    if source == "_codec_c.pyx":
        # It sees an exception only where one is raised.
        return [*common, ("CYTHON_FAST_THREAD_STATE", "0")]
    if source not in AS_THEY_STAND:
        return common
    # Their objects are made once a connection: no constructor needs a second way in for speed. A wheel is
    # compressed as a whole: strings that are compressed before only bring along what unpacks them.
    smaller = [*common, ("CYTHON_VECTORCALL_TPNEW", "0"), ("CYTHON_COMPRESS_STRINGS", "0")]
    if module_of(source) in SELDOM:
        # Nor does each place that reads a global need a memory of its own (up to 3.11; later none has one).
        smaller.append(("CYTHON_USE_DICT_VERSIONS", "0"))
    return smaller


def module_of(source):
    return "fastframe." + source.rpartition(".")[0].replace("/", ".")


def extensions():
    # Elsewhere (PyPy) the pure half is the one to use: a JIT cannot see into an extension.
    if SETTING == "0" or (SETTING == "" and platform.python_implementation() != "CPython"):
        return []
    package = Path("src/fastframe")
    included = [*package.rglob("*.px[di]"), *package.glob("_kernels/*.h")]
    sources = ["_codec_c.pyx", "aio/_native.pyx", *AS_THEY_STAND]
    return [
        Extension(
            module_of(source),
            [f"src/fastframe/{source}"],
            define_macros=macros(source),
            include_dirs=["src/fastframe/_kernels"],
            depends=sorted(path.as_posix() for path in included),
        )
        for source in sources
    ]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtension})
