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
export FASTFRAME_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-wrapv -O1 -g1 -fno-omit-frame-pointer"
export LDFLAGS="-fsanitize=address,undefined"
cp -r src setup.py pyproject.toml MANIFEST.in README.md LICENSE "$folder"
(cd "$folder" && FASTFRAME_EXTENSION=1 "$python" -m pip install --quiet --no-build-isolation --no-deps --target installed .)
planted_flags=$FASTFRAME_CFLAGS
unset FASTFRAME_CFLAGS LDFLAGS

# PYTHONMALLOC: inside an arena of CPython's allocator a read outside an object hits another one.
# Leaks are not looked for: the interpreter itself leaves memory behind at exit.
export PYTHONPATH="$folder/installed" PYTHONMALLOC=malloc FASTFRAME_EXTENSION=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
LD_PRELOAD=$preload "$python" - <<'END'
import ctypes
from pathlib import Path

import fastframe

package = Path(fastframe.__file__).parent
assert package.parent.name == "installed", package
extensions = sorted(package.rglob("*.so"))
compiled = {path.name.partition(".")[0] for path in extensions}
assert {"_codec_c", "_native", "connection", "protocol"} <= compiled, compiled
for path in extensions:
    assert hasattr(ctypes.CDLL(str(path)), "__asan_init"), f"{path} was not built with ASan"
print(f"{len(extensions)} extension modules are built with ASan")
END
# What would be quiet about these would be quiet about anything.
gcc $planted_flags -shared -fPIC tests/checkers/planted.c -o "$folder/planted.so"
for call in "over_read(bytes(100), ctypes.c_size_t(5000))" "overflow(2**31 - 1)"; do
    if LD_PRELOAD=$preload "$python" -c "import ctypes; ctypes.CDLL('$folder/planted.so').$call" 2>"$folder/told" \
        || ! grep -qE "AddressSanitizer|runtime error" "$folder/told"; then
        echo "FAILED: the sanitizers say nothing of $call"
        exit 1
    fi
done
echo "planted faults are found"
# All that is not about the pure half, the build, the terminal, the pages or the examples, which are processes with
# clocks of their own: the modules that are compiled as they stand, too.
LD_PRELOAD=$preload "$python" -m pytest -p no:cacheprovider -k "not pure" -m "not resident_memory" \
    --ignore-glob="*/test_cli*" --ignore=tests/test_build.py --ignore=tests/test_backend.py \
    --ignore-glob="*/test_bench*" --ignore=tests/test_autobahn_report.py --ignore-glob="*/test_readme*" \
    --ignore-glob="*/test_*_page.py" --ignore=tests/test_snippets.py --ignore-glob="*/test_examples*" \
    --ignore=tests/test_cimport_example.py --ignore=tests/test_tour.py "$@" tests
