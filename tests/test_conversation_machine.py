"""A client and a server that talk, as a machine whose rules Hypothesis calls in any order.

Each rule is done by two conversations: of `Connection` as it is installed, and of its source over the
pure half. They must take, say and tell the same. Between any two calls the invariants below hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fuzz.choices import Choices
from fuzz.connection_targets import SOURCES, deflate_pair
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from raw_peer import RawFrame, split_frames
from wire import receive_in_place

from fastframe import Close, Connection, ConnectionClosed, Ping, Pong, Role, State

LIMIT = 200_000
"""Bytes in a message, more than any has."""

CLIENT, SERVER = 0, 1
LARGEST_CONTROL_FRAME = 2 + 4 + 125
ENDS = st.sampled_from([CLIENT, SERVER])
SIZES = st.sampled_from([125, 126, 4096, 65_535, 65_536])
MESSAGES = (
    st.text(max_size=40) | st.binary(max_size=40) | SIZES.map(bytes) | SIZES.map(lambda size: "ä" * size)
)
CONTROL = st.binary(max_size=125)
CODES = st.sampled_from([1000, 1001, 1011, 3000, 4999, None])
# Bytes that arrive at once; all that are on their way if there are fewer.
ALL = 1 << 30
AMOUNTS = st.integers(1, 20) | st.integers(20, 100_000) | st.just(ALL)
# What ends a conversation has to come rarely, or little would happen before it and behind it.
RARELY = st.sampled_from([False] * 7 + [True])


class End:
    """One end of one conversation, and what it has given to the network that has not arrived."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.on_the_way = b""

    def told(self) -> tuple[object, ...]:
        """All that an application may see."""
        connection = self.connection
        return (
            connection.state,
            connection.close_received,
            connection.close_sent,
            connection.received_first,
            connection.failure,
            connection.ending,
            connection.over,
            connection.finished,
            connection.is_fragmenting,
            connection.append_message is None,
            connection.retained,
            len(connection),
            len(self.on_the_way),
        )


class Account:
    """What has become of one end, whichever half it is of."""

    def __init__(self) -> None:
        self.sent: list[str | bytes] = []
        self.received: list[str | bytes] = []
        self.pings: list[bytes] = []
        self.pongs: list[bytes] = []
        self.fragments: list[str] = []
        self.frames: list[RawFrame] = []
        self.state = State.OPEN


class Conversation(RuleBasedStateMachine):
    """Rules are what an application or the network may do."""

    @initialize(deflated=st.booleans(), wishes=st.binary(min_size=5, max_size=5))
    def open(self, deflated: bool, wishes: bytes) -> None:
        self.accounts = (Account(), Account())
        self.halves: list[tuple[End, End]] = []
        self.is_lost = False
        for kind in (Connection, SOURCES.Connection):
            # Its choice of max_ratio is for other tests: here nothing may fail.
            pair = deflate_pair(Choices(wishes[:4])) if deflated else (None, None)
            client, server = (
                End(kind(role, deflate=codec, max_message_size=LIMIT))
                for role, codec in zip((Role.CLIENT, Role.SERVER), pair, strict=True)
            )
            self.halves.append((client, server))

    def both(self, end: int, call: Callable[[Any], object]) -> Any:
        """What both halves give, which is the same."""
        results = []
        for half in self.halves:
            try:
                results.append(call(half[end]))
            except ConnectionClosed as error:
                results.append((type(error), str(error)))
        assert results[0] == results[1]
        return results[0]

    def say(self, end: int, call: Callable[[Any], object]) -> bool:
        """Whether something could be said: until the closing begins, and not a byte behind it."""
        connection = self.halves[0][end].connection
        before, was_open = len(connection), connection.state is State.OPEN
        refused = self.both(end, lambda one: call(one.connection)) is not None
        assert refused is not was_open
        assert not refused or len(connection) == before
        return not refused

    # The application.

    def may_begin(self, end: int) -> bool:
        return not self.accounts[end].fragments

    @rule(end=ENDS, message=MESSAGES)
    def send(self, end: int, message: str | bytes) -> None:
        if self.may_begin(end) and self.say(end, lambda connection: connection.send(message)):
            self.accounts[end].sent.append(message)

    @rule(end=ENDS, fragment=st.text(max_size=200), last=st.booleans())
    def send_fragment(self, end: int, fragment: str, last: bool) -> None:
        account = self.accounts[end]
        first = not account.fragments
        if self.say(end, lambda connection: connection.send_fragment(fragment, first=first, last=last)):
            account.fragments.append(fragment)
            if last:
                account.sent.append("".join(account.fragments))
                account.fragments.clear()
            assert self.halves[0][end].connection.is_fragmenting is not last

    @rule(end=ENDS, payload=CONTROL)
    def ping(self, end: int, payload: bytes) -> None:
        if self.say(end, lambda connection: connection.ping(payload)):
            self.accounts[end].pings.append(payload)

    @rule(end=ENDS, payload=CONTROL)
    def pong(self, end: int, payload: bytes) -> None:
        # One that nobody asked for is told from answers by what it carries.
        self.say(end, lambda connection: connection.pong(b"unasked" + payload[:100]))

    @rule(end=ENDS, code=CODES, reason=st.text("aä", max_size=60), really=RARELY)
    def close(self, end: int, code: int | None, reason: str, really: bool) -> None:
        if really:
            self.both(end, lambda one: one.connection.close(code, reason if code else ""))

    @rule(end=ENDS)
    def conclude(self, end: int) -> None:
        self.both(end, lambda one: one.connection.conclude())

    # The network.

    @rule(end=ENDS, congested=st.booleans())
    def congest(self, end: int, congested: bool) -> None:
        self.both(end, lambda one: setattr(one.connection, "congested", congested))

    @rule(end=ENDS)
    def leave(self, end: int) -> None:
        """What an end has to say is given to the network."""

        def take(one: End) -> list[RawFrame]:
            data = one.connection.take()
            one.on_the_way += data
            return split_frames(data)

        self.accounts[end].frames += self.both(end, take)

    @rule(end=ENDS, amount=AMOUNTS, in_place=st.booleans())
    @precondition(lambda self: not self.is_lost)
    def arrive(self, end: int, amount: int, in_place: bool) -> None:
        """Some bytes of what `end` has said reach its peer."""
        peer = 1 - end
        receiving = [half[peer].connection for half in self.halves]
        waiting = len(receiving[0])
        items = []
        for half, connection in zip(self.halves, receiving, strict=True):
            data, half[end].on_the_way = half[end].on_the_way[:amount], half[end].on_the_way[amount:]
            taken: list[Any] = []
            if in_place:
                receive_in_place(_InPlace(connection), data, taken)
            else:
                taken += connection.receive(data)
            items.append(taken)
        assert items[0] == items[1]
        assert not receiving[0].congested or len(receiving[0]) == waiting, "pongs pile up"
        self.note(peer, items[0])

    def note(self, end: int, items: list[Any]) -> None:
        account, talker = self.accounts[end], self.accounts[1 - end]
        for item in items:
            if isinstance(item, (str, bytes)):
                account.received.append(item)
                assert item == talker.sent[len(account.received) - 1]
            elif isinstance(item, Pong):
                account.pongs.append(item.payload)
            else:
                assert isinstance(item, (Ping, Close))

    @rule(end=ENDS)
    @precondition(lambda self: not self.is_lost)
    def leave_and_arrive(self, end: int) -> None:
        self.leave(end)
        self.arrive(end, ALL, False)

    @rule(really=RARELY)
    @precondition(lambda self: not self.is_lost)
    def lose(self, really: bool) -> None:
        """The network breaks: both ends are told, and what was on its way is lost."""
        self.is_lost = really
        if not self.is_lost:
            return
        for end in (CLIENT, SERVER):
            self.both(end, lambda one: one.connection.end())
            assert self.halves[0][end].connection.over

    # What holds at any time.

    @invariant()
    def halves_tell_the_same(self) -> None:
        for end in (CLIENT, SERVER):
            assert self.halves[0][end].told() == self.halves[1][end].told()
            assert self.halves[0][end].connection.failure is None

    @invariant()
    def states_only_move_forward(self) -> None:
        for account, end in zip(self.accounts, self.halves[0], strict=True):
            assert end.connection.state >= account.state
            account.state = end.connection.state

    @invariant()
    def nothing_follows_the_one_close_frame(self) -> None:
        for account, role in zip(self.accounts, (Role.CLIENT, Role.SERVER), strict=True):
            assert all(frame.masked is (role is Role.CLIENT) for frame in account.frames)
            assert all(frame.opcode != 8 for frame in account.frames[:-1])

    @invariant()
    def memory_is_bounded(self) -> None:
        for account, talker, end in (
            (*self.accounts, self.halves[0][0]),
            (*self.accounts[::-1], self.halves[0][1]),
        ):
            # An unfinished message and an unfinished frame, of what the peer has let go.
            unfinished = sum(len(frame.payload) for frame in talker.frames) + LARGEST_CONTROL_FRAME
            assert end.connection.retained <= min(LIMIT + LARGEST_CONTROL_FRAME, unfinished)
            assert len(account.received) <= len(talker.sent)

    def teardown(self) -> None:
        """All that was said arrives in the end, unless the network broke."""
        if not hasattr(self, "halves") or self.is_lost:
            return
        for end in (CLIENT, SERVER):
            self.congest(end, False)
        for _ in range(2):
            for end in (CLIENT, SERVER):
                self.leave(end)
                self.arrive(end, ALL, False)
                self.conclude(1 - end)
        self.nothing_follows_the_one_close_frame()
        ends = [end.connection for end in self.halves[0]]
        for one, other in ((0, 1), (1, 0)):
            assert self.accounts[other].received == self.accounts[one].sent
            assert self.accounts[one].fragments or ends[other].retained == 0
            # RFC 6455 section 5.5.3: of several pings the newest may be answered alone; after a close none.
            answered = [pong for pong in self.accounts[one].pongs if not pong.startswith(b"unasked")]
            asked = iter(self.accounts[one].pings)
            assert all(pong in asked for pong in answered)
            if all(end.state is State.OPEN for end in ends):
                assert answered[-1:] == self.accounts[one].pings[-1:]
        assert {end.state for end in ends} in ({State.OPEN}, {State.CLOSING})
        assert all(end.finished is (end.state is State.CLOSING) for end in ends)


class _InPlace:
    """A connection with the two calls of a decoder that is read into."""

    def __init__(self, connection: Any) -> None:
        self.receive = connection.receive
        self.received = connection.received
        self.get_buffer = lambda: connection.get_buffer(64)


TestConversation = Conversation.TestCase
TestConversation.settings = settings(stateful_step_count=60)
