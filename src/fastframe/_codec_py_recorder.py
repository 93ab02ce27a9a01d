"""What the pure half records of frame headers: no payload and no masking key."""

from __future__ import annotations

from collections import deque

from ._codec_py_header import refused_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._codec_py_header import Expectation
    from .recorder import RecordedFrame

__all__ = ["Recorder"]

_RECORDED = 8


class Recorder:
    """The headers that came last, those in order each as the first byte and the payload's length.

    Attributes:
        record: takes the next header that is in order by itself.
    """

    __slots__ = ("_accepted", "_ending", "_opening", "_refused", "record")

    def __init__(self) -> None:
        self._accepted: deque[tuple[int, int]] = deque(maxlen=_RECORDED)
        self.record = self._accepted.append
        self._refused: tuple[int, bool, int, int] | None = None
        # Of the last message in fragments, its first frame and its last.
        self._opening: tuple[int, int] | None = None
        self._ending: tuple[int, int] | None = None

    def refuse(self, data: bytes, position: int, expected: Expectation) -> None:
        """`read_header` has refused the next header."""
        self._refused = refused_header(data, position, expected)

    def note_end_of_fragments(self, is_last: bool) -> None:
        """The header recorded last is that of the last frame, or the first, of a message in several."""
        if is_last:
            self._ending = self._accepted[-1]
        else:
            self._opening, self._ending = self._accepted[-1], None

    def frames(self, masked: bool) -> tuple[RecordedFrame, ...]:
        """Give them names; `masked` is what all of those in order are, or are not."""
        # Loaded here and not at the start: few programs ever ask.
        from .recorder import recorded

        accepted = [*self._accepted]
        # Each is itself alone, even if another one says the same.
        known = {id(header) for header in accepted}
        opening, ending = self._opening, self._ending
        if opening is not None and id(opening) not in known and (ending is None or id(ending) in known):
            accepted.insert(0, opening)
        return recorded(accepted, masked, self._refused)
