"""What a server chooses of what clients bring: origins, subprotocols, extensions."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from heads import REQUEST, answer, fed, refusal, with_lines

from fastframe.deflate import PerMessageDeflate
from fastframe.errors import InvalidRequest
from fastframe.handshake import ServerHandshake

# Origins


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (None, "http://evil.example", True),
        (None, None, True),
        ([], "http://example.com", False),
        ([], None, False),
        (["http://example.com"], "http://example.com", True),
        (["http://example.com"], "http://example.com.evil.example", False),
        (["http://example.com"], "http://example.com:80", False),
        (["http://example.com"], "https://example.com", False),
        (["http://example.com"], "HTTP://EXAMPLE.COM", False),
        (["http://example.com"], "null", False),
        (["http://example.com"], None, False),
        (["http://example.com"], "", False),
        (["http://example.com", None], None, True),
        ([None], "http://example.com", False),
        (["null"], "null", True),
        ([re.compile(r"https://[a-z]+\.example\.com")], "https://a.example.com", True),
        ([re.compile(r"https://[a-z]+\.example\.com")], "https://a.example.com.evil", False),
        ([re.compile(r"https://[a-z]+\.example\.com")], "xhttps://a.example.com", False),
        ([re.compile(r"https://[a-z]+\.example\.com")], None, False),
        ([re.compile(".*"), None], None, True),
    ],
)
def test_origins_decide_who_may_connect(
    origins: Sequence[str | re.Pattern[str] | None] | None, origin: str | None, allowed: bool
) -> None:
    data = with_lines(Origin=[] if origin is None else [f"Origin: {origin}"])
    handshake = ServerHandshake(origins=origins)
    if allowed:
        assert fed(handshake, [data]).is_upgrade
    else:
        error = refusal(handshake, [data])
        shown = "without Origin" if origin is None else f"from origin {origin!r}"
        assert (error.status, str(error)) == (403, f"request {shown} is not allowed")


@pytest.mark.parametrize("option", ["origins", "subprotocols"])
def test_string_instead_of_a_sequence_of_strings_is_refused(option: str) -> None:
    with pytest.raises(TypeError, match=f"^{option} must be a sequence of strings, got 'chat'$"):
        ServerHandshake(**{option: "chat"})  # type: ignore[arg-type]


# Subprotocols


@pytest.mark.parametrize(
    ("ours", "offered", "chosen"),
    [
        (None, "chat, superchat", None),
        ([], "chat", None),
        (["chat"], None, None),
        (["chat"], "superchat", None),
        (["chat"], "Chat", None),
        (["superchat", "chat"], "chat, superchat", "superchat"),
        (["other", "chat"], " ,chat ,, superchat", "chat"),
    ],
)
def test_first_of_our_subprotocols_that_is_offered_is_chosen(
    ours: list[str] | None, offered: str | None, chosen: str | None
) -> None:
    field = [] if offered is None else [f"Sec-WebSocket-Protocol: {offered}"]
    handshake = ServerHandshake(subprotocols=ours)
    request = fed(handshake, [with_lines(**{"Sec-WebSocket-Protocol": field})])
    _, fields, _ = answer(handshake.accept(request))
    assert fields.get("Sec-WebSocket-Protocol") == handshake.subprotocol == chosen


def test_function_chooses_the_subprotocol_and_sees_what_is_offered() -> None:
    seen: list[list[str]] = []

    def select(offered: Sequence[str]) -> str | None:
        seen.append(list(offered))
        return offered[-1] if offered else None

    for field, chosen in ((["Sec-WebSocket-Protocol: chat, superchat"], "superchat"), ([], None)):
        handshake = ServerHandshake(subprotocols=["chat"], select_subprotocol=select)
        handshake.accept(fed(handshake, [with_lines(**{"Sec-WebSocket-Protocol": field})]))
        assert handshake.subprotocol == chosen
    assert seen == [["chat", "superchat"], []]


def test_function_may_refuse_the_offers() -> None:
    def select(offered: Sequence[str]) -> str:
        raise InvalidRequest("speak mega or go", 400)

    handshake = ServerHandshake(select_subprotocol=select)
    request = fed(handshake, [REQUEST])
    with pytest.raises(InvalidRequest, match="^speak mega or go$"):
        handshake.accept(request)
    assert handshake.reject(400).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("chosen", ["mega", "Chat", ""])
def test_choosing_a_subprotocol_that_is_not_offered_is_refused(chosen: str) -> None:
    for handshake, options in (
        (ServerHandshake(select_subprotocol=lambda offered: chosen), {}),
        (ServerHandshake(), {"subprotocol": chosen}),
    ):
        request = fed(handshake, [REQUEST])
        with pytest.raises(ValueError, match=f"^subprotocol '{chosen}' is not one that the client offers "):
            handshake.accept(request, **options)  # type: ignore[arg-type]
        assert handshake.response is None


def test_subprotocol_of_accept_takes_the_place_of_the_options() -> None:
    for given in ("superchat", None):
        handshake = ServerHandshake(subprotocols=["chat"])
        _, fields, _ = answer(handshake.accept(fed(handshake, [REQUEST]), subprotocol=given))
        assert fields.get("Sec-WebSocket-Protocol") == handshake.subprotocol == given


@pytest.mark.parametrize("subprotocols", [["a b"], [""], ["a,b"], ["chat\r\nX: y"], ["a", "b", "a"]])
def test_subprotocols_must_be_different_tokens(subprotocols: list[str]) -> None:
    with pytest.raises(ValueError, match="is not a token|must differ"):
        ServerHandshake(subprotocols=subprotocols)


# Extensions


@pytest.mark.parametrize(
    ("deflate", "offer", "agreed"),
    [
        (None, "permessage-deflate", None),
        (PerMessageDeflate(), None, None),
        (PerMessageDeflate(), "x-other, x-more; a=b", None),
        (PerMessageDeflate(), "permessage-deflate; server_max_window_bits=99", None),
        (
            PerMessageDeflate(),
            "x-other, permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
    ],
)
def test_deflate_is_agreed_on_or_declined(
    deflate: PerMessageDeflate | None, offer: str | None, agreed: str | None
) -> None:
    lines = [] if offer is None else [f"Sec-WebSocket-Extensions: {offer}"]
    handshake = ServerHandshake(deflate=deflate)
    _, fields, _ = answer(handshake.accept(fed(handshake, [with_lines(*lines)])))
    assert fields.get("Sec-WebSocket-Extensions") == agreed
    assert (handshake.deflate is None) == (agreed is None)


def test_offers_in_several_headers_are_one_list() -> None:
    handshake = ServerHandshake(deflate=PerMessageDeflate())
    lines = ("Sec-WebSocket-Extensions: x-other", "Sec-WebSocket-Extensions: permessage-deflate")
    request = fed(handshake, [with_lines(*lines)])
    assert [extension.name for extension in request.extensions] == ["x-other", "permessage-deflate"]
    handshake.accept(request)
    assert handshake.deflate is not None


@pytest.mark.parametrize("more", ["", "x" * 300])
def test_the_same_offer_means_the_same_each_time(more: str) -> None:
    line = f"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-more{more}"
    handshakes = [ServerHandshake(deflate=PerMessageDeflate()) for _ in range(2)]
    requests = [fed(handshake, [with_lines(line)]) for handshake in handshakes]
    assert requests[0].extensions == requests[1].extensions
    assert requests[0].extensions[0].parameters == (("client_max_window_bits", None),)
    answers = [handshake.accept(request) for handshake, request in zip(handshakes, requests, strict=True)]
    assert answers[0] == answers[1]
    assert handshakes[0].deflate is not handshakes[1].deflate
    for _ in range(2):
        refusal(ServerHandshake(), [with_lines("Sec-WebSocket-Extensions: a;")])
