# The frame headers that came last: `last_frames`. No payload and no masking key is among them.

cdef enum:
    RECORDED = 8


ctypedef struct Recorder:
    uint64_t lengths[RECORDED]
    uint8_t firsts[RECORDED]
    uint64_t count            # of all headers so far; the next one's place, modulo RECORDED
    # The last message in fragments: `count` at its first frame and at its last, 0 before.
    uint64_t opened_at
    uint64_t ended_at
    uint64_t opening_length
    uint8_t opening_first
    uint8_t refused_bits      # that told the length of the header which ended it all; 0 before


cdef inline void record_header(Recorder *recorder, const ff_header *header) noexcept:
    cdef size_t place = recorder.count % RECORDED
    recorder.lengths[place] = header.payload_length
    recorder.firsts[place] = header.first
    recorder.count += 1


cdef inline void record_fragment(Recorder *recorder, const ff_header *header) noexcept:
    """The header recorded last is in its place as a frame of a message."""
    cdef bint is_first = header.first & 0x0F
    cdef bint is_last = header.first & FF_FIN
    if is_first and not is_last:
        recorder.opened_at = recorder.count
        recorder.opening_length = header.payload_length
        recorder.opening_first = header.first
    elif is_last and not is_first:
        recorder.ended_at = recorder.count


cdef void record_refusal(Recorder *recorder, int why, const ff_header *header) noexcept:
    """A header is refused: of its length as much counts as was read until then."""
    recorder.refused_bits = 7
    if why == FF_LENGTH_NOT_MINIMAL_16:
        recorder.refused_bits = 16
    elif why == FF_LENGTH_TOP_BIT or why == FF_LENGTH_NOT_MINIMAL_64:
        recorder.refused_bits = 64
    elif why == FF_FRAME_TOO_BIG and header.payload_length >= 126:
        recorder.refused_bits = 16 if header.payload_length < 65536 else 64


cdef tuple recorded_frames(const Recorder *recorder, const ff_header *latest, bint masked):
    # Loaded here and not at the start: few programs ever ask.
    from .recorder import recorded

    cdef uint64_t number = recorder.count - min(recorder.count, <uint64_t>RECORDED)
    cdef list accepted = []
    cdef bint is_under_way = recorder.ended_at < recorder.opened_at
    if 0 < recorder.opened_at <= number and (is_under_way or recorder.ended_at > number):
        accepted.append((recorder.opening_first, recorder.opening_length))
    while number < recorder.count:
        accepted.append((recorder.firsts[number % RECORDED], recorder.lengths[number % RECORDED]))
        number += 1
    cdef tuple refused = None
    if recorder.refused_bits:
        refused = (latest.first, latest.masked != 0, latest.payload_length, recorder.refused_bits)
    return recorded(accepted, masked, refused)
