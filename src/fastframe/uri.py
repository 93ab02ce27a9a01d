"""WebSocket URIs (RFC 6455 section 3), and what of them goes into the request."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from .errors import InvalidURI

__all__ = ["WebSocketURI", "basic_authorization", "parse_uri", "split_host_and_port"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
# RFC 3986 section 2.3, unreserved: no host name in use has other characters.
_HOST_CHARACTERS = frozenset("-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
# RFC 1035 section 2.3.4: 255 bytes with the length of each label.
_MAX_HOST_LENGTH = 253
# RFC 3986 section 2.2, gen-delims and sub-delims, and the sign of what is quoted already.
_NOT_QUOTED = "/?:@!$&'()*+,;=[]%"


@dataclass(frozen=True, slots=True)
class WebSocketURI:
    """A parsed WebSocket URI.

    Attributes:
        secure: whether the scheme is wss.
        host: name or address to connect to; an IPv6 address has no brackets.
        port: given, or the scheme's own: 80 or 443.
        resource_name: path and query, as RFC 6455 section 3 defines it.
        username: of the user information, decoded, or None.
        password: likewise, empty if there is a user name alone; left out of `repr`.
    """

    secure: bool
    host: str
    port: int
    resource_name: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def host_header(self) -> str:
        """The value of the Host header: the port is given unless it is the scheme's own."""
        # RFC 6874 section 1: a zone has a meaning on this machine alone, it is not sent.
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        if self.port == _DEFAULT_PORTS["wss" if self.secure else "ws"]:
            return host
        return f"{host}:{self.port}"


def parse_uri(uri: str) -> WebSocketURI:
    """Parse a WebSocket URI.

    What RFC 3986 does not allow in path and query is percent-encoded as UTF-8;
    a host name in another script is converted by IDNA.

    Args:
        uri: such as ``wss://user:password@example.com:8443/chat?room=1``.

    Raises:
        InvalidURI: it is none; its user information is not in the message.
    """
    try:
        return _parse(uri)
    except ValueError as error:
        # What precedes the last @ of all may hold a password.
        shown = uri.rpartition("@")[2]
        raise InvalidURI(f"{shown!r} is not a WebSocket URI: {error}") from None


def _parse(uri: str) -> WebSocketURI:
    for character in uri:
        if character <= " " or character in "\\\x7f":
            raise ValueError(f"it has the character {character!r}")
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise ValueError("it does not begin with ws:// or wss://")
    # RFC 6455 section 3: "Fragment identifiers are meaningless in the context
    # of WebSocket URIs and MUST NOT be used on these URIs."
    if "#" in rest:
        raise ValueError("it has a fragment identifier")
    authority_end = min(
        (place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest)
    )
    authority, resource_name = rest[:authority_end], rest[authority_end:]
    userinfo, has_userinfo, host_and_port = authority.rpartition("@")
    host, port = split_host_and_port(_ascii_host(host_and_port))
    username, password = _credentials(userinfo) if has_userinfo else (None, None)
    if not resource_name.startswith("/"):
        resource_name = f"/{resource_name}"
    return WebSocketURI(
        secure=scheme == "wss",
        host=host.lower(),
        port=_DEFAULT_PORTS[scheme] if port is None else port,
        resource_name=quote(resource_name, safe=_NOT_QUOTED),
        username=username,
        password=password,
    )


def split_host_and_port(value: str) -> tuple[str, int | None]:
    """Split ``host[:port]`` as it stands in a URI or a Host header (RFC 3986 section 3.2).

    Args:
        value: a name or an IPv4 address, or an IPv6 address in brackets.

    Returns:
        The host without brackets, and the port if one is given.

    Raises:
        ValueError: one of the two is malformed.
    """
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"host {value!r} is malformed")
        # RFC 6874 section 2: a "%" before the zone is written as "%25".
        host = host.replace("%25", "%", 1)
        ipaddress.IPv6Address(host)
        port = rest[1:]
    else:
        host, _, port = value.partition(":")
        if not host or not _HOST_CHARACTERS.issuperset(host):
            raise ValueError(f"host {host!r} is malformed")
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError("port is not a number in 1..65535")
    return host, int(port)


def basic_authorization(username: str, password: str) -> str:
    """Return the value of an Authorization header for the Basic scheme (RFC 7617).

    Args:
        username: without a colon; sent in UTF-8, like the password.
        password: of any length.

    Raises:
        ValueError: the user name has a colon, or one of the two has a control character.
    """
    # RFC 7617 section 2: "a user-id containing a colon character is invalid",
    # and neither of the two has control characters.
    if ":" in username:
        raise ValueError("username has a colon")
    for name, value in (("username", username), ("password", password)):
        if any(character < " " or character == "\x7f" for character in value):
            raise ValueError(f"{name} has a control character")
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _ascii_host(host_and_port: str) -> str:
    if host_and_port.isascii():
        return host_and_port
    host, colon, port = host_and_port.partition(":")
    # The codec of some Pythons takes quadratic time (CVE-2022-45061).
    if len(host) > _MAX_HOST_LENGTH:
        raise ValueError(f"host has {len(host)} characters, at most {_MAX_HOST_LENGTH} allowed")
    try:
        return host.encode("idna").decode("ascii") + colon + port
    except UnicodeError:
        raise ValueError(f"host {host!r} cannot be converted by IDNA") from None


def _credentials(userinfo: str) -> tuple[str, str]:
    username, _, password = userinfo.partition(":")
    username, password = unquote(username, errors="strict"), unquote(password, errors="strict")
    # For its checks: whoever sends these meets no surprise then.
    basic_authorization(username, password)
    return username, password
