"""permessage-deflate (RFC 7692): what is wished for, offered, answered and agreed on.

`PerMessageDeflate` holds one side's wishes and negotiates; what comes out of a
negotiation is a `DeflateCodec`, which belongs to one connection.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from ._compressors import DEFLATE_BACKEND
from ._deflate_codec import DeflateCodec
from .errors import InvalidResponse
from .frames import Role
from .http_headers import Extension, build_extensions

__all__ = [
    "DEFAULT_WINDOW_BITS",
    "DEFLATE_BACKEND",
    "PERMESSAGE_DEFLATE",
    "DeflateCodec",
    "DeflateParameters",
    "PerMessageDeflate",
]

PERMESSAGE_DEFLATE: Final = "permessage-deflate"
"""The extension's name (RFC 7692 section 7)."""

MAX_WINDOW_BITS: Final = 15
"""Window of those who say nothing about it: 32,768 bytes (RFC 7692 section 7.1.2)."""

DEFAULT_WINDOW_BITS: Final = 12
"""Window that we compress with, and ask clients for, unless told otherwise: 4,096 bytes."""

# RFC 7692 section 7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15".
_WINDOW_BITS = {str(bits): bits for bits in range(8, MAX_WINDOW_BITS + 1)}
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS = ("server_max_window_bits", "client_max_window_bits")


@dataclass(frozen=True, slots=True)
class DeflateParameters:
    """The four parameters of permessage-deflate (RFC 7692 section 7.1).

    Attributes:
        server_no_context_takeover: the server compresses each message by itself.
        client_no_context_takeover: the client does.
        server_max_window_bits: base-2 logarithm of the window in bytes that
            the server compresses with at most, 8 to 15; None: not given.
        client_max_window_bits: the same for the client; True: given without a
            value, as only an offer may.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | Literal[True] | None = None

    @classmethod
    def parse(cls, pairs: Iterable[tuple[str, str | None]], *, is_offer: bool) -> DeflateParameters:
        """Read the parameters of an offer or of the answer to one.

        Raises:
            ValueError: what RFC 7692 section 7.1 declines or fails: an unknown
                parameter, an invalid value, or a parameter given twice. The
                message names parameter and value.
        """
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise ValueError(f"{_written(name, value)} is given after {_written(name, found[name])}")
            found[name] = _parse_value(name, value, is_offer)
        return cls(**found)

    def extension(self) -> Extension:
        """Return these parameters as an element of Sec-WebSocket-Extensions."""
        pairs: list[tuple[str, str | None]] = [(name, None) for name in _FLAGS if getattr(self, name)]
        for name in _WINDOWS:
            bits = getattr(self, name)
            if bits is not None:
                pairs.append((name, None if bits is True else str(bits)))
        return Extension(PERMESSAGE_DEFLATE, tuple(pairs))

    def __str__(self) -> str:
        return build_extensions([self.extension()])


class Agreement(NamedTuple):
    """What a server makes of an offer."""

    element: str
    """For Sec-WebSocket-Extensions."""
    parameters: DeflateParameters
    server_bits: int
    """Of the window that the server compresses with."""
    client_bits: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PerMessageDeflate:
    """One side's wishes for permessage-deflate; it may serve any number of connections.

    The defaults keep a connection small and cost little compression. 512-byte
    JSON messages with context kept, zlib at level 6: a window of 15 bits with
    memory level 8 makes them 0.39 of their size and takes 262 KiB to compress
    and 39 to inflate; 12 bits with memory level 5 make them 0.42 at the same
    speed and take 38 and 11 KiB. Lower levels of zlib save little time at that
    size and a third at 16 KiB, for 5 to 8 % more bytes. isal needs less than
    half of zlib's time for such a message (0.46 of its size, 105 KiB), at
    level 1 a seventh (0.48, 81 KiB); zlib-ng 0.7 (0.42, 161 KiB), at level 1 a
    sixth (0.49).

    Args:
        server_no_context_takeover: the server is to compress each message by
            itself, which takes less memory and gives larger messages.
        client_no_context_takeover: the client is to, likewise.
        server_max_window_bits: base-2 logarithm of the window in bytes that
            the server may compress with, 8 to 15. A client demands it. A
            server keeps to it and says so; None there means
            `DEFAULT_WINDOW_BITS`.
        client_max_window_bits: the same for the client. A client keeps to it
            and offers it; True offers to keep to what the server wants (and
            `DEFAULT_WINDOW_BITS`), None offers nothing. A server asks for it
            of a client that offers to keep to a limit; True means
            `DEFAULT_WINDOW_BITS`, None sets no limit.
        level: zlib's compression level, 1 (fast) to 9 (small). isal knows
            three of them: 1, 2 to 6, 7 to 9.
        memory_level: zlib's memory level for compression, 1 to 9.
        threshold: messages of fewer bytes go uncompressed. Below 64 bytes what
            can be saved is less than the headers of TCP and IP around it, and
            without context nothing is saved at all.
        max_ratio: a received message that inflates to more than so many times
            its compressed size fails the connection with 1009, found out
            while inflating; None: deflate's own 1,032 is the limit. Messages
            of up to 64 KiB are let alone: they harm nobody, and with context
            a repeated one takes next to nothing. Ordinary text stays below 20,
            logs and tables of zeros may reach hundreds.

    Raises:
        ValueError: an argument is out of its range.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | Literal[True] | None = True
    level: int = 6
    memory_level: int = 5
    threshold: int = 64
    max_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.server_max_window_bits is not None:
            _check_range("server_max_window_bits", self.server_max_window_bits, 8, MAX_WINDOW_BITS)
        if self.client_max_window_bits is not None and self.client_max_window_bits is not True:
            _check_range("client_max_window_bits", self.client_max_window_bits, 8, MAX_WINDOW_BITS)
        _check_range("level", self.level, 1, 9)
        _check_range("memory_level", self.memory_level, 1, 9)
        _check_range("threshold", self.threshold, 0, sys.maxsize)
        _check_ratio(self.max_ratio)

    def offer(self) -> str:
        """Return a client's element for Sec-WebSocket-Extensions."""
        return str(
            DeflateParameters(
                self.server_no_context_takeover,
                self.client_no_context_takeover,
                self.server_max_window_bits,
                self.client_max_window_bits,
            )
        )

    def accept(self, offers: Iterable[Extension]) -> tuple[str, DeflateCodec] | None:
        """Answer a client, as a server.

        Args:
            offers: the extensions that the client offers, in its order; those
                of other names are passed over.

        Returns:
            The element for Sec-WebSocket-Extensions and what the connection
            uses from then on; None if no offer is acceptable.
        """
        for offer in offers:
            if offer.name != PERMESSAGE_DEFLATE:
                continue
            try:
                agreement = _agreement(self, offer.parameters)
            except ValueError:
                # RFC 7692 section 7.1: "A server MUST decline" it; the next offer may be a fallback.
                continue
            return agreement.element, self._codec(
                Role.SERVER, agreement.parameters, agreement.server_bits, agreement.client_bits
            )
        return None

    def agree(self, offered: DeflateParameters) -> Agreement:
        """Answer one offer, as a server."""
        agreed = self._answer(offered)
        # RFC 7692 section 7.1.2.2: the client keeps to what it has offered even
        # if the answer does not repeat it.
        client_bits = min(_bits(agreed.client_max_window_bits), _bits(offered.client_max_window_bits))
        return Agreement(str(agreed), agreed, _bits(agreed.server_max_window_bits), client_bits)

    def confirm(self, element: Extension) -> DeflateCodec:
        """Check a server's answer, as the client that made the offer.

        Raises:
            InvalidResponse: the answer is malformed or not what was offered
                (RFC 7692 section 7.1: "MUST Fail the WebSocket Connection");
                the message names parameter and value.
        """
        if element.name != PERMESSAGE_DEFLATE:
            raise InvalidResponse(f"the server accepts extension {element.name}, which was not offered")
        try:
            answer = DeflateParameters.parse(element.parameters, is_offer=False)
        except ValueError as error:
            raise InvalidResponse(f"the server's {PERMESSAGE_DEFLATE}: {error}") from None
        self._check_answer(answer)
        agreed = DeflateParameters(
            server_no_context_takeover=answer.server_no_context_takeover,
            # RFC 7692 section 7.1.1.2: having offered it, a client is not going
            # to take over context even if the answer does not repeat it.
            client_no_context_takeover=answer.client_no_context_takeover or self.client_no_context_takeover,
            server_max_window_bits=answer.server_max_window_bits,
            client_max_window_bits=answer.client_max_window_bits,
        )
        client_bits = min(_bits(agreed.client_max_window_bits), _preferred_bits(self.client_max_window_bits))
        return self._codec(Role.CLIENT, agreed, client_bits, _bits(agreed.server_max_window_bits))

    def _codec(
        self, role: Role, agreed: DeflateParameters, compress_bits: int, inflate_bits: int
    ) -> DeflateCodec:
        return DeflateCodec(
            role,
            agreed,
            compress_bits=compress_bits,
            inflate_bits=inflate_bits,
            level=self.level,
            memory_level=self.memory_level,
            threshold=self.threshold,
            max_ratio=self.max_ratio,
        )

    def _answer(self, offered: DeflateParameters) -> DeflateParameters:
        server_bits: int | None = min(
            _bits(offered.server_max_window_bits), _preferred_bits(self.server_max_window_bits)
        )
        if server_bits == MAX_WINDOW_BITS and offered.server_max_window_bits is None:
            server_bits = None
        client_bits: int | None = None
        # RFC 7692 section 7.1.2.2: without it in the offer, the answer "MUST NOT include" it.
        if offered.client_max_window_bits is not None and self.client_max_window_bits is not None:
            client_bits = min(
                _bits(offered.client_max_window_bits), _preferred_bits(self.client_max_window_bits)
            )
        return DeflateParameters(
            offered.server_no_context_takeover or self.server_no_context_takeover,
            offered.client_no_context_takeover or self.client_no_context_takeover,
            server_bits,
            client_bits,
        )

    def _check_answer(self, answer: DeflateParameters) -> None:
        # RFC 7692 sections 7.1.1.1 and 7.1.2.1: a server accepts either by including it in its answer.
        if self.server_no_context_takeover and not answer.server_no_context_takeover:
            raise _not_as_offered("no server_no_context_takeover", "server_no_context_takeover")
        offered, answered = self.server_max_window_bits, answer.server_max_window_bits
        if offered is not None and (answered is None or answered > offered):
            raise _not_as_offered(
                _bits_written("server_max_window_bits", answered), f"server_max_window_bits={offered}"
            )
        # RFC 7692 section 7.1.2.2: only if it was offered, and "equal to or smaller than the received value".
        offered, answered = self.client_max_window_bits, answer.client_max_window_bits
        if answered is not None and (offered is None or answered > _bits(offered)):
            raise _not_as_offered(
                f"client_max_window_bits={answered}", _bits_written("client_max_window_bits", offered)
            )


# Nearly all clients offer one of very few things. Only what is acceptable is
# kept, so that no entry is large: four parameters at most, and known values.
@functools.lru_cache(maxsize=64)
def _agreement(wishes: PerMessageDeflate, parameters: tuple[tuple[str, str | None], ...]) -> Agreement:
    return wishes.agree(DeflateParameters.parse(parameters, is_offer=True))


def _parse_value(name: str, value: str | None, is_offer: bool) -> int:
    """True for a parameter without a value, window bits for one with."""
    if name in _FLAGS:
        if value is not None:
            raise ValueError(f"{_written(name, value)}, but it takes no value")
        return True
    if name not in _WINDOWS:
        raise ValueError(f"{_written(name, value)} is no parameter of it")
    if value is None:
        # RFC 7692 section 7.1.2.2 lets the client's offer alone go without.
        if is_offer and name == "client_max_window_bits":
            return True
        raise ValueError(f"{name} without a value")
    bits = _WINDOW_BITS.get(value)
    if bits is None:
        raise ValueError(f"{_written(name, value)}, but it must be 8 to 15")
    return bits


def _written(name: str, value: object) -> str:
    return name if value is None or value is True else f"{name}={value}"


def _not_as_offered(answered: str, offered: str) -> InvalidResponse:
    return InvalidResponse(f"the server's {PERMESSAGE_DEFLATE} has {answered}, but {offered} was offered")


def _bits_written(name: str, bits: int | None) -> str:
    return f"no {name}" if bits is None else f"{name}={bits}"


def _bits(max_window_bits: int | None) -> int:
    """The window that a parameter allows."""
    return MAX_WINDOW_BITS if max_window_bits is None or max_window_bits is True else max_window_bits


def _preferred_bits(wish: int | None) -> int:
    """The window that one side wishes for."""
    return DEFAULT_WINDOW_BITS if wish is None or wish is True else wish


def _check_range(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be in {least}..{most}, got {value!r}")


def _check_ratio(max_ratio: Any) -> None:
    if max_ratio is None:
        return
    is_number = isinstance(max_ratio, (int, float)) and not isinstance(max_ratio, bool)
    if not is_number or not 1 <= max_ratio < math.inf:
        raise ValueError(f"max_ratio must be at least 1, or None, got {max_ratio!r}")
