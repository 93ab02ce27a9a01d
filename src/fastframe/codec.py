"""The codec in use: the compiled half if it is there, the pure half otherwise.

The environment variable FASTFRAME_EXTENSION decides: unset, the compiled half
if it imports; ``0``, the pure half; ``1``, the compiled half or an
ImportError. This is the only file that reads it.
"""

from __future__ import annotations

import os

__all__ = [
    "BACKEND",
    "FrameDecoder",
    "FrameEncoder",
    "Masker",
    "MessageDecoder",
    "Utf8Validator",
    "apply_mask",
    "apply_mask_inplace",
    "build_info",
    "encode_frame",
    "encode_header",
    "is_valid_utf8",
    "parse_header",
]


TYPE_CHECKING = False


def _wants_compiled() -> bool:
    setting = os.environ.get("FASTFRAME_EXTENSION", "")
    if setting not in ("", "0", "1"):
        raise ImportError(f"FASTFRAME_EXTENSION must be 0, 1 or unset, got {setting!r}")
    if setting != "":
        return setting == "1"
    try:
        from . import _codec_c  # noqa: F401
    except ImportError:
        # Who names a kernel wants the compiled half, and to hear why not.
        if os.environ.get("FASTFRAME_KERNEL"):
            raise
        return False
    return True


BACKEND: str = "compiled" if _wants_compiled() else "pure"
"""Which half is in use: ``"compiled"`` or ``"pure"``."""

if TYPE_CHECKING or BACKEND == "compiled":
    from . import _codec_c as _half
else:
    from . import _codec_py as _half
    from ._sources import prefer_sources

    prefer_sources()

apply_mask = _half.apply_mask
apply_mask_inplace = _half.apply_mask_inplace
Masker = _half.Masker
is_valid_utf8 = _half.is_valid_utf8
Utf8Validator = _half.Utf8Validator
parse_header = _half.parse_header
encode_header = _half.encode_header
encode_frame = _half.encode_frame
FrameDecoder = _half.FrameDecoder
MessageDecoder = _half.MessageDecoder
FrameEncoder = _half.FrameEncoder


def build_info() -> dict[str, object]:
    """Describe the codec in use, for bug reports.

    Returns:
        ``backend`` (`BACKEND`), ``kernel`` (the SIMD kernels in use),
        ``kernels`` (all that this machine can run, fastest first; choose one
        with the environment variable FASTFRAME_KERNEL), ``version`` of
        fastframe, ``python`` and ``machine``.
    """
    import platform

    from . import __version__

    return {
        "backend": BACKEND,
        "kernel": _half.KERNEL,
        "kernels": _half.KERNELS,
        "version": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": platform.machine(),
    }
