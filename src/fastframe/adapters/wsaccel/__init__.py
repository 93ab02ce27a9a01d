"""wsaccel's API on our codec: ``xormask`` and ``utf8validator``.

``fastframe.install("wsaccel")`` puts these modules in place of wsaccel's, for
those who import it by name; it need not be installed.
"""

from __future__ import annotations

from .._guard import Library
from . import utf8validator, xormask

__all__ = ["LIBRARY", "utf8validator", "xormask"]

LIBRARY = Library(
    distribution="wsaccel",
    modules={
        "wsaccel": __name__,
        "wsaccel.utf8validator": utf8validator.__name__,
        "wsaccel.xormask": xormask.__name__,
    },
)
