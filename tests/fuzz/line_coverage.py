"""``python -m fuzz.line_coverage``, in tests/: the lines of the package that all inputs run, as JSON.

A process without the extension, in which every line is Python's.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

FILES = [
    "_codec_py.py",
    "_codec_py_frame_decoder.py",
    "_codec_py_header.py",
    "_codec_py_kernels.py",
    "_codec_py_message_decoder.py",
    "_codec_py_whole_messages.py",
    "connection.py",
    "frames.py",
    "deflate.py",
    "_deflate_codec.py",
    "_handshake_client.py",
    "_handshake_common.py",
    "_handshake_server.py",
    "_http_head.py",
    "_http_request.py",
    "_http_response.py",
    "http_headers.py",
    "proxies.py",
    "uri.py",
]


def main() -> None:
    os.environ["FASTFRAME_EXTENSION"] = "0"
    coverage = importlib.import_module("coverage")
    measured = coverage.Coverage(data_file=None, include=["*/fastframe/*"])
    measured.start()
    from fuzz import catalogue
    from fuzz.fuzzing import FOUND

    for name in catalogue.OURS:
        target = catalogue.target(name)
        for folder in (catalogue.CORPUS, catalogue.REGRESSIONS, FOUND):
            for path in catalogue.inputs(folder, name):
                target(path.read_bytes())
    measured.stop()
    import fastframe

    package = Path(fastframe.__file__).parent
    rows = []
    for file in FILES:
        _, statements, _, missing, _ = measured.analysis2(str(package / file))
        rows.append((file, len(statements) - len(missing), len(statements)))
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
