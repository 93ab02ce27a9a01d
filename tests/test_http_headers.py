"""Header fields in any case and order, and parsers that neither guess nor blow up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linear import assert_linear

from fastframe import FastframeError
from fastframe.http_headers import (
    Extension,
    Headers,
    MultipleValues,
    build_extensions,
    parse_extensions,
    parse_token_list,
)

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NO_TOKEN_CHARACTERS = sorted({chr(code) for code in range(256)} - set(TOKEN_CHARACTERS))

tokens = st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
extensions = st.builds(
    lambda name, parameters: Extension(name, tuple(parameters)),
    tokens,
    st.lists(st.tuples(tokens, st.none() | tokens), max_size=4),
)


def test_names_are_found_in_any_case_and_kept_as_written() -> None:
    headers = Headers([("X-One", "1"), ("x-TWO", "2")])
    assert headers["x-one"] == headers["X-ONE"] == headers.get("X-one") == "1"
    assert "X-two" in headers and "x-three" not in headers and 5 not in headers
    assert list(headers) == ["X-One", "x-TWO"]
    assert headers.items() == [("X-One", "1"), ("x-TWO", "2")]
    assert headers.raw() == [(b"X-One", b"1"), (b"x-TWO", b"2")]


def test_absent_name_is_a_key_error_or_the_default() -> None:
    headers = Headers({"A": "1"})
    with pytest.raises(KeyError, match="B"):
        headers["B"]
    assert headers.get("B") is None
    assert headers.get("B", "other") == "other"
    assert headers.get_all("B") == []


def test_repeated_name_is_not_chosen_from() -> None:
    headers = Headers([("Host", "a"), ("x", "-"), ("HOST", "b")])
    with pytest.raises(MultipleValues, match=r"^header host occurs 2 times$"):
        headers["host"]
    with pytest.raises(MultipleValues, match=r"^header host occurs 2 times$"):
        headers.get("host", "c")
    assert issubclass(MultipleValues, LookupError) and not issubclass(MultipleValues, KeyError)
    assert issubclass(MultipleValues, FastframeError)
    assert headers.get_all("hosT") == ["a", "b"]
    assert len(headers) == 3


def test_get_all_returns_a_list_of_its_own() -> None:
    headers = Headers({"A": "1"})
    headers.get_all("A").append("2")
    headers.items().clear()
    assert headers.get_all("A") == ["1"] and len(headers) == 1


@pytest.mark.parametrize(
    "fields",
    [
        [("A", "1"), ("b", "2")],
        {"A": "1", "b": "2"},
        (pair for pair in [("A", "1"), ("b", "2")]),
        Headers([("A", "1"), ("b", "2")]),
    ],
    ids=["pairs", "mapping", "iterator", "Headers"],
)
def test_headers_are_made_from_pairs_mappings_and_headers(fields: Any) -> None:
    assert Headers(fields).items() == [("A", "1"), ("b", "2")]


def test_a_copy_is_independent() -> None:
    first = Headers([("A", "1")])
    second = Headers(first)
    second.add("A", "2")
    assert first.items() == [("A", "1")] and second.get_all("a") == ["1", "2"]


def test_set_replaces_all_at_the_place_of_the_first() -> None:
    headers = Headers([("a", "1"), ("B", "2"), ("A", "3"), ("c", "4"), ("A", "5")])
    headers.set("A", "6")
    assert headers.items() == [("A", "6"), ("B", "2"), ("c", "4")]
    assert headers["a"] == "6"
    headers.set("D", "7")
    assert headers.items()[-1] == ("D", "7")


def test_equality_ignores_the_case_of_names_alone() -> None:
    headers = Headers([("A", "x"), ("B", "y")])
    assert headers == Headers([("a", "x"), ("b", "y")])
    assert headers != Headers([("B", "y"), ("A", "x")])
    assert headers != Headers([("A", "X"), ("B", "y")])
    assert headers != [("A", "x"), ("B", "y")]
    with pytest.raises(TypeError, match="unhashable"):
        hash(headers)


def test_repr_shows_the_fields_but_no_credentials() -> None:
    assert repr(Headers({"A": "1"})) == "Headers([('A', '1')])"
    secrets = Headers({"AUTHORIZATION": "Basic c2VjcmV0", "proxy-authorization": "Basic c2VjcmV0"})
    assert repr(secrets) == "Headers([('AUTHORIZATION', '***'), ('proxy-authorization', '***')])"
    assert secrets["Authorization"] == "Basic c2VjcmV0"


def test_extend_appends_all_or_nothing() -> None:
    headers = Headers({"A": "1"})
    headers.extend([("B", "2"), ("a", "3")])
    headers.extend(Headers({"C": ""}))
    headers.extend({})
    assert headers.items() == [("A", "1"), ("B", "2"), ("a", "3"), ("C", "")]
    with pytest.raises(ValueError, match="X-Bad"):
        headers.extend([("D", "4"), ("X-Bad", "a\r\nb")])
    assert "D" not in headers and len(headers) == 4


def test_lines_are_those_to_send() -> None:
    headers = Headers([("A", "caf\xe9"), ("b", "")])
    assert headers.serialize() == b"A: caf\xe9\r\nb: \r\n"
    assert Headers().serialize() == b""
    assert Headers.of_checked_lines("A: caf\xe9\r\nb: ") == headers


def test_by_name_has_every_value_under_its_folded_name() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3: 4")])
    assert headers.by_name() == {"a": ["1", "3: 4"], "b": ["2"]}
    assert Headers().by_name() == {}


@given(st.lists(st.tuples(tokens, st.sampled_from(["", "x", "a: b", "\xff", ": :", "a\x85b", "\xa0"]))))
def test_headers_keep_whatever_they_take(fields: list[tuple[str, str]]) -> None:
    headers = Headers(fields)
    assert headers.items() == fields and len(headers) == len(fields) and bool(headers) is bool(fields)
    assert Headers(headers.items()) == headers
    for name, _ in fields:
        assert headers.get_all(name) == [value for other, value in fields if other.lower() == name.lower()]


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nX: y", "a\0b", "\x01", "a\x7f", "\x1b[0m"])
def test_control_characters_in_a_value_are_refused(value: str) -> None:
    headers = Headers()
    for method in (headers.add, headers.set):
        with pytest.raises(ValueError, match=r"^value of header X-Mine has a control character: "):
            method("X-Mine", value)
    with pytest.raises(ValueError, match="X-Mine"):
        Headers({"X-Mine": value})
    assert len(headers) == 0


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", '"x"; y=1, z', "caf\xe9", "\x80\xff"])
def test_other_values_are_kept_unchanged(value: str) -> None:
    headers = Headers({"A": value})
    assert headers["A"] == value
    assert headers.raw() == [(b"A", value.encode("latin-1"))]


@pytest.mark.parametrize("value", [" a", "a ", "\ta", "a\t", " "])
def test_white_space_around_a_value_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^value of header A begins or ends with white space: "):
        Headers({"A": value})


@pytest.mark.parametrize("value", ["\u0100", "\u4f60\u597d", "\ud800"])
def test_value_outside_of_latin_1_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^value of header A is not in ISO-8859-1: "):
        Headers({"A": value})


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "a\0", "\xe9", "\u4f60", "(a)", " a"])
def test_name_that_is_no_token_is_refused(name: str) -> None:
    headers = Headers({"A": "1"})
    for method in (headers.add, headers.set):
        with pytest.raises(ValueError, match=r"^header name .* is not a token"):
            method(name, "1")
    assert headers.items() == [("A", "1")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("chat", ["chat"]),
        ("chat, superchat", ["chat", "superchat"]),
        ("keep-alive,Upgrade", ["keep-alive", "Upgrade"]),
        ("\tchat \t,\t superchat ", ["chat", "superchat"]),
        (", ,a,, b ,", ["a", "b"]),
        ("", []),
        (" , ", []),
        ("a, a", ["a", "a"]),
        (TOKEN_CHARACTERS, [TOKEN_CHARACTERS]),
    ],
)
def test_token_list_is_parsed(value: str, expected: list[str]) -> None:
    assert parse_token_list(value) == expected


@pytest.mark.parametrize(
    "bad", [*(f"a{character}b" for character in NO_TOKEN_CHARACTERS if character != ",")]
)
def test_token_list_with_another_character_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match=r"^element .* is not a token \(RFC 9110 5\.6\.2\)$"):
        parse_token_list(f"fine, {bad}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("foo", [Extension("foo")]),
        ("foo; bar; baz=2", [Extension("foo", (("bar", None), ("baz", "2")))]),
        # The examples of RFC 6455 section 9.1.
        ("foo, bar; baz=2", [Extension("foo"), Extension("bar", (("baz", "2"),))]),
        ("deflate-stream", [Extension("deflate-stream")]),
        (
            "mux; max-channels=4; flow-control, deflate-stream",
            [Extension("mux", (("max-channels", "4"), ("flow-control", None))), Extension("deflate-stream")],
        ),
        ('foo; x="10"', [Extension("foo", (("x", "10"),))]),
        ('foo; x="1\\0"', [Extension("foo", (("x", "10"),))]),
        ('foo; x="\\1\\0"', [Extension("foo", (("x", "10"),))]),
        ("\tfoo ;\tx = 1 ; y\t", [Extension("foo", (("x", "1"), ("y", None)))]),
        ("foo; x; x", [Extension("foo", (("x", None), ("x", None)))]),
        (", foo,, bar ,", [Extension("foo"), Extension("bar")]),
        ("", []),
        (",", []),
        (
            f"{TOKEN_CHARACTERS};x={TOKEN_CHARACTERS}",
            [Extension(TOKEN_CHARACTERS, (("x", TOKEN_CHARACTERS),))],
        ),
    ],
)
def test_extensions_are_parsed(value: str, expected: list[Extension]) -> None:
    assert parse_extensions(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        ";",
        "foo;",
        "foo;;bar",
        "; bar",
        "foo bar",
        "foo; =1",
        "foo; a=",
        "foo; a==1",
        "foo; a=1 2",
        "foo; a b",
        "foo=1",
        '"foo"',
        'foo; "a"',
        'foo; a=""',
        'foo; a="',
        'foo; a="1',
        'foo; a=1"',
        'foo; a="1"2',
        'foo; a="1" 2',
        'foo; a="1"""',
        'foo; a="1 2"',
        'foo; a="1;2"',
        'foo; a="1,2"',
        'foo; a="1=2"',
        'foo; a="\\"',
        'foo; a="1\\',
        'foo; a="1\\"',
        'foo; a="\\""',
        'foo; a="\\,"',
        'foo; a="\\ "',
        'foo; a="b\\c"d',
        "foo; a='\xe9'",
        "foo\0",
        "f\xf6\xf6",
        "foo/bar",
        "foo\nbar",
        "foo\n",
    ],
)
def test_malformed_extensions_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"is not a token|quoted string"):
        parse_extensions(value)
    with pytest.raises(ValueError, match=r"is not a token|quoted string"):
        parse_extensions(f"fine, {value}, fine; too")


@given(st.lists(extensions, max_size=4))
def test_extensions_survive_writing_and_reading(original: list[Extension]) -> None:
    assert parse_extensions(build_extensions(original)) == original


@given(st.lists(extensions, min_size=1, max_size=3), st.data())
def test_quoting_and_escaping_a_value_changes_nothing(original: list[Extension], data: st.DataObject) -> None:
    def quoted(value: str) -> str:
        escaped = [data.draw(st.sampled_from([character, "\\" + character])) for character in value]
        return '"' + "".join(escaped) + '"'

    written = ", ".join(
        "; ".join([name, *(key if value is None else f"{key}={quoted(value)}" for key, value in parameters)])
        for name, parameters in original
    )
    assert parse_extensions(written) == original


@given(st.text(st.sampled_from('ab;,="\\ \t\xe9\n'), max_size=30))
def test_any_text_is_parsed_or_refused(value: str) -> None:
    try:
        parsed = parse_extensions(value)
    except ValueError:
        return
    assert parse_extensions(build_extensions(parsed)) == parsed


@pytest.mark.parametrize(
    "extension",
    [Extension(""), Extension("a b"), Extension("a", (("", None),)), Extension("a", (("b", ""),))],
)
def test_what_is_no_token_is_not_written(extension: Extension) -> None:
    with pytest.raises(ValueError, match="is not a token"):
        build_extensions([extension])


HOSTILE: dict[str, Callable[[int], str]] = {
    # The shapes of CVE-2020-7662 and CVE-2021-32640, and others that make careless parsers look back.
    "escapes": lambda n: 'a; b="' + "\\a" * n,
    "escapes-then-junk": lambda n: 'a; b="' + "\\a" * n + '"x',
    "spaces": lambda n: "b" + " " * n + "x",
    "spaces-around-equals": lambda n: "a; b" + " " * n + "=" + " " * n + "\xe9",
    "tabs-in-parameters": lambda n: "a;" + "\t" * n,
    "parameters": lambda n: "a" + "; b=1" * n + "; \xe9",
    "semicolons": lambda n: "a" + ";" * n,
    "commas": lambda n: "," * n + "\xe9",
    "quotes": lambda n: "a; b=" + '"' * n,
    "equals": lambda n: "a; b" + "=" * n,
    "elements": lambda n: "a, " * n + "\xe9",
    "one-token": lambda n: "a" * n + "\xe9",
}


@pytest.mark.parametrize("parse", [parse_extensions, parse_token_list])
@pytest.mark.parametrize("shape", sorted(HOSTILE))
def test_hostile_lists_take_linear_time(parse: Callable[[str], Iterable[object]], shape: str) -> None:
    def parsing(size: int) -> Callable[[], object]:
        text = HOSTILE[shape](size)

        def refuse() -> None:
            with pytest.raises(ValueError, match="is not a token|quoted string"):
                parse(text)

        return refuse

    assert_linear(parsing, 8_000)
