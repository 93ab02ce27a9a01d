"""UTF-8 as the grammar of RFC 3629 section 4 spells it, a byte at a time."""

from __future__ import annotations

Pending = tuple[range, ...]

TAIL = range(0x80, 0xC0)

# (lead bytes, what must follow), in the order of the grammar.
GRAMMAR: list[tuple[range, Pending]] = [
    (range(0x80), ()),
    (range(0xC2, 0xE0), (TAIL,)),
    (range(0xE0, 0xE1), (range(0xA0, 0xC0), TAIL)),
    (range(0xE1, 0xED), (TAIL, TAIL)),
    (range(0xED, 0xEE), (range(0x80, 0xA0), TAIL)),
    (range(0xEE, 0xF0), (TAIL, TAIL)),
    (range(0xF0, 0xF1), (range(0x90, 0xC0), TAIL, TAIL)),
    (range(0xF1, 0xF4), (TAIL, TAIL, TAIL)),
    (range(0xF4, 0xF5), (range(0x80, 0x90), TAIL, TAIL)),
]

FOLLOWERS: dict[int, Pending] = {lead: follow for leads, follow in GRAMMAR for lead in leads}

ACCEPT, REJECT = 0, 1

# The numbers that wsaccel and Autobahn give to what is still missing.
STATES: dict[Pending, int] = {
    (): ACCEPT,
    (TAIL,): 2,
    (TAIL, TAIL): 3,
    (range(0xA0, 0xC0), TAIL): 4,
    (range(0x80, 0xA0), TAIL): 5,
    (range(0x90, 0xC0), TAIL, TAIL): 6,
    (TAIL, TAIL, TAIL): 7,
    (range(0x80, 0x90), TAIL, TAIL): 8,
}


def scan(data: bytes) -> tuple[int | None, int]:
    """Return the index of the first byte that cannot be (or None), and the state after `data`."""
    pending: Pending = ()
    for index, byte in enumerate(data):
        if pending:
            if byte not in pending[0]:
                return index, REJECT
            pending = pending[1:]
        elif byte in FOLLOWERS:
            pending = FOLLOWERS[byte]
        else:
            return index, REJECT
    return None, STATES[pending]


def verdict(data: bytes) -> tuple[bool, bool, int, int]:
    """What Utf8Validator.validate promises for `data` as the first chunk."""
    bad, state = scan(data)
    if bad is not None:
        return False, False, bad, bad
    return True, state == ACCEPT, len(data), len(data)
