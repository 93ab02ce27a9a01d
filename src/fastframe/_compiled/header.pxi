# The frame header (RFC 6455 section 5.2).

cdef tuple OPCODES = tuple([Opcode(i) if FF_IS_OPCODE(i) else None for i in range(16)])


cdef object header_violation(int why, const ff_header *header, const ff_expectation *expect):
    """The exception for a header that ff_parse_header refuses."""
    cdef int opcode = header.first & 0x0F
    if why == FF_RESERVED_BITS:
        return _violations.reserved_bits((header.first & 0x70 & ~expect.allowed_rsv) >> 4)
    if why == FF_RESERVED_OPCODE:
        return _violations.reserved_opcode(opcode)
    if why == FF_FRAGMENTED_CONTROL:
        return _violations.fragmented_control_frame(opcode)
    if why == FF_WRONG_MASK:
        return _violations.masked() if header.masked else _violations.not_masked()
    if why == FF_CONTROL_TOO_LONG:
        return _violations.control_frame_too_long(header.payload_length)
    if why == FF_LENGTH_TOP_BIT:
        return _violations.length_top_bit(header.payload_length)
    if why == FF_LENGTH_NOT_MINIMAL_16:
        return _violations.length_not_minimal(header.payload_length, 16)
    if why == FF_LENGTH_NOT_MINIMAL_64:
        return _violations.length_not_minimal(header.payload_length, 64)
    return _violations.frame_too_big(header.payload_length, expect.max_payload_length)


cdef object make_tuple(object cls, tuple values):
    """An instance of a NamedTuple, without the detour through its Python constructor."""
    cdef tuple arguments = (values,)
    return (<PyTypeObject *>tuple).tp_new(cls, <PyObject *>arguments, NULL)


def parse_header(data, offset=0):
    """Read the frame header that starts at `offset` (RFC 6455 section 5.2).

    Args:
        data: any bytes-like object.
        offset: bytes of `data` to skip.

    Returns:
        A `FrameHeader`, or None if more bytes are needed.

    Raises:
        ProtocolError: a header that no extension and no role makes right:
            reserved opcode, control frame fragmented or too long, length with
            its top bit set or not in the fewest bytes. The rsv bits and the
            masking are the caller's to judge.
        TypeError: `data` is not bytes-like.
        ValueError: `offset` is negative.
    """
    cdef Source source
    cdef ff_header header
    cdef ff_expectation expect = ff_expectation(UINT64_MAX, 0x70, False, 0)
    cdef int size = 0
    cdef size_t start
    offset = index(offset)
    if offset < 0:
        raise _mistakes.negative("offset", offset)
    open_source(&source, data)
    try:
        if offset < source.size:
            start = offset
            size = ff_parse_header(source.data + start, source.size - start, &expect, &header)
    finally:
        close_source(&source)
    if size == 0:
        return None
    if size < 0:
        raise header_violation(size, &header, &expect)
    key = PyBytes_FromStringAndSize(<const char *>&header.masking_key, 4) if header.masked else None
    return make_tuple(
        FrameHeader,
        (
            header.first & 0x80 != 0,
            header.first & 0x40 != 0,
            header.first & 0x20 != 0,
            header.first & 0x10 != 0,
            OPCODES[header.first & 0x0F],
            key,
            header.payload_length,
            size,
        ),
    )


# A header that comes in pieces.
ctypedef struct HeaderBuffer:
    uint8_t data[14]  # FF_MAX_HEADER
    uint8_t size


cdef inline int next_header(
    HeaderBuffer *kept, const uint8_t *p, size_t n, const ff_expectation *expect, ff_header *out, size_t *used
) except? -100:
    """Like ff_parse_header, but what earlier calls left in `kept` comes before p.

    `used` is set to the bytes of p that belong to the header, or that were kept.
    """
    cdef size_t before = kept.size
    cdef int size
    if before == 0:
        size = ff_parse_header(p, n, expect, out)
        if size:
            used[0] = <size_t>size
            return size
    n = min(n, FF_MAX_HEADER - before)
    memcpy(kept.data + before, p, n)
    size = ff_parse_header(kept.data, before + n, expect, out)
    if size:
        kept.size = 0
        used[0] = <size_t>size - before
    else:
        kept.size = <uint8_t>(before + n)
        used[0] = n
    return size
