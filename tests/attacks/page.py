"""The tables of docs/security.md, from the code's defaults and from what the attacks declare.

``python tests/attacks/page.py`` rewrites them; tests/test_security_page.py
fails if they are not what stands there.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from attacks import catalogue, hostile  # noqa: E402

from fastframe import (  # noqa: E402
    BACKEND,
    _handshake_client,
    _handshake_common,
    _http_response,
    deflate,
    masking_keys,
    serve,
)
from fastframe._deflate_codec import MAX_FINAL_BLOCKS, RATIO_FLOOR  # noqa: E402
from fastframe.aio import broadcast, client, protocol, settings, tls_answers  # noqa: E402

PAGE = TESTS.parent / "docs" / "security.md"


def default(function: Any, name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def limits() -> list[tuple[str, object, str, str]]:
    """Name, default, unit, and what happens."""
    common = _handshake_common
    ratio = default(deflate.PerMessageDeflate, "max_ratio")
    return [
        ("`max_size`", default(serve, "max_size"), "bytes in a message, inflated too", "1009"),
        ("`max_fragments`", default(serve, "max_fragments"), "frames in a message, empty ones too", "1009"),
        ("`max_ratio` of `PerMessageDeflate`", ratio, f"times, above {RATIO_FLOOR:,} bytes", "1009"),
        ("final blocks", MAX_FINAL_BLOCKS, "in a compressed message", "1009"),
        ("`max_queue`", default(serve, "max_queue"), "bytes not taken, 64 more a message", "reading pauses"),
        ("a read, if deflate is agreed on", protocol.CAREFUL_SIZE, "bytes", "the rest waits in the system"),
        ("a read otherwise", 262144, "bytes; 65,536 in the pure half", "the rest waits in the system"),
        ("`write_limit`", default(serve, "write_limit"), "bytes not sent", "`send` waits; one pong is kept"),
        ("answers of TLS itself", tls_answers.MAX_ANSWERS, "bytes not sent, behind `write_limit`", "closed"),
        ("`max_backlog`", default(serve, "max_backlog"), "bytes, by `slow_consumer`", "dropped, or 1013"),
        ("`limit` of `broadcast`", default(broadcast.broadcast, "limit"), "bytes not sent", "skipped"),
        ("`open_timeout`", default(serve, "open_timeout"), "seconds; TLS has as many", "408, or closed"),
        ("`ping_interval`", default(serve, "ping_interval"), "seconds", "a ping is sent"),
        ("`ping_timeout`", default(serve, "ping_timeout"), "seconds without a byte", "1011"),
        ("`close_timeout`", default(serve, "close_timeout"), "seconds", "the connection is reset"),
        ("header fields", common.DEFAULT_MAX_HEADER_COUNT, "in a request or response", "431"),
        ("a header line", common.DEFAULT_MAX_HEADER_SIZE, "bytes", "431; 414 for the request line"),
        ("a head", common.DEFAULT_MAX_HEADERS_BYTES, "bytes", "431"),
        ("offers", common.MAX_OFFERS, "in a header of subprotocols or extensions", "431"),
        ("body of a refusal", _handshake_client.MAX_REJECTION_BODY, "bytes a client reads", "cut off"),
        ("interim responses", _http_response.MAX_INTERIM_RESPONSES, "in a row, 1xx", "`InvalidResponse`"),
        ("redirections", client.MAX_REDIRECTS, "in a row that a client follows", "`InvalidResponse`"),
    ]


def _shown(value: object) -> str:
    return "none" if value is None else f"{value:,}"


def tables() -> dict[str, list[str]]:
    """Lines of each table, by its name."""
    key_pool = masking_keys.BLOCK_SIZE * masking_keys._BLOCKS_PER_REFILL
    assert settings.OBJECT_SIZE == 64 and key_pool == 4096, "the page says so"
    read_size = 262144 if BACKEND == "compiled" else 65536
    assert read_size == protocol.READ_SIZE, "the page says so"
    found = {
        "limits": [
            "| limit | default | unit | at it |",
            "|---|---:|---|---|",
            *(f"| {name} | {_shown(value)} | {unit} | {what} |" for name, value, unit, what in limits()),
        ],
        "attacks": ["| what the client sends | answer |", "|---|---|"],
        "hostile": ["| what the server sends | outcome |", "|---|---|"],
    }
    found["attacks"] += [f"| {attack.what} | {attack.answer} |" for attack in catalogue.ATTACKS]
    found["hostile"] += [f"| {attack.what} | {attack.answer} |" for attack in hostile.HOSTILE]
    return found


def rendered(page: str) -> str:
    for name, lines in tables().items():
        begin, end = f"<!-- {name}: made by tests/attacks/page.py -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        assert rest and after, f"docs/security.md has no place for {name}"
        page = before + begin + "\n".join(lines) + "\n" + end + after
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
