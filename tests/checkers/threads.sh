#!/usr/bin/env bash
# Several threads under ThreadSanitizer: on the C kernels, and on the extension by the tests of threads.
#
# PYTHON: an interpreter of an environment with the `test` extra, Cython and setuptools. It has a GIL, so that of the
# extension the sanitizer sees what runs without it; `make portability` has the tests on an interpreter that has none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
python=${PYTHON:-python3}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
library=$(gcc -print-file-name=libtsan.so 2>/dev/null || true)
if [ ! -e "$library" ]; then
    # gcc prints the bare name of a library that it has not.
    echo "not run: threads: gcc has no libtsan on this machine"
    [ "${REQUIRE:-}" != 1 ] || exit 1
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for fault in "" -DPLANTED_FAULT; do
    gcc -std=c11 -g -O2 -fsanitize=thread -pthread -Wno-unused-function $fault -Isrc/fastframe/_kernels \
        "$here/threads.c" -o "$folder/threads$fault"
done
gcc -g -O1 -fsanitize=thread -shared -fPIC "$here/planted.c" -o "$folder/planted.so"
# What would be quiet about these would be quiet about anything.
race="import ctypes; ctypes.CDLL('$folder/planted.so').race()"
if "$folder/threads-DPLANTED_FAULT" >"$folder/told" 2>&1 || ! grep -q "data race" "$folder/told" \
    || LD_PRELOAD=$library "$python" -c "$race" >"$folder/told" 2>&1 || ! grep -q "data race" "$folder/told"; then
    echo "FAILED: the sanitizer says nothing of a planted race"
    cat "$folder/told"
    exit 1
fi
echo "planted races are found"
"$folder/threads"

cp -r src setup.py pyproject.toml MANIFEST.in README.md LICENSE "$folder"
(cd "$folder" && FASTFRAME_EXTENSION=1 FASTFRAME_CFLAGS="-fsanitize=thread -O1 -g" LDFLAGS=-fsanitize=thread \
    "$python" -m pip install --quiet --no-build-isolation --no-deps --target installed .)
# A race does not end the process there and then: its status tells of it.
LD_PRELOAD=$library PYTHONPATH="$folder/installed" FASTFRAME_EXTENSION=1 "$python" -m pytest -p no:cacheprovider \
    -k "compiled or (thread and not pure)" tests/test_threads.py tests/test_masking_keys.py
