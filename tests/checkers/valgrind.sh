#!/usr/bin/env bash
# The codec's tests of the compiled half under valgrind's memcheck: reads and writes outside of what is allocated,
# choices by bytes that were never written, and memory that nobody points to any more.
#
# VALGRIND_PYTHON: the interpreter. Debian's own is quiet under valgrind; others read their own frames before these
# are written, and would need so many suppressions that ours would be among them.
# PIP_PYTHON: an interpreter with pip 22.3 or newer. Further arguments go to pytest, instead of the files below.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v "${VALGRIND_PYTHON:-/usr/bin/python3.11}" || true)
not_run() {
    echo "not run: valgrind: $1"
    [ "${REQUIRE:-}" != 1 ] || exit 1
    exit 0
}
[ -n "$(command -v valgrind)" ] || not_run "no valgrind on this machine"
[ -n "$python" ] || not_run "no ${VALGRIND_PYTHON:-/usr/bin/python3.11} on this machine"
header=$("$python" -c 'import os, sysconfig; print(os.path.join(sysconfig.get_path("include"), "Python.h"))')
[ -e "$header" ] || not_run "no $header on this machine"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
FASTFRAME_CFLAGS=-g bash "$here/environment.sh" "$python" "$folder" pytest hypothesis >"$folder/log" 2>&1 \
    || { tail -n 30 "$folder/log"; exit 1; }

# PYTHONMALLOC: inside an arena of CPython's allocator a read outside an object hits another one.
export PYTHONMALLOC=malloc PYTHONPATH="$folder/installed" PYTHONDONTWRITEBYTECODE=1 FASTFRAME_EXTENSION=1

# checked REPORTS ARGUMENT...: Python under memcheck. Lost is what nobody points to as the process ends.
checked() {
    local reports=$1
    shift
    valgrind --quiet --error-exitcode=9 --num-callers=25 --leak-check=full --errors-for-leak-kinds=definite \
        --show-leak-kinds=definite --suppressions="$here/cpython.supp" --log-file="$reports" "$python" "$@"
}

# What would be quiet about these would be quiet about anything.
gcc -g -O0 -shared -fPIC "$here/planted.c" -o "$folder/planted.so"
if checked "$folder/planted" -c "
import ctypes
planted = ctypes.CDLL('$folder/planted.so')
planted.over_read(bytes(100), ctypes.c_size_t(101))
planted.uninitialised()
planted.lose()"; then
    echo "FAILED: valgrind says nothing of planted faults"
    exit 1
fi
for words in "Invalid read of size 1 .*over_read" "uninitialised value.* uninitialised" "definitely lost.* lose"; do
    # A report is a paragraph: one line for each. Not grep -q, which ends before awk has written all: that would fail.
    if ! sed 's/^==[0-9]*== *//' "$folder/planted" | awk -v RS= '{ gsub("\n", " "); print }' | grep "$words" >/dev/null; then
        echo "FAILED: valgrind does not report: $words"
        cat "$folder/planted"
        exit 1
    fi
done
echo "planted faults are found"

# tested NAME ARGUMENT...: pytest under memcheck. Left out are the tests of every sequence of bytes there is: a minute,
# for what the others read and write, too.
tested() {
    local name=$1
    shift
    checked "$folder/$name" -m pytest -q -p no:cacheprovider \
        -k "not pure and not wsaccel and not (every and (judged or surrogate))" "$@" >"$folder/$name.out" 2>&1
}
cd "$here/../.."
checked /dev/null -c "import fastframe; print('valgrind: the kernel in use is', fastframe.build_info()['kernel'])"
running=()
if [ $# -gt 0 ]; then
    tested all "$@" & running+=($!)
else
    # A half for each processor.
    tested decoders tests/test_{message_decoder,frame_decoder,receive_in_place,inflate_hook}.py & running+=($!)
    tested functions tests/test_{masking,utf8,header,encoder,take_chunk,lifetimes}.py & running+=($!)
fi
status=0
for process in "${running[@]}"; do
    wait "$process" || status=$?
done
for told in "$folder"/*.out; do
    [ "$status" = 0 ] || cat "$told" "${told%.out}"
    echo "valgrind: $(basename "$told" .out): $(tail -n 1 "$told"), $(grep -c '^==[0-9]*== [^ ]' "${told%.out}" || true) reports"
done
exit "$status"
