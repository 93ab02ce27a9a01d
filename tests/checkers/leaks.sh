#!/usr/bin/env bash
# Looks for references that are left behind, with leaks.py on a debug build of CPython (DEBUG_PYTHON).
#
# PIP_PYTHON: an interpreter with pip 22.3 or newer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v "${DEBUG_PYTHON:-python3.11-dbg}" || true)
if [ -z "$python" ]; then
    echo "not run: leaks: no ${DEBUG_PYTHON:-python3.11-dbg} on this machine"
    [ "${REQUIRE:-}" != 1 ] || exit 1
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
FASTFRAME_CFLAGS=-O1 bash "$here/environment.sh" "$python" "$folder" >"$folder/log" 2>&1 || { tail -n 30 "$folder/log"; exit 1; }
FASTFRAME_EXTENSION=1 PYTHONPATH="$folder/installed" "$python" "$here/leaks.py"
