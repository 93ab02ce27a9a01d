"""Proxies sans I/O: their URLs, what the environment says, and the exchange with an HTTP proxy."""

from __future__ import annotations

import base64
import traceback
from typing import Any

import pytest
from proxy_support import forget_proxies

from fastframe import FastframeError, HandshakeError, InvalidProxy, ProxyError
from fastframe.proxies import HTTPTunnel, Proxy, parse_proxy, proxy_of_the_system
from fastframe.uri import parse_uri

PROXY = Proxy("http", "proxy.test", 3128)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


# URLs.


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.test", Proxy("http", "proxy.test", 80)),
        ("HTTP://Proxy.Test:3128/", Proxy("http", "proxy.test", 3128)),
        ("https://proxy.test", Proxy("https", "proxy.test", 443)),
        ("http://[::1]:8080", Proxy("http", "::1", 8080)),
        ("http://me:p%40%3a%2Fss@proxy.test", Proxy("http", "proxy.test", 80, "me", "p@:/ss")),
        ("http://me@proxy.test", Proxy("http", "proxy.test", 80, "me", "")),
        ("http://m%C3%A9:x@proxy.test", Proxy("http", "proxy.test", 80, "mé", "x")),
        ("socks5://10.0.0.1", Proxy("socks5", "10.0.0.1", 1080)),
        ("socks5h://a:b@10.0.0.1:9050", Proxy("socks5h", "10.0.0.1", 9050, "a", "b")),
        ("socks4://me@10.0.0.1", Proxy("socks4", "10.0.0.1", 1080, "me", "")),
        ("socks4a://10.0.0.1", Proxy("socks4a", "10.0.0.1", 1080)),
    ],
)
def test_url_of_a_proxy_is_parsed(url: str, expected: Proxy) -> None:
    assert parse_proxy(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.test",
        "hidden:hidden@proxy.test:80",
        "ftp://hidden:hidden@proxy.test",
        "socks://hidden:hidden@proxy.test",
        "http://",
        "http://hidden:hidden@",
        "http://hidden:hidden@proxy.test:0",
        "http://hidden:hidden@proxy.test:65536",
        "http://hidden:hidden@proxy.test:x",
        "http://hidden:hid/den@proxy.test",
        "http://hidden:hid#den@proxy.test",
        "http://hidden:hid?den@proxy.test",
        "http://hid/den@proxy.test",
        "http://hidden:hidden@proxy.test/path",
        "http://hidden:hidden@proxy.test?query",
        "http://hidden:hidden@pro xy.test",
        "http://hidden:hidden@proxy\r\n.test",
        "http://hidden:hidden@[::1",
        "http://hidden%3Ahidden:x@proxy.test",
        "http://hidden%0D%0A:x@proxy.test",
        "http://hidden%FF:x@proxy.test",
        "socks5://hidden@proxy.test",
        "socks5://:hidden@proxy.test",
        "socks5://hidden:h%C3%A9@proxy.test",
        "socks5://hidden:" + 256 * "h" + "@proxy.test",
        "socks4://hidden:hidden@proxy.test",
        "socks4://hidden%00@proxy.test",
    ],
)
def test_other_urls_are_refused_without_showing_credentials(url: str) -> None:
    with pytest.raises(InvalidProxy) as caught:
        parse_proxy(url)
    assert issubclass(InvalidProxy, ValueError) and issubclass(InvalidProxy, FastframeError)
    assert "hid" not in "".join(traceback.format_exception_only(type(caught.value), caught.value))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_repr_of_a_proxy_shows_no_credentials() -> None:
    shown = repr(parse_proxy("http://hidden:hidden@proxy.test:1"))
    assert "proxy.test" in shown and "hidden" not in shown


# The environment.


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that sets variables; none of the machine's own are there."""
    forget_proxies(monkeypatch)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


def chosen(uri: str) -> str | None:
    proxy = proxy_of_the_system(parse_uri(uri))
    return None if proxy is None else f"{proxy.scheme}://{proxy.address}"


EVERY = {f"{name}_proxy": f"http://{name}:1" for name in ("ws", "wss", "http", "https", "all")} | {
    "socks_proxy": "socks5://socks:1"
}


@pytest.mark.parametrize(
    ("scheme", "order"),
    [("ws", ["ws", "socks", "https", "http", "all"]), ("wss", ["wss", "socks", "https", "all"])],
)
def test_variables_are_preferred_in_the_documented_order(
    environment: Any, monkeypatch: pytest.MonkeyPatch, scheme: str, order: list[str]
) -> None:
    environment(**EVERY)
    for name in order:
        found = chosen(f"{scheme}://server.test/")
        assert found is not None and found.endswith(f"//{name}:1")
        monkeypatch.delenv(f"{name}_proxy")
    assert chosen(f"{scheme}://server.test/") is None


def test_without_variables_there_is_no_proxy(environment: Any) -> None:
    assert chosen("ws://server.test/") is None
    assert chosen("wss://server.test/") is None


def test_http_proxy_is_not_for_wss(environment: Any) -> None:
    environment(http_proxy="http://proxy.test:1")
    assert chosen("wss://server.test/") is None


@pytest.mark.parametrize("name", ["wss_proxy", "WSS_PROXY", "Wss_Proxy"])
def test_variables_may_have_any_case(environment: Any, name: str) -> None:
    environment(**{name: "http://proxy.test:1"})
    assert chosen("wss://server.test/") == "http://proxy.test:1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"wss_proxy": "proxy.test:3128"}, "http://proxy.test:3128"),
        ({"socks_proxy": "http://proxy.test:1"}, "socks5h://proxy.test:1"),
        ({"socks_proxy": "socks4://proxy.test"}, "socks4://proxy.test:1080"),
        ({"all_proxy": "socks://proxy.test:1/"}, "socks5h://proxy.test:1"),
        ({"wss_proxy": "", "https_proxy": "http://proxy.test:1"}, "http://proxy.test:1"),
    ],
)
def test_values_as_desktops_write_them_are_understood(
    environment: Any, variables: dict[str, str], expected: str
) -> None:
    environment(**variables)
    assert chosen("wss://server.test/") == expected


@pytest.mark.parametrize(
    ("no_proxy", "uri", "goes_through"),
    [
        ("*", "wss://server.test/", False),
        ("server.test", "wss://server.test/", False),
        (".test", "wss://server.test/", False),
        ("server.test:443", "wss://server.test/", False),
        ("server.test:444", "wss://server.test/", True),
        ("other.test, 127.0.0.1", "ws://127.0.0.1:8000/", False),
        ("erver.test", "wss://server.test/", True),
        ("::1", "ws://[::1]/", False),
        ("[::1]", "ws://[::1]/", False),
        ("::2", "ws://[::1]/", True),
        ("", "wss://server.test/", True),
    ],
)
def test_no_proxy_names_hosts_to_reach_directly(
    environment: Any, no_proxy: str, uri: str, goes_through: bool
) -> None:
    environment(https_proxy="http://proxy.test:1", no_proxy=no_proxy)
    assert (chosen(uri) is not None) is goes_through


def test_wrong_variable_is_named_without_its_credentials(environment: Any) -> None:
    environment(https_proxy="http://hidden:hidden@proxy.test:x")
    with pytest.raises(InvalidProxy, match="https_proxy") as caught:
        chosen("wss://server.test/")
    assert "hidden" not in str(caught.value)


# CONNECT.


def tunnel(proxy: Proxy = PROXY, host: str = "server.test", port: int = 443) -> HTTPTunnel:
    return HTTPTunnel(proxy, host, port, "me")


def test_request_asks_for_host_and_port() -> None:
    assert tunnel().request() == (
        b"CONNECT server.test:443 HTTP/1.1\r\nHost: server.test:443\r\nUser-Agent: me\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("::1", b"[::1]:443"),
        ("fe80::1%eth0", b"[fe80::1]:443"),
        ("bücher.test", b"xn--bcher-kva.test:443"),
        ("127.0.0.1", b"127.0.0.1:443"),
    ],
)
def test_host_is_written_as_http_wants_it(host: str, target: bytes) -> None:
    request = tunnel(host=host).request()
    assert request.startswith(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n")


@pytest.mark.parametrize("host", ["", "a b", "a\r\nX: y", "a/b", "a@b", "a..b", "a" * 64 + ".test"])
def test_impossible_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        tunnel(host=host)


def test_no_user_agent_is_sent_if_none_is_wanted() -> None:
    assert b"User-Agent" not in HTTPTunnel(PROXY, "a", 1, None).request()


def test_credentials_are_sent_and_in_no_error() -> None:
    proxy = parse_proxy("http://hidden:p%C3%A9@proxy.test:1")
    exchange = tunnel(proxy)
    line = b"Proxy-Authorization: Basic " + base64.b64encode("hidden:pé".encode()) + b"\r\n"
    assert line in exchange.request()
    with pytest.raises(ProxyError, match="407") as caught:
        exchange.receive(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n")
    assert "hidden" not in repr(caught.value) + repr(vars(caught.value))
    assert caught.value.proxy == "proxy.test:1"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 299 Other\r\nA: b\r\n\r\n",
        # RFC 9110 section 9.3.6: "A client MUST ignore any Content-Length or
        # Transfer-Encoding header fields received in a successful response".
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        # Section 15.2: "A client MUST be able to parse one or more 1xx responses received prior to" it.
        INTERIM + OK,
        INTERIM * 10 + OK,
    ],
)
def test_success_opens_the_tunnel_at_its_last_byte(answer: bytes, size: int) -> None:
    exchange = tunnel()
    pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
    assert [exchange.receive(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize(
    ("status", "is_transient"),
    [
        (302, False),
        (400, False),
        (403, False),
        (405, False),
        (407, False),
        (500, True),
        (502, True),
        (503, True),
        (504, True),
    ],
)
def test_other_status_is_an_error_with_the_answer(status: int, is_transient: bool) -> None:
    with pytest.raises(ProxyError, match=f"proxy.test:3128.*{status}") as caught:
        tunnel().receive(b"HTTP/1.1 %d Because\r\nX: y\r\n\r\nbody" % status)
    assert isinstance(caught.value, HandshakeError)
    assert caught.value.is_transient is is_transient
    response = caught.value.response
    assert response is not None
    assert (response.status, response.reason, response.headers["X"]) == (status, "Because", "y")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x05\x00\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000,
        b"H" * 100_000,
        INTERIM * 11 + OK,
        OK + b"x",
        OK + INTERIM,
        OK + b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
def test_malformed_answer_names_the_proxy(answer: bytes) -> None:
    with pytest.raises(ProxyError, match=r"^proxy proxy\.test:3128: ") as caught:
        tunnel().receive(answer)
    assert not caught.value.is_transient and caught.value.response is None
