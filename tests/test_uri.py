from __future__ import annotations

import base64
import contextlib
import pickle

import pytest
from linear import assert_linear

from fastframe.errors import FastframeError, InvalidURI
from fastframe.uri import WebSocketURI, basic_authorization, parse_uri, split_host_and_port


@pytest.mark.parametrize(
    ("uri", "parsed", "host_header"),
    [
        ("ws://example.com", (False, "example.com", 80, "/"), "example.com"),
        ("ws://example.com/", (False, "example.com", 80, "/"), "example.com"),
        ("wss://example.com/chat", (True, "example.com", 443, "/chat"), "example.com"),
        ("ws://example.com:8765/a?b", (False, "example.com", 8765, "/a?b"), "example.com:8765"),
        ("ws://example.com:443/", (False, "example.com", 443, "/"), "example.com:443"),
        ("wss://example.com:80/", (True, "example.com", 80, "/"), "example.com:80"),
        ("wss://example.com:443/", (True, "example.com", 443, "/"), "example.com"),
        ("ws://example.com:/", (False, "example.com", 80, "/"), "example.com"),
        ("WS://EXAMPLE.Com/A", (False, "example.com", 80, "/A"), "example.com"),
        ("ws://example.com?a=b", (False, "example.com", 80, "/?a=b"), "example.com"),
        ("ws://example.com/a?b=c/d?e@f", (False, "example.com", 80, "/a?b=c/d?e@f"), "example.com"),
        ("ws://example.com/a@b:c", (False, "example.com", 80, "/a@b:c"), "example.com"),
        ("ws://192.0.2.1:1/", (False, "192.0.2.1", 1, "/"), "192.0.2.1:1"),
        ("ws://[::1]/", (False, "::1", 80, "/"), "[::1]"),
        ("ws://[2001:DB8::1]:65535/", (False, "2001:db8::1", 65535, "/"), "[2001:db8::1]:65535"),
        ("ws://[fe80::1%25eth0]:80/", (False, "fe80::1%eth0", 80, "/"), "[fe80::1]"),
        ("ws://my_service-1.a/", (False, "my_service-1.a", 80, "/"), "my_service-1.a"),
        ("ws://bücher.example/", (False, "xn--bcher-kva.example", 80, "/"), "xn--bcher-kva.example"),
        ("ws://bücher.example:1/ü?ß", (False, "xn--bcher-kva.example", 1, "/%C3%BC?%C3%9F"), None),
        ('ws://a/{"<>}%20%zz', (False, "a", 80, "/%7B%22%3C%3E%7D%20%zz"), "a"),
        ("ws://a/!$&'()*+,;=:@-._~[]", (False, "a", 80, "/!$&'()*+,;=:@-._~[]"), "a"),
    ],
)
def test_uri_is_taken_apart(uri: str, parsed: tuple[bool, str, int, str], host_header: str | None) -> None:
    assert parse_uri(uri) == WebSocketURI(*parsed)
    if host_header is not None:
        assert parse_uri(uri).host_header == host_header


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        ("user:password", "user", "password"),
        ("user", "user", ""),
        ("user:", "user", ""),
        (":password", "", "password"),
        ("", "", ""),
        ("us%40er:p%3Aass%2F", "us@er", "p:ass/"),
        ("user:a:b@c", "user", "a:b@c"),
        ("%C3%BC:%E2%82%AC", "ü", "€"),
    ],
)
def test_user_information_is_decoded(userinfo: str, username: str, password: str) -> None:
    uri = parse_uri(f"ws://{userinfo}@example.com:1/")
    assert (uri.username, uri.password) == (username, password)
    assert (uri.host, uri.port, uri.host_header) == ("example.com", 1, "example.com:1")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "does not begin with ws:// or wss://"),
        ("example.com", "does not begin with"),
        ("http://example.com/", "does not begin with"),
        ("ws:/example.com/", "does not begin with"),
        ("ws:example.com", "does not begin with"),
        ("wsss://example.com/", "does not begin with"),
        (" ws://example.com/", "has the character ' '"),
        ("ws://example.com/a b", "has the character ' '"),
        ("ws://example.com/\r\nX: y", "has the character '\\r'"),
        ("ws://exa\nmple.com/", "has the character '\\n'"),
        ("ws://example.com/\t", "has the character '\\t'"),
        ("ws://example.com/\0", "has the character '\\x00'"),
        ("ws://example.com/\x7f", "has the character '\\x7f'"),
        ("ws://example.com\\@evil.example/", "has the character '\\\\'"),
        ("ws://example.com/#", "has a fragment identifier"),
        ("ws://example.com/a#b", "has a fragment identifier"),
        ("ws://example.com#a", "has a fragment identifier"),
        ("ws://", "host '' is malformed"),
        ("ws:///a", "host '' is malformed"),
        ("ws://?a", "host '' is malformed"),
        ("ws://:80/", "host '' is malformed"),
        ("ws://user@/", "host '' is malformed"),
        ("ws://a,b/", "host 'a,b' is malformed"),
        ("ws://%65xample.com/", "host '%65xample.com' is malformed"),
        ("ws://ex%2Fample.com/", "is malformed"),
        ("ws://[::1/", "is malformed"),
        ("ws://[::1]a/", "is malformed"),
        ("ws://[example.com]/", "example.com"),
        ("ws://[192.0.2.1]/", "192.0.2.1"),
        ("ws://[]/", "not a WebSocket URI"),
        ("ws://::1/", "is malformed"),
        ("ws://a:0/", "port is not a number in 1..65535"),
        ("ws://a:65536/", "port is not"),
        ("ws://a:99999999999999999999/", "port is not"),
        ("ws://a:" + "9" * 5000, "port is not"),
        ("ws://a:-1/", "port is not"),
        ("ws://a:+80/", "port is not"),
        ("ws://a:8_0/", "port is not"),
        ("ws://a:http/", "port is not"),
        ("ws://a:\u0661/", "port is not"),
        ("ws://a:80:80/", "port is not"),
        ("ws://" + "ü" * 70 + ".example/", "cannot be converted by IDNA"),
        ("ws://" + "ü" * 254 + "/", "host has 254 characters, at most 253 allowed"),
        ("ws://ü..example/", "cannot be converted by IDNA"),
        ("ws://us%3Aer:password@a/", "username has a colon"),
        ("ws://user:%0d%0aX@a/", "password has a control character"),
        ("ws://us%00er:@a/", "username has a control character"),
        ("ws://%ff:@a/", "'utf-8' codec"),
    ],
)
def test_what_is_no_websocket_uri_is_refused(uri: str, reason: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        parse_uri(uri)
    assert reason in str(caught.value)
    assert isinstance(caught.value, FastframeError)
    assert isinstance(caught.value, ValueError)


def test_password_is_shown_nowhere() -> None:
    assert "secret" not in repr(parse_uri("ws://user:secret@example.com/"))
    for uri in ("ws://user:secret@example.com/#", "http://user:secret@example.com", "ws://user:secret@a:b/"):
        with pytest.raises(InvalidURI) as caught:
            parse_uri(uri)
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__


def test_uri_can_be_compared_hashed_and_pickled() -> None:
    uri = parse_uri("ws://user:secret@example.com/")
    assert {uri: 1}[parse_uri("ws://user:secret@example.com:80")] == 1
    assert pickle.loads(pickle.dumps(uri)) == uri
    assert uri != parse_uri("ws://user:other@example.com/")


@pytest.mark.parametrize("unit", ["a", "@", ":", "/", "?", "[", "%25", "a.", "ü"])
def test_time_is_linear(unit: str) -> None:
    def parse(count: int) -> None:
        for prefix in ("ws://", "ws://a/"):
            with contextlib.suppress(InvalidURI):
                parse_uri(prefix + unit * count)

    assert_linear(lambda count: lambda: parse(count), 4_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a", ("a", None)), ("a:", ("a", None)), ("A.b:1", ("A.b", 1)), ("[::1]:80", ("::1", 80))],
)
def test_host_and_port_are_split(value: str, expected: tuple[str, int | None]) -> None:
    assert split_host_and_port(value) == expected


def test_basic_authorization_is_that_of_the_rfc() -> None:
    # RFC 7617 sections 2 and 2.1.
    assert basic_authorization("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert basic_authorization("test", "123£") == "Basic dGVzdDoxMjPCow=="
    encoded = basic_authorization("user", "p" * 1000).removeprefix("Basic ")
    assert base64.b64decode(encoded) == b"user:" + b"p" * 1000


@pytest.mark.parametrize(
    ("username", "password", "reason"),
    [
        ("a:b", "", "username has a colon"),
        ("a\n", "", "username has a control character"),
        ("a", "\x7f", "password has a control character"),
        ("a", "b\0", "password has a control character"),
    ],
)
def test_basic_authorization_refuses_what_it_cannot_carry(username: str, password: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        basic_authorization(username, password)
