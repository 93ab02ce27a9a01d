"""wsaccel's API on our codec: ``xormask`` and ``utf8validator``.

``fastframe.install("wsaccel")`` puts these modules in place of wsaccel's, for
those who import it by name; it need not be installed.
"""

from __future__ import annotations

from importlib import import_module

from .._guard import Library
from . import utf8validator, xormask

__all__ = ["LIBRARY", "patch_autobahn", "patch_ws4py", "utf8validator", "xormask"]

# The release that has this API.
__version__ = "0.6.7"

LIBRARY = Library(
    distribution="wsaccel",
    modules={
        "wsaccel": __name__,
        "wsaccel.utf8validator": utf8validator.__name__,
        "wsaccel.xormask": xormask.__name__,
    },
)


def patch_autobahn() -> None:
    """Install the adapter for autobahn, to depth `utf8`: masking and validation are what wsaccel replaces.

    Raises:
        ImportError: autobahn is not installed.
    """
    _install("autobahn")


def patch_ws4py() -> None:
    """Install the adapter for ws4py.

    Raises:
        ImportError: ws4py is not installed.
    """
    _install("ws4py")


def _install(name: str) -> None:
    from .. import install, status

    import_module(name)
    # At whichever depth: this is said again and again, and undone by nobody.
    if status()[name].depth is None:
        install(name, depth="utf8")
