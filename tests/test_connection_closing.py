"""How a conversation ends, sans I/O: by close frames, by violations, and how it is told."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import pytest
from conversation import (
    CODES,
    EURO,
    ROLES,
    WRONG_CODES,
    close_frame,
    close_sent,
    exchange,
    ping_frame,
    sent,
    state_of,
    take_in,
)
from deflate_pairs import codec_pair
from raw_peer import (
    RawFrame,
    split_frames,
)
from traced import traced
from wire import data_frame, frame_bytes

from fastframe import (
    Close,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    MessageTooBig,
    Ping,
    ProtocolError,
    Role,
    State,
)

# The closing handshake.


@ROLES
@pytest.mark.parametrize("code", CODES)
def test_closing_handshake_begun_by_us(role: Role, code: int) -> None:
    connection = Connection(role)
    connection.close(code, "bye")
    assert (state_of(connection), connection.finished) == (State.CLOSING, False)
    assert close_sent(connection) == (code, "bye")
    assert take_in(connection, close_frame(role, code)) == [Close(code)]
    assert connection.finished and connection.received_first is False
    assert connection.take() == b""
    connection.end()
    assert state_of(connection) is State.CLOSED
    error = connection.closed_exception()
    assert type(error) is (ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError)
    assert (error.sent, error.received) == (Close(code, "bye"), Close(code))
    assert str(error) == f"sent {code} bye; then received {code}"


@ROLES
@pytest.mark.parametrize("code", CODES)
def test_closing_handshake_begun_by_the_peer(role: Role, code: int) -> None:
    connection = Connection(role)
    assert take_in(connection, close_frame(role, code, "their reason")) == [Close(code, "their reason")]
    assert state_of(connection) is State.CLOSING and connection.finished and not connection.ending
    assert close_sent(connection) == (code, "")
    connection.end()
    error = connection.closed_exception()
    assert type(error) is (ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError)
    assert error.received_first is True
    assert str(error) == f"received {code} their reason; then sent {code}"


@ROLES
@pytest.mark.parametrize("violated", [True, False])
def test_what_came_before_the_peers_end_may_still_be_answered(role: Role, violated: bool) -> None:
    connection = Connection(role)
    end = data_frame(role, 3, b"") if violated else close_frame(role, 1001)
    assert connection.receive(data_frame(role, 1, b"question") + end)[0] == "question"
    assert (connection.ending, connection.finished, state_of(connection)) == (True, False, State.OPEN)
    assert connection.take() == b""
    connection.send("answer")
    connection.conclude()
    connection.conclude()
    assert connection.finished and not connection.ending
    frames = sent(connection)
    assert [frame.opcode for frame in frames] == [1, 8]
    assert frames[1].payload[:2] == (1002 if violated else 1001).to_bytes(2, "big")


@ROLES
def test_conclude_does_nothing_while_the_conversation_goes_on(role: Role) -> None:
    connection = Connection(role)
    connection.receive(data_frame(role, 1, b"a"))
    connection.conclude()
    assert state_of(connection) is State.OPEN and connection.take() == b""


@ROLES
def test_our_own_close_may_answer_the_peers(role: Role) -> None:
    connection = Connection(role)
    connection.receive(close_frame(role, 1000))
    connection.close(3000, "ours")
    connection.conclude()
    assert close_sent(connection) == (3000, "ours")
    assert connection.finished and connection.received_first is True


@ROLES
@pytest.mark.parametrize("ours_first", [True, False])
def test_close_frame_without_a_code_is_a_proper_end(role: Role, ours_first: bool) -> None:
    connection = exchange(role, None, None, ours_first=ours_first)
    error = connection.closed_exception()
    assert type(error) is ConnectionClosedOK
    assert error.received == error.sent == Close()
    assert str(error).count("a close frame without a code") == 2


@ROLES
def test_close_without_a_code_sends_an_empty_close_frame(role: Role) -> None:
    connection = Connection(role)
    connection.close(None)
    assert sent(connection) == [RawFrame(8, b"", masked=role is Role.CLIENT)]


@ROLES
def test_empty_close_frame_is_answered_by_an_empty_one(role: Role) -> None:
    connection = Connection(role)
    take_in(connection, close_frame(role, None))
    assert sent(connection) == [RawFrame(8, b"", masked=role is Role.CLIENT)]


@ROLES
@pytest.mark.parametrize("code", WRONG_CODES)
def test_close_code_that_may_not_be_sent_is_refused(role: Role, code: int) -> None:
    connection = Connection(role)
    with pytest.raises(ValueError, match="close_code"):
        connection.close(code)
    assert state_of(connection) is State.OPEN and connection.close_sent is None
    assert connection.take() == b""


@ROLES
@pytest.mark.parametrize("reason", ["x" * 124, EURO * 42], ids=["ascii", "euro"])
def test_close_reason_too_long_is_refused(role: Role, reason: str) -> None:
    connection = Connection(role)
    take_in(connection, ping_frame(role, b"kept"))
    with pytest.raises(ValueError, match="close_reason"):
        connection.close(1000, reason)
    assert state_of(connection) is State.OPEN
    assert [frame.opcode for frame in sent(connection)] == [10]


@ROLES
@pytest.mark.parametrize("reason", ["x" * 123, EURO * 41], ids=["ascii", "euro"])
def test_close_reason_of_123_bytes_is_sent(role: Role, reason: str) -> None:
    connection = Connection(role)
    connection.close(1000, reason)
    assert close_sent(connection) == (1000, reason)


@ROLES
def test_close_again_does_nothing(role: Role) -> None:
    connection = Connection(role)
    connection.close(1000)
    connection.close(1001, "again")
    connection.close(1005)
    assert close_sent(connection) == (1000, "")
    connection.end()
    connection.close()
    assert state_of(connection) is State.CLOSED and connection.take() == b""


@ROLES
def test_close_frames_that_cross_finish_the_handshake(role: Role) -> None:
    connection = Connection(role)
    connection.close(1001)
    take_in(connection, close_frame(role, 1000))
    assert connection.finished and connection.received_first is False
    assert close_sent(connection) == (1001, "")
    assert type(connection.closed_exception()) is ConnectionClosedOK


@ROLES
def test_what_was_sent_before_leaves_before_the_close_frame(role: Role) -> None:
    connection = Connection(role)
    connection.send("last")
    take_in(connection, ping_frame(role, b"p"))
    connection.close()
    assert [frame.opcode for frame in sent(connection)] == [1, 10, 8]


@ROLES
@pytest.mark.parametrize("begin", ["we", "peer", "violation", "end"])
@pytest.mark.parametrize(
    "send",
    [
        lambda connection: connection.send("a"),
        lambda connection: connection.send(b"a"),
        lambda connection: connection.send_fragment("a", first=True, last=True),
        lambda connection: connection.send_encoded(b"\x81\x01a"),
        lambda connection: connection.ping(b"a"),
        lambda connection: connection.pong(b"a"),
    ],
    ids=["text", "binary", "fragment", "encoded", "ping", "pong"],
)
def test_nothing_follows_our_close_frame(role: Role, begin: str, send: Callable[[Connection], None]) -> None:
    connection = Connection(role)
    wires = {"peer": close_frame(role), "violation": data_frame(role, 3, b"")}
    if begin == "we":
        connection.close()
    elif begin == "end":
        connection.end()
    else:
        take_in(connection, wires[begin])
    connection.take()
    with pytest.raises(ConnectionClosed):
        send(connection)
    assert connection.take() == b""


@ROLES
@pytest.mark.parametrize("taken", [True, False])
def test_ping_after_our_close_frame_is_not_answered(role: Role, taken: bool) -> None:
    connection = Connection(role)
    connection.close()
    before = connection.take() if taken else b""
    assert take_in(connection, ping_frame(role, b"late")) == [Ping(b"late")]
    assert [frame.opcode for frame in split_frames(before + connection.take())] == [8]


@ROLES
def test_messages_after_our_close_frame_are_still_received(role: Role) -> None:
    connection = Connection(role)
    connection.close()
    assert take_in(connection, data_frame(role, 1, b"under way")) == ["under way"]
    assert take_in(connection, close_frame(role)) == [Close(1000)]


@ROLES
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("ours_first", [True, False])
def test_data_after_a_close_frame_is_dropped(role: Role, together: bool, ours_first: bool) -> None:
    connection = Connection(role)
    if ours_first:
        connection.close()
    after = data_frame(role, 1, b"late") + ping_frame(role, b"p") + close_frame(role, 3000) + b"\xff" * 9
    if together:
        assert take_in(connection, close_frame(role) + after) == [Close(1000)]
    else:
        take_in(connection, close_frame(role))
        assert take_in(connection, after) == []
    assert connection.close_received == Close(1000)
    assert connection.failure is None
    assert [frame.opcode for frame in sent(connection)] == [8]


# Violations.

VIOLATIONS: dict[str, tuple[Callable[[Role], bytes], int]] = {
    "reserved-opcode": (lambda role: data_frame(role, 3, b""), 1002),
    "reserved-bit": (lambda role: data_frame(role, 1, b"", rsv=4), 1002),
    "wrong-masking": (
        lambda role: data_frame(Role.SERVER if role is Role.CLIENT else Role.CLIENT, 1, b"a"),
        1002,
    ),
    "fragmented-ping": (lambda role: data_frame(role, 9, b"", fin=False), 1002),
    "long-ping": (lambda role: data_frame(role, 9, b"x" * 126), 1002),
    "lone-continuation": (lambda role: data_frame(role, 0, b"a"), 1002),
    "two-messages": (lambda role: data_frame(role, 1, b"a", fin=False) + data_frame(role, 1, b"b"), 1002),
    "close-of-one-byte": (lambda role: data_frame(role, 8, b"\x03"), 1002),
    "close-code-1005": (lambda role: close_frame(role, 1005), 1002),
    "length-top-bit": (lambda role: frame_bytes(role, b"\x82\x7f" + b"\xff" * 8, b""), 1002),
    "not-utf8": (lambda role: data_frame(role, 1, b"\xff"), 1007),
    "close-reason-not-utf8": (lambda role: data_frame(role, 8, b"\x03\xe8\xff"), 1007),
    "too-big": (lambda role: data_frame(role, 2, b"x" * 1001), 1009),
    "too-big-in-fragments": (
        lambda role: data_frame(role, 2, b"x" * 600, fin=False) + data_frame(role, 0, b"x" * 600),
        1009,
    ),
    "announced-too-big": (
        lambda role: frame_bytes(role, b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), b""),
        1009,
    ),
    "too-many-fragments": (
        lambda role: data_frame(role, 2, b"", fin=False) + data_frame(role, 0, b"", fin=False) * 8,
        1009,
    ),
}
VIOLATING = pytest.mark.parametrize("violation", VIOLATIONS)


def limited(role: Role) -> Connection:
    return Connection(role, max_message_size=1000, max_fragments=8)


@ROLES
@VIOLATING
def test_violation_is_answered_with_its_code_and_a_reason(role: Role, violation: str) -> None:
    wire, code = VIOLATIONS[violation]
    connection = limited(role)
    take_in(connection, wire(role))
    failure = connection.failure
    assert isinstance(failure, ProtocolError) and failure.close_code == code
    assert isinstance(failure, MessageTooBig) is (code == 1009)
    assert state_of(connection) is State.CLOSING and connection.finished
    sent_code, reason = close_sent(connection)
    assert (sent_code, reason) == (code, str(failure))
    assert len(reason.encode()) <= 123
    connection.end()
    error = connection.closed_exception()
    assert type(error) is ConnectionClosedError
    assert error.sent == Close(code, reason) and error.received is None


@ROLES
@VIOLATING
@pytest.mark.parametrize("together", [True, False])
def test_items_before_a_violation_are_not_lost(role: Role, violation: str, together: bool) -> None:
    connection = limited(role)
    before = data_frame(role, 1, b"a") + ping_frame(role, b"p") + data_frame(role, 2, b"b")
    wire = VIOLATIONS[violation][0](role)
    items = take_in(connection, before + wire if together else before)
    assert items == ["a", Ping(b"p"), b"b"]
    if not together:
        assert take_in(connection, wire) == []
    assert connection.failure is not None


@ROLES
@VIOLATING
def test_whatever_comes_after_a_violation_is_dropped(role: Role, violation: str) -> None:
    connection = limited(role)
    take_in(connection, VIOLATIONS[violation][0](role))
    connection.take()
    failure = connection.failure
    for wire in (data_frame(role, 1, b"late"), ping_frame(role, b"p"), close_frame(role, 3000), b"\xff"):
        assert take_in(connection, wire) == []
        assert connection.get_buffer(1) is None
    assert connection.failure is failure and connection.close_received is None
    assert connection.take() == b""


@ROLES
@VIOLATING
def test_violation_after_our_close_frame_gets_no_second_one(role: Role, violation: str) -> None:
    connection = limited(role)
    connection.close(1000)
    take_in(connection, VIOLATIONS[violation][0](role))
    assert close_sent(connection) == (1000, "")
    assert connection.finished and connection.failure is not None
    connection.end()
    assert type(connection.closed_exception()) is ConnectionClosedError


@ROLES
def test_violation_in_a_message_read_in_place_is_answered(role: Role) -> None:
    connection = Connection(role, max_message_size=None)
    wire = data_frame(role, 1, b"x" * 100_000 + b"\xff" + b"x" * 100_000)
    take_in(connection, wire[:20])
    view = connection.get_buffer(1)
    assert view is not None, "a large frame is read in place"
    place = 20
    while view is not None and place < len(wire):
        size = min(len(view), len(wire) - place)
        view[:size] = wire[place : place + size]
        assert connection.received(size) == []
        connection.conclude()
        place += size
        view = connection.get_buffer(1)
    assert close_sent(connection)[0] == 1007
    assert take_in(connection, data_frame(role, 1, b"late")) == []


@ROLES
def test_long_reason_is_cut_between_characters(role: Role) -> None:
    def refuse(_: bytes, __: int | None) -> bytes:
        raise ProtocolError(EURO * 60)

    class Deflate:
        inflate = staticmethod(refuse)
        threshold = 0

    connection = Connection(role, deflate=Deflate())  # type: ignore[arg-type]
    take_in(connection, data_frame(role, 1, b"a", rsv=4))
    assert close_sent(connection) == (1002, EURO * 41)


# How it is told.


@pytest.mark.parametrize(
    ("ours", "theirs", "ours_first", "kind", "text"),
    [
        (1000, 1000, True, ConnectionClosedOK, "sent 1000; then received 1000"),
        (1000, 1000, False, ConnectionClosedOK, "received 1000; then sent 1000"),
        (1001, 1000, True, ConnectionClosedOK, "sent 1001; then received 1000"),
        (1000, 1011, True, ConnectionClosedError, "sent 1000; then received 1011"),
        (3000, 1000, True, ConnectionClosedError, "sent 3000; then received 1000"),
        (1000, None, True, ConnectionClosedOK, "sent 1000; then received a close frame without a code"),
        (None, 4000, False, ConnectionClosedError, "received 4000; then sent 4000"),
    ],
)
@ROLES
def test_closed_exception_tells_both_close_frames(
    role: Role, ours: int | None, theirs: int | None, ours_first: bool, kind: type, text: str
) -> None:
    error = exchange(role, ours, theirs, ours_first=ours_first).closed_exception()
    assert type(error) is kind and str(error) == text
    assert error.received_first is not ours_first
    assert exchange(role, ours, theirs, ours_first=ours_first).ended_well is (kind is ConnectionClosedOK)


@ROLES
def test_closed_exception_without_close_frames(role: Role) -> None:
    connection = Connection(role)
    connection.end()
    error = connection.closed_exception("ConnectionResetError: reset")
    assert type(error) is ConnectionClosedError
    assert (error.sent, error.received, error.received_first) == (None, None, None)
    assert str(error) == "no close frame received or sent (ConnectionResetError: reset)"
    assert error.explanation == "ConnectionResetError: reset"


@ROLES
@pytest.mark.parametrize("code", [1000, 1001, 3000])
def test_closed_exception_when_the_peer_never_answered(role: Role, code: int) -> None:
    connection = Connection(role)
    connection.close(code, "bye")
    ending = connection.closed_exception()
    assert connection.ended_well is (code != 3000)
    assert type(ending) is (ConnectionClosedError if code == 3000 else ConnectionClosedOK)
    connection.end()
    error = connection.closed_exception()
    assert type(error) is ConnectionClosedError
    assert str(error) == f"sent {code} bye; received no close frame"
    assert error.received_first is None


def is_over(connection: Connection) -> bool:
    """For mypy, which does not see that a method changes it."""
    return connection.over


@ROLES
def test_after_a_violation_it_is_over_once_our_close_frame_is_sent(role: Role) -> None:
    connection = Connection(role)
    connection.receive(data_frame(role, 1, b"question") + data_frame(role, 3, b""))
    assert not is_over(connection)
    connection.conclude()
    assert is_over(connection) and state_of(connection) is State.CLOSING
    connection.end()
    assert is_over(connection)


@ROLES
@pytest.mark.parametrize("ours_first", [True, False])
def test_after_the_closing_handshake_it_is_over_when_the_transport_is_gone(
    role: Role, ours_first: bool
) -> None:
    connection = Connection(role)
    if ours_first:
        connection.close()
    take_in(connection, close_frame(role))
    assert connection.finished and not is_over(connection)
    connection.end()
    assert is_over(connection)


# What is kept of a violation.

LARGE = 1024 * 1024


def deflated(message: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-12)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


FAILING: dict[str, Callable[[], bytes]] = {
    "bomb": lambda: data_frame(Role.SERVER, 2, deflated(bytes(LARGE + 1)), rsv=4),
    "corrupt": lambda: data_frame(
        Role.SERVER, 2, deflated(random.Random(1).randbytes(LARGE // 2)) + b"\7", rsv=4
    ),
    "inflated text": lambda: data_frame(Role.SERVER, 1, deflated(b"a" * (LARGE - 1) + b"\xff"), rsv=4),
    "text": lambda: data_frame(Role.SERVER, 1, b"a" * (LARGE - 1) + b"\xff"),
    "behind a message": lambda: data_frame(Role.SERVER, 2, bytes(LARGE)) + data_frame(Role.SERVER, 3, b""),
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("name", sorted(FAILING))
def test_connection_that_failed_keeps_next_to_nothing(name: str, in_place: bool, again: bool) -> None:
    wire = FAILING[name]()
    connection = Connection(Role.SERVER, deflate=codec_pair()[1], max_message_size=LARGE)
    with traced() as memory:
        if in_place:
            receive_in_place(connection, wire)
        else:
            connection.receive(wire)
        if again:
            assert connection.receive(b"more") == []
        connection.conclude()
        connection.take()
        assert memory()[0] < 64 * 1024
    failure = connection.failure
    assert failure is not None
    assert failure.__traceback__ is None and failure.__context__ is None and failure.decoded == []
    assert str(failure) and failure.last_frames


def receive_in_place(connection: Connection, wire: bytes) -> None:
    """All that can be is read to where the connection wants it."""
    connection.receive(wire[:100])
    rest = memoryview(wire)[100:]
    while rest:
        buffer = connection.get_buffer(1)
        if buffer is None:
            connection.receive(rest)
            return
        size = min(len(buffer), len(rest))
        buffer[:size] = rest[:size]
        del buffer
        connection.received(size)
        rest = rest[size:]
