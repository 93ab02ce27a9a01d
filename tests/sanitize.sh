#!/usr/bin/env bash
# The suite of the compiled half under AddressSanitizer and UndefinedBehaviorSanitizer.
#
# PYTHON: an interpreter of an environment with the `test` extra, Cython and setuptools.
# Further arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# CPython's own flags have -fwrapv, under which signed overflow is defined and goes unseen.
export FASTFRAME_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-wrapv -O1 -g -fno-omit-frame-pointer"
export LDFLAGS="-fsanitize=address,undefined"
cp -r src setup.py pyproject.toml MANIFEST.in README.md LICENSE "$folder"
(cd "$folder" && FASTFRAME_EXTENSION=1 "$python" -m pip install --quiet --no-build-isolation --no-deps --target installed .)
unset FASTFRAME_CFLAGS LDFLAGS

# PYTHONMALLOC: inside an arena of CPython's allocator a read outside an object hits another one.
# Leaks are not looked for: the interpreter itself leaves memory behind at exit.
export PYTHONPATH="$folder/installed" PYTHONMALLOC=malloc FASTFRAME_EXTENSION=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
LD_PRELOAD=$preload "$python" - <<'END'
import fastframe._codec_c as half
import ctypes

assert "installed" in half.__file__, half.__file__
assert hasattr(ctypes.CDLL(half.__file__), "__asan_init"), "the extension was not built with ASan"
END
LD_PRELOAD=$preload "$python" -m pytest -p no:cacheprovider -k compiled -m "not resident_memory" "$@" tests
