"""Both roles of the opening handshake against each other, and against websockets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from heads import URI, fed, rejection
from websockets.client import ClientProtocol
from websockets.datastructures import Headers as PeerHeaders
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as PeerRequest
from websockets.http11 import Response as PeerResponse
from websockets.server import ServerProtocol
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri as peer_uri

from fastframe.deflate import PerMessageDeflate
from fastframe.errors import RejectedByServer
from fastframe.handshake import ClientHandshake, ServerHandshake

# websockets as the client


def test_websockets_connects_with_subprotocol_and_deflate() -> None:
    peer = ClientProtocol(
        peer_uri("ws://example.com:8765/a?b"),
        subprotocols=[Subprotocol("chat"), Subprotocol("superchat")],
        extensions=[ClientPerMessageDeflateFactory(client_max_window_bits=True)],
    )
    peer.send_request(peer.connect())
    handshake = ServerHandshake(subprotocols=["superchat"], deflate=PerMessageDeflate())
    request = fed(handshake, peer.data_to_send())
    assert request.path == "/a?b"
    peer.receive_data(handshake.accept(request))
    [response] = peer.events_received()
    assert isinstance(response, PeerResponse)
    assert response.status_code == 101
    assert peer.handshake_exc is None
    assert peer.state.name == "OPEN"
    assert peer.subprotocol == handshake.subprotocol == "superchat"
    assert [extension.name for extension in peer.extensions] == ["permessage-deflate"]
    assert handshake.deflate is not None
    text = b"all work and no play " * 20
    compressed = handshake.deflate.compress(text)
    assert len(compressed) < len(text)
    size = len(compressed)
    assert size < 126
    peer.receive_data(bytes([0xC0 | Opcode.TEXT, size]) + compressed)
    [frame] = peer.events_received()
    assert isinstance(frame, Frame)
    assert (frame.opcode, frame.data) == (Opcode.TEXT, text)


def test_websockets_sends_early_frames_into_trailing() -> None:
    peer = ClientProtocol(peer_uri("ws://example.com/"))
    peer.send_request(peer.connect())
    [request_bytes] = peer.data_to_send()
    handshake = ServerHandshake()
    request = fed(handshake, [request_bytes + bytes([0x80 | Opcode.BINARY, 0x80, 0, 0, 0, 0])])
    peer.receive_data(handshake.accept(request))
    assert peer.state.name == "OPEN"
    assert handshake.trailing == b"\x82\x80\0\0\0\0"


@pytest.mark.parametrize(("status", "body"), [(403, b"no"), (301, b""), (503, b"x" * 100_000)])
def test_websockets_reads_our_rejection(status: int, body: bytes) -> None:
    peer = ClientProtocol(peer_uri("ws://example.com/"))
    peer.send_request(peer.connect())
    handshake = ServerHandshake()
    fed(handshake, peer.data_to_send())
    peer.receive_data(handshake.reject(status, {"Location": "ws://example.org/"}, body))
    peer.receive_eof()
    response = peer.events_received()[0]
    assert isinstance(response, PeerResponse)
    assert (response.status_code, bytes(response.body or b"")) == (status, body)
    assert response.headers["Location"] == "ws://example.org/"


# websockets as the server


def peer_server(data: Iterable[bytes], **options: Any) -> tuple[ServerProtocol, PeerRequest]:
    peer = ServerProtocol(**options)
    for chunk in data:
        peer.receive_data(chunk)
    [request] = peer.events_received()
    assert isinstance(request, PeerRequest)
    return peer, request


def test_websockets_accepts_with_subprotocol_and_deflate() -> None:
    handshake = ClientHandshake(
        "ws://example.com:8765/a?b",
        origin="http://example.com",
        subprotocols=["chat", "superchat"],
        deflate=PerMessageDeflate(),
    )
    peer, request = peer_server(
        [handshake.request()],
        origins=[Origin("http://example.com")],
        subprotocols=[Subprotocol("superchat")],
        extensions=[ServerPerMessageDeflateFactory()],
    )
    assert request.path == "/a?b"
    assert request.headers["Host"] == "example.com:8765"
    response = peer.accept(request)
    response.headers["X-More"] = "a"
    peer.send_response(response)
    peer.send_text(b"all work and no play " * 20)
    answered = fed(handshake, [b"".join(peer.data_to_send())])
    assert peer.handshake_exc is None
    assert handshake.subprotocol == peer.subprotocol == "superchat"
    assert answered.headers["X-More"] == "a"
    assert handshake.deflate is not None
    assert handshake.trailing[0] == 0xC1
    assert handshake.deflate.inflate(handshake.trailing[2:], None) == b"all work and no play " * 20


@pytest.mark.parametrize(("status", "text"), [(403, "no\n"), (503, "x" * 70_000)])
def test_websockets_rejects(status: int, text: str) -> None:
    handshake = ClientHandshake(URI)
    peer, _ = peer_server([handshake.request()])
    peer.send_response(peer.reject(status, text))
    data = b"".join(peer.data_to_send())
    with pytest.raises(RejectedByServer) as caught:
        handshake.receive(data)
    assert str(caught.value) == f"server answered with HTTP status {status}"
    assert caught.value.response.status == status
    assert caught.value.response.body == text.encode()[:65536]
    assert caught.value.response.headers["Connection"] == "close"


def test_peer_headers_agree_with_ours() -> None:
    handshake = ClientHandshake("ws://user:pass@example.com/", extra_headers={"X-A": "b"})
    _, request = peer_server([handshake.request()])
    assert isinstance(request.headers, PeerHeaders)
    assert list(request.headers.raw_items()) == handshake.headers.items()


# Our own two roles


@pytest.mark.parametrize(
    ("ours", "theirs", "chosen"),
    [([], [], None), (["a", "b"], ["b", "a"], "b"), (["a"], [], None), (["a"], ["b"], None)],
)
@pytest.mark.parametrize("deflate", [None, PerMessageDeflate()])
def test_our_two_sides_agree(
    ours: Sequence[str], theirs: Sequence[str], chosen: str | None, deflate: PerMessageDeflate | None
) -> None:
    extra: Mapping[str, str] = {"X-A": "ü"}
    client = ClientHandshake(URI, subprotocols=ours, deflate=deflate, extra_headers=extra)
    server = ServerHandshake(subprotocols=theirs, deflate=deflate)
    request = server.receive(client.request())
    assert request is not None
    assert request.headers == client.headers
    response = client.receive(server.accept(request, extra_headers=extra))
    assert response is not None
    assert server.response is not None
    assert response.headers == server.response.headers
    assert client.subprotocol == server.subprotocol == chosen
    assert (client.deflate is None) == (server.deflate is None) == (deflate is None)


@pytest.mark.parametrize("status", [200, 204, 301, 400, 403, 404, 426, 500, 503])
def test_our_client_reads_our_rejections(status: int) -> None:
    body = b"" if status == 204 else b"why\r\n\r\n"
    data = ServerHandshake().reject(status, {"X-A": "b"}, body)
    for size in (len(data), 1):
        response = rejection(data, size=size)
        assert (response.status, response.body) == (status, body)
        assert response.headers["X-A"] == "b"
