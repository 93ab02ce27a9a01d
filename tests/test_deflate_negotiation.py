"""What is offered, answered, agreed on and refused (RFC 7692 section 7.1)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from deflate_pairs import accepted, all_wishes, codec_pair, parsed, window_bits
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions import permessage_deflate as peer

from fastframe.deflate import DeflateParameters, PerMessageDeflate
from fastframe.errors import InvalidResponse
from fastframe.http_headers import Extension, parse_extensions


@pytest.mark.parametrize(
    ("wishes", "offer"),
    [
        ({}, "permessage-deflate; client_max_window_bits"),
        ({"client_max_window_bits": None}, "permessage-deflate"),
        ({"client_max_window_bits": 9}, "permessage-deflate; client_max_window_bits=9"),
        (
            {
                "server_no_context_takeover": True,
                "server_max_window_bits": 10,
                "client_max_window_bits": None,
            },
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=10",
        ),
        (
            {"client_no_context_takeover": True},
            "permessage-deflate; client_no_context_takeover; client_max_window_bits",
        ),
    ],
)
def test_offer_says_what_is_wished(wishes: dict[str, Any], offer: str) -> None:
    assert PerMessageDeflate(**wishes).offer() == offer


# In offers and answers `bits` is short for `max_window_bits`.
ANSWERS = [
    # What Chromium and Firefox offer.
    ({}, "; client_bits", "; server_bits=12; client_bits=12"),
    # RFC 7692 section 7.1.2.2: not offered, so not answered.
    ({}, "", "; server_bits=12"),
    ({"client_max_window_bits": 10}, "", "; server_bits=12"),
    ({"client_max_window_bits": 10}, "; client_bits=9", "; server_bits=12; client_bits=9"),
    ({"client_max_window_bits": 10}, "; client_bits=11", "; server_bits=12; client_bits=10"),
    ({"client_max_window_bits": None}, "; client_bits=11", "; server_bits=12"),
    ({"client_max_window_bits": 15}, "; client_bits", "; server_bits=12; client_bits=15"),
    # RFC 7692 section 7.1.2.1: "the same or smaller value as the offer".
    ({}, "; server_bits=15", "; server_bits=12"),
    ({}, "; server_bits=8", "; server_bits=8"),
    ({"server_max_window_bits": 9}, "; server_bits=11", "; server_bits=9"),
    ({"server_max_window_bits": 15}, "; server_bits=15", "; server_bits=15"),
    ({"server_max_window_bits": 15}, "; server_bits=11", "; server_bits=11"),
    ({"server_max_window_bits": 15}, "", ""),
    ({"server_max_window_bits": 15}, "; server_no_context_takeover", "; server_no_context_takeover"),
    ({"server_max_window_bits": 15}, "; client_no_context_takeover", "; client_no_context_takeover"),
    ({"server_max_window_bits": 15, "server_no_context_takeover": True}, "", "; server_no_context_takeover"),
    ({"server_max_window_bits": 15, "client_no_context_takeover": True}, "", "; client_no_context_takeover"),
    # Quoted values are as good as bare ones (RFC 6455 section 9.1).
    ({}, '; server_bits="10"', "; server_bits=10"),
]


@pytest.mark.parametrize(("wishes", "offer", "answer"), ANSWERS)
def test_server_answers_an_offer(wishes: dict[str, Any], offer: str, answer: str) -> None:
    offer, answer = (text.replace("_bits", "_max_window_bits") for text in (offer, answer))
    element, codec = accepted(PerMessageDeflate(**wishes), "permessage-deflate" + offer)
    assert element == "permessage-deflate" + answer
    assert str(codec.parameters) == element
    assert repr(codec) == f"<DeflateCodec {element}>"


DECLINED = [
    "unknown",
    "unknown=1",
    "Server_no_context_takeover",
    "server_no_context_takeover=true",
    "client_no_context_takeover=1",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover; client_no_context_takeover",
    "server_max_window_bits=10; server_max_window_bits=10",
    "client_max_window_bits; client_max_window_bits",
    "client_max_window_bits; client_max_window_bits=10",
    "client_max_window_bits=10; client_max_window_bits=11",
    "server_max_window_bits",
    *(
        f"{side}_max_window_bits={value}"
        for side in ("server", "client")
        for value in ("7", "16", "99", "0", "-9", "+9", "08", "015", "9.0", "0x9", "1e1", "9" * 5000, "x")
    ),
]


@pytest.mark.parametrize("parameters", DECLINED)
def test_server_declines_a_malformed_offer(parameters: str) -> None:
    offers = parse_extensions(f"permessage-deflate; {parameters}")
    assert PerMessageDeflate().accept(offers) is None


@pytest.mark.parametrize("parameters", DECLINED)
def test_server_takes_the_fallback_after_a_malformed_offer(parameters: str) -> None:
    offers = f"other; x, permessage-deflate; {parameters}, permessage-deflate; server_max_window_bits=9"
    element, _ = accepted(PerMessageDeflate(), f"{offers}, permessage-deflate")
    assert element == "permessage-deflate; server_max_window_bits=9"


@pytest.mark.parametrize("offers", ["", "other", "x-webkit-deflate-frame", "Permessage-Deflate"])
def test_server_declines_other_extensions(offers: str) -> None:
    assert PerMessageDeflate().accept(parse_extensions(offers)) is None


@pytest.mark.parametrize(
    ("wishes", "answer"),
    [
        ({}, ""),
        ({}, "; server_no_context_takeover"),
        ({}, "; client_no_context_takeover"),
        ({}, "; server_max_window_bits=8"),
        ({}, "; client_max_window_bits=15"),
        ({}, "; client_max_window_bits=8"),
        ({"client_max_window_bits": None}, "; server_max_window_bits=15"),
        ({"server_max_window_bits": 10}, "; server_max_window_bits=10"),
        ({"server_max_window_bits": 10}, "; server_max_window_bits=9"),
        ({"client_max_window_bits": 10}, ""),
        ({"client_max_window_bits": 10}, "; client_max_window_bits=10"),
        ({"server_no_context_takeover": True}, "; server_no_context_takeover"),
    ],
)
def test_client_accepts_an_answer(wishes: dict[str, Any], answer: str) -> None:
    codec = PerMessageDeflate(**wishes).confirm(parsed("permessage-deflate" + answer))
    assert str(codec.parameters) == "permessage-deflate" + answer


def test_client_keeps_its_offer_not_to_take_over_context() -> None:
    wishes = PerMessageDeflate(client_no_context_takeover=True)
    assert wishes.confirm(Extension("permessage-deflate")).parameters.client_no_context_takeover


REFUSED = [
    # CVE-2026-2229, and its neighbours.
    *(
        ({}, f"{side}_max_window_bits={value}", f"{side}_max_window_bits={value}, but it must be 8 to 15")
        for side in ("server", "client")
        for value in ("99", "7", "16", "0", "-1", "08", "1000000000000000000000", "x")
    ),
    ({}, "server_max_window_bits", "server_max_window_bits without a value"),
    ({}, "client_max_window_bits", "client_max_window_bits without a value"),
    ({}, "unknown", "unknown is no parameter of it"),
    ({}, "unknown=7", "unknown=7 is no parameter of it"),
    ({}, "server_no_context_takeover=1", "server_no_context_takeover=1, but it takes no value"),
    (
        {},
        "client_no_context_takeover; client_no_context_takeover",
        "client_no_context_takeover is given after client_no_context_takeover",
    ),
    (
        {},
        "server_max_window_bits=10; server_max_window_bits=11",
        "server_max_window_bits=11 is given after server_max_window_bits=10",
    ),
    (
        {"client_max_window_bits": None},
        "client_max_window_bits=10",
        "has client_max_window_bits=10, but no client_max_window_bits was offered",
    ),
    (
        {"client_max_window_bits": 10},
        "client_max_window_bits=11",
        "has client_max_window_bits=11, but client_max_window_bits=10 was offered",
    ),
    (
        {"server_max_window_bits": 10},
        "server_max_window_bits=11",
        "has server_max_window_bits=11, but server_max_window_bits=10 was offered",
    ),
    (
        {"server_max_window_bits": 10},
        "",
        "has no server_max_window_bits, but server_max_window_bits=10 was offered",
    ),
    (
        {"server_no_context_takeover": True},
        "",
        "has no server_no_context_takeover, but server_no_context_takeover was offered",
    ),
]


@pytest.mark.parametrize(("wishes", "parameters", "complaint"), REFUSED)
def test_client_refuses_an_answer(wishes: dict[str, Any], parameters: str, complaint: str) -> None:
    element = parsed("permessage-deflate" + (f"; {parameters}" if parameters else ""))
    with pytest.raises(InvalidResponse) as caught:
        PerMessageDeflate(**wishes).confirm(element)
    assert str(caught.value).startswith("the server's permessage-deflate")
    assert str(caught.value).endswith(complaint)


def test_client_refuses_another_extension() -> None:
    with pytest.raises(InvalidResponse, match="extension mux, which was not offered"):
        PerMessageDeflate().confirm(Extension("mux"))


SIDES = ("server", "client")
names = st.sampled_from(
    [
        *(f"{side}_{what}" for side in SIDES for what in ("no_context_takeover", "max_window_bits")),
        "unknown",
        "",
    ]
)
values = st.none() | st.integers(6, 17).map(str) | st.text(max_size=3)


@given(all_wishes, st.lists(st.tuples(names, values), max_size=5))
def test_no_parameters_crash_a_negotiation(
    wishes: PerMessageDeflate, parameters: list[tuple[str, str | None]]
) -> None:
    element = Extension("permessage-deflate", tuple(parameters))
    answer = wishes.accept([element])
    if answer is not None:
        agreed = DeflateParameters.parse(parsed(answer[0]).parameters, is_offer=False)
        offered = DeflateParameters.parse(parameters, is_offer=True)
        assert agreed.server_no_context_takeover >= offered.server_no_context_takeover
        assert (agreed.server_max_window_bits or 15) <= (offered.server_max_window_bits or 15)
        assert agreed.client_max_window_bits is None or offered.client_max_window_bits is not None
    try:
        codec = wishes.confirm(element)
    except InvalidResponse:
        return
    assert codec.parameters.server_no_context_takeover >= wishes.server_no_context_takeover


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *itertools.product(
            ("server_max_window_bits", "client_max_window_bits"), (7, 16, -9, 0, False, "9", 9.0)
        ),
        ("server_max_window_bits", True),
        *itertools.product(("level", "memory_level"), (0, 10, -1, None, True, 1.5)),
        *itertools.product(("threshold",), (-1, None, 0.5)),
    ],
)
def test_wishes_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be in "):
        PerMessageDeflate(**{name: value})  # type: ignore[arg-type]


def test_threshold_is_handed_on() -> None:
    assert PerMessageDeflate().threshold == 64
    assert [codec.threshold for codec in codec_pair(PerMessageDeflate(threshold=7))] == [7, 64]


def test_is_stateless_is_about_our_own_direction() -> None:
    for server_flag, client_flag in itertools.product((False, True), repeat=2):
        wishes = PerMessageDeflate(
            server_no_context_takeover=server_flag, client_no_context_takeover=client_flag
        )
        client, server = codec_pair(wishes)
        assert (client.is_stateless, server.is_stateless) == (client_flag, server_flag)


@pytest.mark.parametrize(
    ("wishes", "answer", "compress_bits", "inflate_bits"),
    [
        ({}, "", 12, 15),
        ({}, "; server_max_window_bits=9", 12, 9),
        ({}, "; client_max_window_bits=9", 9, 15),
        ({}, "; client_max_window_bits=15", 12, 15),
        ({"client_max_window_bits": None}, "", 12, 15),
        # RFC 7692 section 7.1.2.2: a client keeps to its offer even if the answer does not repeat it.
        ({"client_max_window_bits": 10}, "", 10, 15),
        ({"client_max_window_bits": 14}, "; client_max_window_bits=13", 13, 15),
        ({"client_max_window_bits": 15}, "; client_max_window_bits=15", 15, 15),
    ],
)
def test_client_uses_the_agreed_windows(
    wishes: dict[str, Any], answer: str, compress_bits: int, inflate_bits: int
) -> None:
    codec = PerMessageDeflate(**wishes).confirm(parsed("permessage-deflate" + answer))
    assert (codec.sharing_key[0], codec._inflate_bits) == (compress_bits, inflate_bits)


@pytest.mark.parametrize(
    ("wishes", "offer", "compress_bits", "inflate_bits"),
    [
        ({}, "", 12, 15),
        ({}, "; client_max_window_bits", 12, 12),
        ({}, "; client_max_window_bits=15; server_max_window_bits=9", 9, 12),
        ({"server_max_window_bits": 15, "client_max_window_bits": 15}, "; client_max_window_bits", 15, 15),
        # Not answered, but the client has promised.
        ({"client_max_window_bits": None}, "; client_max_window_bits=9", 12, 9),
        ({"client_max_window_bits": None}, "; client_max_window_bits", 12, 15),
    ],
)
def test_server_uses_the_agreed_windows(
    wishes: dict[str, Any], offer: str, compress_bits: int, inflate_bits: int
) -> None:
    _, codec = accepted(PerMessageDeflate(**wishes), "permessage-deflate" + offer)
    assert (codec.sharing_key[0], codec._inflate_bits) == (compress_bits, inflate_bits)


# websockets cannot compress with a window of 8 bits and says so in a different way in each release.
wishes_for_peer = all_wishes.filter(
    lambda wishes: 8 not in (wishes.server_max_window_bits, wishes.client_max_window_bits)
)


@given(
    window_bits, st.none() | st.just(True) | st.integers(9, 15), st.booleans(), st.booleans(), wishes_for_peer
)
def test_we_accept_what_websockets_offers_and_it_our_answer(
    server_bits: int | None,
    client_bits: int | None,
    server_flag: bool,
    client_flag: bool,
    wishes: PerMessageDeflate,
) -> None:
    factory = peer.ClientPerMessageDeflateFactory(server_flag, client_flag, server_bits, client_bits)
    offer = Extension("permessage-deflate", tuple(factory.get_request_params()))
    answer = wishes.accept([offer])
    assert answer is not None
    element, codec = answer
    theirs = factory.process_response_params(list(parsed(element).parameters), [])
    assert theirs.local_max_window_bits <= codec._inflate_bits
    assert codec.sharing_key[0] <= theirs.remote_max_window_bits
    assert theirs.remote_no_context_takeover == codec.is_stateless


@given(st.none() | st.integers(9, 15), window_bits, st.booleans(), st.booleans(), wishes_for_peer)
def test_websockets_accepts_what_we_offer_and_we_its_answer(
    server_bits: int | None,
    client_bits: int | None,
    server_flag: bool,
    client_flag: bool,
    wishes: PerMessageDeflate,
) -> None:
    factory = peer.ServerPerMessageDeflateFactory(server_flag, client_flag, server_bits, client_bits)
    answer, theirs = factory.process_request_params(list(parsed(wishes.offer()).parameters), [])
    codec = wishes.confirm(Extension("permessage-deflate", tuple(answer)))
    assert codec.sharing_key[0] <= theirs.remote_max_window_bits
    assert theirs.local_max_window_bits <= codec._inflate_bits
