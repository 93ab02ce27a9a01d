"""Texts that the server sends to whoever comes, one of each kind."""

from __future__ import annotations

import json
from typing import Final

__all__ = ["FORMATS", "WELCOME"]

FORMATS: Final = ("text", "json", "xml", "html")

_TEXT = "Nobody asked for this: the server may speak at any time. Grüße, 世界, שלום, 🦊."

_JSON = json.dumps(
    {
        "instrument": "weather-buoy 62081",
        "position": {"lat": 51.0, "lon": -13.3},
        "wave": {"height_m": 3.4, "period_s": 9.1},
        "wind_kn": [18, 21, 24],
        "calm": False,
        "notes": None,
    },
    ensure_ascii=False,
)

_XML = """\
<?xml version="1.0"?>
<departures station="Gare de l'Est">
  <train number="9571" platform="4"><to>Stuttgart</to><at>10:55</at></train>
  <train number="2353" platform="7" late="5"><to>Épernay</to><at>11:08</at></train>
</departures>"""

_HTML = """\
<h1>A document of its own</h1>
<p>It is shown in a <em>sandbox</em>: no scripts, no forms, no way out.</p>
<table>
  <tr><th>Opcode</th><th>Frame</th></tr>
  <tr><td>0x1</td><td>text</td></tr>
  <tr><td>0x2</td><td>binary</td></tr>
</table>"""

WELCOME: Final = (("text", _TEXT), ("json", _JSON), ("xml", _XML), ("html", _HTML))
