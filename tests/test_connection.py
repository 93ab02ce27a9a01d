"""The conversation, sans I/O: what is sent, received and answered."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from conversation import (
    EURO,
    ROLES,
    close_frame,
    close_sent,
    ping_frame,
    sent,
    state_of,
    take_in,
)
from raw_peer import (
    RawFrame,
    split_frames,
)
from wire import data_frame, receive_in_place

from fastframe import (
    Close,
    Connection,
    PerMessageDeflate,
    Ping,
    Pong,
    Role,
    State,
)
from fastframe.http_headers import parse_extensions

# Sending.


@ROLES
@pytest.mark.parametrize(
    ("message", "opcode", "payload"),
    [
        ("", 1, b""),
        ("Grüße", 1, "Grüße".encode()),
        (b"", 2, b""),
        (b"\0\xff", 2, b"\0\xff"),
        (bytearray(b"ab"), 2, b"ab"),
        (memoryview(b"abcd")[::2], 2, b"ac"),
        (b"x" * 70_000, 2, b"x" * 70_000),
    ],
    ids=["no-text", "text", "nothing", "bytes", "bytearray", "strided", "long"],
)
def test_send_makes_one_frame(role: Role, message: Any, opcode: int, payload: bytes) -> None:
    connection = Connection(role)
    connection.send(message)
    assert len(connection) >= len(payload)
    assert sent(connection) == [RawFrame(opcode, payload, masked=role is Role.CLIENT)]
    assert connection.take() == b"" and len(connection) == 0


@ROLES
@pytest.mark.parametrize("message", [None, 1, 1.5, ["a"], {"a": 1}, object()])
def test_send_of_no_message_is_refused_and_leaves_nothing(role: Role, message: Any) -> None:
    connection = Connection(role)
    with pytest.raises(TypeError):
        connection.send(message)
    assert state_of(connection) is State.OPEN and connection.take() == b""


def test_messages_do_not_come_between_fragments() -> None:
    connection = Connection(Role.SERVER)
    with pytest.raises(ValueError, match="no message is begun"):
        connection.send_fragment("a", first=False, last=True)
    connection.send_fragment("a", first=True, last=False)
    sends: list[Callable[[], None]] = [
        lambda: connection.send("whole"),
        lambda: connection.send_encoded(b"\x81\x00"),
        lambda: connection.send_fragment("b", first=True, last=True),
    ]
    for send in sends:
        with pytest.raises(ValueError, match="a fragmented message is not finished"):
            send()
    connection.ping(b"between")
    connection.send_fragment("b", first=False, last=True)
    connection.send("whole")
    assert connection.take() == b"\x01\x01a\x89\x07between\x80\x01b\x81\x05whole"


@ROLES
def test_fragments_make_the_frames_of_one_message(role: Role) -> None:
    connection = Connection(role)
    connection.send_fragment("a", first=True, last=False)
    connection.ping(b"between")
    connection.send_fragment("", first=False, last=False)
    connection.send_fragment("c", first=False, last=True)
    connection.send_fragment(b"d", first=True, last=True)
    frames = [(frame.opcode, frame.payload, frame.fin) for frame in sent(connection)]
    assert frames == [
        (1, b"a", False),
        (9, b"between", True),
        (0, b"", False),
        (0, b"c", True),
        (2, b"d", True),
    ]


@ROLES
@pytest.mark.parametrize("name", ["ping", "pong"])
def test_control_payload_too_long_is_refused_and_leaves_nothing(role: Role, name: str) -> None:
    connection = Connection(role)
    with pytest.raises(ValueError, match="125"):
        getattr(connection, name)(b"x" * 126)
    getattr(connection, name)(b"x" * 125)
    assert sent(connection) == [RawFrame(9 if name == "ping" else 10, b"x" * 125, masked=role is Role.CLIENT)]


@ROLES
def test_connection_with_nothing_to_send_is_true(role: Role) -> None:
    assert len(Connection(role)) == 0
    assert Connection(role)


# Receiving.


@ROLES
def test_receive_gives_messages_and_control_frames_in_order(role: Role) -> None:
    connection = Connection(role)
    wire = data_frame(role, 1, b"a") + ping_frame(role, b"p") + data_frame(role, 2, b"b")
    wire += data_frame(role, 10, b"q") + close_frame(role, 1001, "bye")
    assert connection.receive(wire) == ["a", Ping(b"p"), b"b", Pong(b"q"), Close(1001, "bye")]
    assert connection.control_frames == 3


@ROLES
def test_receive_counts_only_the_bytes_it_is_told_of(role: Role) -> None:
    connection = Connection(role)
    wire = data_frame(role, 1, b"a")
    assert connection.receive(bytearray(wire + b"\xff" * 50), len(wire)) == ["a"]
    assert state_of(connection) is State.OPEN


@ROLES
def test_text_as_bytes_gives_validated_bytes(role: Role) -> None:
    connection = Connection(role, text_as_bytes=True)
    assert connection.receive(data_frame(role, 1, b"a")) == [b"a"]
    take_in(connection, data_frame(role, 1, b"\xff"))
    assert close_sent(connection)[0] == 1007


@ROLES
@pytest.mark.parametrize("size", [100, 200_000, 3_000_000])
def test_message_read_in_place_arrives_whole(role: Role, size: int) -> None:
    message = random.Random(size).randbytes(size)
    connection = Connection(role, max_message_size=None)
    items: list[Any] = []

    class Decoder:
        receive = connection.receive
        received = connection.received

        @staticmethod
        def get_buffer() -> memoryview | None:
            return connection.get_buffer(1024)

    wire = data_frame(role, 2, message) + ping_frame(role, b"p") + data_frame(role, 1, b"next")
    for start in range(0, len(wire), 50_000):
        receive_in_place(Decoder, wire[start : start + 50_000], items)
    assert items == [message, Ping(b"p"), "next"]
    assert sent(connection)[0].payload == b"p"


# Pings.


@ROLES
def test_ping_is_answered_with_its_payload(role: Role) -> None:
    connection = Connection(role)
    take_in(connection, ping_frame(role, b"hello"))
    assert sent(connection) == [RawFrame(10, b"hello", masked=role is Role.CLIENT)]


@ROLES
@pytest.mark.parametrize("reads", [1, 3])
def test_only_the_newest_ping_is_answered_while_congested(role: Role, reads: int) -> None:
    connection = Connection(role)
    connection.congested = True
    pings = [ping_frame(role, bytes([number])) for number in range(9)]
    step = len(pings) // reads
    for start in range(0, len(pings), step):
        connection.receive(b"".join(pings[start : start + step]))
    connection.congested = False
    assert [frame.payload for frame in sent(connection)] == [b"\x08"]
    connection.receive(ping_frame(role, b"again"))
    assert [frame.payload for frame in sent(connection)] == [b"again"]


@ROLES
def test_pings_are_answered_one_by_one_while_the_network_takes_it(role: Role) -> None:
    connection = Connection(role)
    connection.receive(b"".join(ping_frame(role, bytes([number])) for number in range(9)))
    assert [frame.payload for frame in sent(connection)] == [bytes([number]) for number in range(9)]


@ROLES
def test_flood_of_pings_leaves_one_pong_while_congested(role: Role) -> None:
    connection = Connection(role)
    connection.congested = True
    flood = ping_frame(role, b"x" * 125) * 1000
    for _ in range(20):
        connection.receive(flood)
        assert len(connection) < 200
    assert len(sent(connection)) == 1


@ROLES
def test_pong_that_was_put_off_leaves_before_the_close_frame(role: Role) -> None:
    connection = Connection(role)
    connection.congested = True
    connection.receive(ping_frame(role, b"p"))
    connection.close()
    assert [frame.opcode for frame in sent(connection)] == [10, 8]


# Compression.


def deflated_pair() -> tuple[Connection, Connection]:
    """A client and a server that have agreed on permessage-deflate."""
    wishes = PerMessageDeflate(threshold=20)
    agreed = PerMessageDeflate(threshold=20).accept(list(parse_extensions(wishes.offer())))
    assert agreed is not None
    answer, server = agreed
    client = wishes.confirm(parse_extensions(answer)[0])
    return Connection(Role.CLIENT, deflate=client), Connection(Role.SERVER, deflate=server)


@pytest.mark.parametrize("message", ["Grüße " * 50, b"\0\1" * 50, "x" * 20, b"x" * 30_000])
def test_compressed_messages_arrive(message: str | bytes) -> None:
    client, server = deflated_pair()
    for sender, receiver in ((client, server), (server, client)) * 2:
        sender.send(message)
        wire = sender.take()
        [frame] = split_frames(wire)
        assert frame.rsv1 and frame.fin and frame.opcode == (1 if isinstance(message, str) else 2)
        assert receiver.receive(wire) == [message]


def test_messages_below_the_threshold_go_uncompressed() -> None:
    client, server = deflated_pair()
    client.send("x" * 19)
    wire = client.take()
    assert split_frames(wire) == [RawFrame(1, b"x" * 19, masked=True)]
    assert server.receive(wire) == ["x" * 19]


def test_threshold_counts_bytes_and_not_characters() -> None:
    client, _ = deflated_pair()
    client.send(EURO * 7)
    assert sent(client)[0].rsv1


def test_fragments_go_uncompressed_between_compressed_messages() -> None:
    client, server = deflated_pair()
    client.send("x" * 100)
    client.send_fragment("a" * 50, first=True, last=False)
    client.send_fragment("b" * 50, first=False, last=True)
    client.send("x" * 100)
    wire = client.take()
    assert [frame.rsv1 for frame in split_frames(wire)] == [True, False, False, True]
    assert server.receive(wire) == ["x" * 100, "a" * 50 + "b" * 50, "x" * 100]


def test_inflated_size_is_bounded() -> None:
    client, _ = deflated_pair()
    client.send(b"\0" * 2_000_000)
    _, fresh = deflated_pair()
    assert take_in(fresh, client.take()) == []
    assert close_sent(fresh)[0] == 1009


def test_compressed_message_that_could_not_be_appended_is_never_referred_to() -> None:
    client, server = deflated_pair()

    class Full:
        """An encoder without memory left."""

        def append(self, *frame: Any) -> None:
            raise MemoryError

    encoder, client._encoder = client._encoder, Full()  # type: ignore[assignment]
    text = " ".join(map(str, range(500)))
    with pytest.raises(MemoryError):
        client.send(text)
    client._encoder = encoder
    client.send(text)
    assert server.receive(client.take()) == [text]


# Messages in chunks.


@ROLES
def test_message_under_way_may_be_taken_in_chunks(role: Role) -> None:
    connection = Connection(role)
    assert connection.take_chunk() is None
    assert connection.receive(data_frame(role, 1, "aä".encode()[:2], fin=False)) == []
    assert connection.retained == 2
    assert connection.take_chunk() == "a"
    assert connection.receive(data_frame(role, 0, "ä".encode()[1:])) == ["ä"]
    assert connection.take_chunk() is None


@ROLES
def test_invalid_close_frame_is_not_counted(role: Role) -> None:
    connection = Connection(role)
    wire = ping_frame(role, b"p") + data_frame(role, 8, (999).to_bytes(2, "big"))
    assert connection.receive(wire) == [Ping(b"p")]
    assert connection.control_frames == 1


@pytest.mark.parametrize("size", [0, 125, 126, 65_536])
def test_unjoined_message_is_the_same_frame(size: int) -> None:
    message = bytes(size)
    parts = Connection(Role.SERVER).send_unjoined(message)
    assert parts is not None and parts[1] is message
    connection = Connection(Role.SERVER)
    connection.send(message)
    assert b"".join(parts) == connection.take()


def test_unjoined_is_only_what_may_go_as_it_is_and_at_once() -> None:
    assert Connection(Role.CLIENT).send_unjoined(b"masked") is None
    _, compressing = deflated_pair()
    assert compressing.send_unjoined(b"compressed") is None
    closing = Connection(Role.SERVER)
    closing.close()
    assert closing.send_unjoined(b"too late") is None
    behind = Connection(Role.SERVER)
    behind.send("first")
    assert behind.send_unjoined(b"second") is None
