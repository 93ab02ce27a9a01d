"""HTTP header fields, and the lists inside their values.

Everything here takes time linear in the length of its input, and uses no
regular expression: quoted strings in Sec-WebSocket-Extensions have brought
down servers whose expressions backtracked (CVE-2020-7662, CVE-2021-32640).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias, overload

from .errors import FastframeError

__all__ = [
    "SECRET_FIELDS",
    "Extension",
    "Headers",
    "HeadersLike",
    "MultipleValues",
    "build_extensions",
    "parse_extensions",
    "parse_token_list",
]

# RFC 9110 section 5.6.2, tchar.
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# RFC 9110 section 5.5: "Field values containing CR, LF, or NUL characters are
# invalid and dangerous"; those with other control characters are invalid too.
_FORBIDDEN_IN_VALUES = frozenset(map(chr, [*range(0x20), 0x7F])) - {"\t"}
# RFC 9110 section 5.6.3, OWS.
_WHITESPACE = " \t"


SECRET_FIELDS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
"""Names of what may let somebody in, in lower case: logs are pasted, terminals recorded, demos shown.

See RFC 9110 sections 11.6.2 and 11.7.2, RFC 6265 section 8.3.
"""


class MultipleValues(FastframeError, LookupError):
    """A header field that is asked for as one value was given more than once."""


class Headers:
    """Header fields in their order, with their names as they were written.

    Names are looked up in any case (RFC 9110 section 5.1). A name may occur
    more than once: `get` and ``headers[name]`` refuse to choose among several
    values, since sender and proxy may choose differently; `get_all` has them.

    Args:
        fields: a mapping, or pairs of name and value.

    Raises:
        ValueError: a name is no token, or a value has characters that must
            not be sent (control characters, what is not in ISO-8859-1) or
            white space at an end. The message names the field.
    """

    # One string, as the fields stand in a message: those of a request are kept
    # as long as its connection, and tuples and strings of their own would take
    # six times the memory.
    __slots__ = ("_lines",)

    def __init__(self, fields: HeadersLike = ()) -> None:
        self._lines = ""
        self.extend(fields)

    @classmethod
    def of_checked_lines(cls, lines: str) -> Headers:
        """Make headers of fields that have been checked already.

        Args:
            lines: ``name: value`` with CR LF between them, and none at the end.
                Nothing that the constructor would refuse may be there.
        """
        headers = cls.__new__(cls)
        headers._lines = lines
        return headers

    def add(self, name: str, value: str) -> None:
        """Append a field, whether there are others of this name or not.

        Raises:
            ValueError: as for the constructor.
        """
        self._append(_checked_line((name, value)))

    def extend(self, fields: HeadersLike) -> None:
        """Append fields.

        Raises:
            ValueError: as for the constructor; then none of them is added.
        """
        if isinstance(fields, Headers):
            self._append(fields._lines)
        else:
            self._append("\r\n".join(map(_checked_line, _pairs(fields))))

    def set(self, name: str, value: str) -> None:
        """Replace all fields of this name by one, at the place of the first of them.

        Raises:
            ValueError: as for the constructor.
        """
        new, key = _checked_line((name, value)), name.lower()
        names = [other.lower() for other in self]
        if key not in names:
            self._append(new)
            return
        lines, first = self._split(), names.index(key)
        lines[first] = new
        kept = [line for place, line in enumerate(lines) if names[place] != key or place == first]
        self._lines = "\r\n".join(kept)

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the only field of this name, or `default` if there is none.

        Raises:
            MultipleValues: there are several.
        """
        return only_value(name, self.get_all(name), default)

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields of this name, in their order."""
        key = name.lower()
        return [value for other, value in self.items() if other.lower() == key]

    def by_name(self) -> dict[str, list[str]]:
        """Return the values of each name, which is in lower case: for those who look up many."""
        found: dict[str, list[str]] = {}
        for line in self._split():
            name, _, value = line.partition(": ")
            found.setdefault(name.lower(), []).append(value)
        return found

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, as often as each occurs."""
        return (name for name, _ in self.items())

    def __len__(self) -> int:
        return len(self._split())

    def __bool__(self) -> bool:
        return bool(self._lines)

    def items(self) -> list[tuple[str, str]]:
        """Return all pairs of name and value, in their order."""
        # No name has a colon.
        return [(name, value) for name, _, value in [line.partition(": ") for line in self._split()]]

    def serialize(self) -> bytes:
        """Return the lines to send, each with its CR LF (values in ISO-8859-1, RFC 9110 section 5.5)."""
        return f"{self._lines}\r\n".encode("latin-1") if self._lines else b""

    def raw(self) -> list[tuple[bytes, bytes]]:
        """Return all pairs as the bytes to send."""
        return [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.items()]

    def __eq__(self, other: object) -> bool:
        """Whether the same fields come in the same order, names in any case."""
        if not isinstance(other, Headers):
            return NotImplemented
        return _folded(self.items()) == _folded(other.items())

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        shown = [(name, "***" if name.lower() in SECRET_FIELDS else value) for name, value in self.items()]
        return f"Headers({shown!r})"

    def _split(self) -> list[str]:
        return self._lines.split("\r\n") if self._lines else []

    def _append(self, lines: str) -> None:
        self._lines = f"{self._lines}\r\n{lines}" if self._lines and lines else self._lines or lines


HeadersLike: TypeAlias = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
"""What `Headers` can be made from."""


class Extension(NamedTuple):
    """One element of Sec-WebSocket-Extensions (RFC 6455 section 9.1)."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()
    """Names with their values, None for a parameter without one; quotes are taken off."""


def parse_token_list(value: str) -> list[str]:
    """Read a list of tokens, as in Connection or Sec-WebSocket-Protocol.

    Args:
        value: the value of one header field, or of several joined by commas.

    Returns:
        The tokens, empty elements left out as RFC 9110 section 5.6.1.2 demands.

    Raises:
        ValueError: an element is no token.
    """
    tokens = [token for element in value.split(",") if (token := element.strip(_WHITESPACE))]
    for token in tokens:
        _check_token(token, "element")
    return tokens


def parse_extensions(value: str) -> list[Extension]:
    """Read the value of Sec-WebSocket-Extensions (RFC 6455 section 9.1).

    Args:
        value: the value of one header field, or of several joined by commas.

    Returns:
        The extensions in their order, empty elements left out (RFC 9110 section 5.6.1.2).

    Raises:
        ValueError: a name or a value is no token.
    """
    # A quoted string cannot hide a separator: "the value after quoted-string
    # unescaping MUST conform to the 'token' ABNF", and no separator does. What
    # is cut here inside of quotes lacks its closing quote and is refused.
    return [_parse_extension(element) for element in value.split(",") if element.strip(_WHITESPACE)]


def build_extensions(extensions: Iterable[Extension]) -> str:
    """Write the value of Sec-WebSocket-Extensions.

    Raises:
        ValueError: a name or a value is no token.
    """
    return ", ".join(_build_extension(extension) for extension in extensions)


def _parse_extension(element: str) -> Extension:
    name, *parameters = element.split(";")
    return Extension(_parse_token(name, "extension"), tuple(map(_parse_parameter, parameters)))


def _parse_parameter(parameter: str) -> tuple[str, str | None]:
    # White space around "=" is allowed: RFC 6455 section 4.3 applies the
    # "implied *LWS rule" of RFC 2616.
    name, equals, value = parameter.partition("=")
    name = _parse_token(name, "parameter")
    if not equals:
        return name, None
    value = value.strip(_WHITESPACE)
    if value.startswith('"'):
        value = _unquoted(value)
    return name, _parse_token(value, f"value of {name}")


def _unquoted(quoted: str) -> str:
    """Take off the quotes and the backslashes (RFC 9110 section 5.6.4)."""
    if "\\" not in quoted:
        content, end, rest = quoted[1:].partition('"')
        if not end or rest:
            raise ValueError(f"quoted string {quoted} does not end with its second quote")
        return content
    characters = iter(quoted[1:])
    pieces: list[str] = []
    for character in characters:
        if character == '"':
            break
        pieces.append(next(characters, "") if character == "\\" else character)
    else:
        raise ValueError(f"quoted string {quoted} does not end with a quote")
    if next(characters, None) is not None:
        raise ValueError(f"quoted string {quoted} goes on after its closing quote")
    return "".join(pieces)


def _build_extension(extension: Extension) -> str:
    _check_token(extension.name, "extension")
    pieces = [extension.name]
    for name, value in extension.parameters:
        _check_token(name, "parameter")
        if value is None:
            pieces.append(name)
        else:
            _check_token(value, f"value of {name}")
            pieces.append(f"{name}={value}")
    return "; ".join(pieces)


def _parse_token(text: str, what: str) -> str:
    token = text.strip(_WHITESPACE)
    _check_token(token, what)
    return token


def is_token(text: str) -> bool:
    """Whether it is a token (RFC 9110 section 5.6.2)."""
    return bool(text) and _TOKEN_CHARACTERS.issuperset(text)


def _check_token(token: str, what: str) -> None:
    if not token or not _TOKEN_CHARACTERS.issuperset(token):
        raise ValueError(f"{what} {token!r} is not a token (RFC 9110 5.6.2)")


def _check_value(name: str, value: str) -> None:
    if not _FORBIDDEN_IN_VALUES.isdisjoint(value):
        raise ValueError(f"value of header {name} has a control character: {value!r}")
    if value.strip(_WHITESPACE) != value:
        raise ValueError(f"value of header {name} begins or ends with white space: {value!r}")
    if not value.isascii():
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"value of header {name} is not in ISO-8859-1: {value!r}") from None


def only_value(name: str, values: Sequence[str], default: str | None = None) -> str | None:
    """Return the one value of a header field, or `default` if there is none.

    Raises:
        MultipleValues: there are several.
    """
    if len(values) > 1:
        raise MultipleValues(f"header {name} occurs {len(values)} times")
    return values[0] if values else default


def _checked_line(field: tuple[str, str]) -> str:
    name, value = field
    _check_token(name, "header name")
    _check_value(name, value)
    return f"{name}: {value}"


def _pairs(fields: Mapping[str, str] | Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return fields.items() if isinstance(fields, Mapping) else fields


def _folded(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in fields]
