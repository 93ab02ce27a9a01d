#!/usr/bin/env bash
# The tests of the codec, the connection and aio with Cython's refnanny, on a debug build of CPython (DEBUG_PYTHON).
#
# PIP_PYTHON: an interpreter with pip 22.3 or newer. Further arguments go to pytest, instead of the files below.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v "${DEBUG_PYTHON:-python3.11-dbg}" || true)
if [ -z "$python" ]; then
    echo "not run: refnanny: no ${DEBUG_PYTHON:-python3.11-dbg} on this machine"
    [ "${REQUIRE:-}" != 1 ] || exit 1
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
FASTFRAME_CFLAGS="-O1 -DCYTHON_REFNANNY=1" \
    bash "$here/environment.sh" "$python" "$folder" pytest hypothesis "anyio>=4.9" "python-socks[asyncio]>=2.8" >"$folder/log" 2>&1 \
    || { tail -n 30 "$folder/log"; exit 1; }
export PYTHONPATH="$folder/installed"

# extension SOURCE.pyx: one module, among what is installed.
extension() {
    local name
    name=$(basename "$1" .pyx)
    "$python" -m cython --output-file "$folder/$name.c" "$1"
    # What the debug interpreter is built with, and no more than that.
    gcc ${2:-} -O1 -shared -fPIC "-I$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')" \
        "$folder/$name.c" -o "$folder/installed/$name.so"
}
extension "$("$python" -c 'import Cython.Runtime as found; print(found.__path__[0])')/refnanny.pyx"
extension "$here/planted.pyx" -DCYTHON_REFNANNY=1

cd "$here/../.."
[ $# -gt 0 ] || set -- tests/test_{masking,utf8,header,frame_decoder,message_decoder,encoder,receive_in_place}.py \
    tests/test_{take_chunk,inflate_hook,lifetimes,connection,connection_closing}.py tests/test_aio_*.py
# Left out, besides what needs other extensions and real proxies: a flood of pings against the clock, which the accounts
# make slow, and a refused certificate, over which asyncio of CPython 3.11.2 itself stumbles.
FASTFRAME_EXTENSION=1 "$python" "$here/nanny.py" -p no:cacheprovider -m "not resident_memory" \
    -k "not pure and not wsaccel and not uvloop and not real_proxy and not flood_of_pings and not certificate_of_the_server" "$@"
