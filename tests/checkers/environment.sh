#!/usr/bin/env bash
# environment.sh PYTHON FOLDER [PACKAGE...]: fastframe, built for another interpreter, and packages, in FOLDER.
#
# The interpreter needs neither pip nor a virtual environment of its own: PIP_PYTHON has pip 22.3 or newer.
# FASTFRAME_CFLAGS and LDFLAGS are handed on to the compiler.
set -euo pipefail
python=$1 folder=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$folder/source" "$folder/installed"
"${PIP_PYTHON:-python3}" -m pip --quiet --disable-pip-version-check --python "$python" install \
    --target "$folder/installed" "Cython>=3.1" "setuptools>=77.0.3" "h11>=0.16" "$@"
cp -r "$root"/{src,setup.py,pyproject.toml,MANIFEST.in,README.md,LICENSE} "$folder/source"
cd "$folder/source"
FASTFRAME_EXTENSION=1 PYTHONPATH="$folder/installed" "$python" setup.py --quiet build --build-lib "$folder/installed"
