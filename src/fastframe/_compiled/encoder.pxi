# Frames out.

# Pinned by the view, so that the address stays good.
cdef object generation_view = memoryview(masking_keys.generation)
cdef const char *generation = PyByteArray_AS_STRING(masking_keys.generation)

# The compiled twin of masking_keys.MaskingKeys.
ctypedef struct KeySupply:
    PyObject *block         # owned bytes, NULL at first
    size_t left             # bytes of it that are not used up
    uint64_t generation


cdef inline uint32_t new_key(KeySupply *supply) except? 0:
    cdef uint64_t now = 0
    memcpy(&now, generation, 8)
    if supply.left == 0 or supply.generation != now:
        refill_keys(supply)
        supply.generation = now
    supply.left -= 4
    return ff_load32(PyBytes_DATA(supply.block) + supply.left)


cdef int refill_keys(KeySupply *supply) except -1:
    block = masking_keys.take_block()
    Py_XDECREF(supply.block)
    Py_INCREF(block)
    supply.block = <PyObject *>block
    supply.left = <size_t>PyBytes_GET_SIZE(block)
    return 0


# The checks go by the order of the arguments: opcode and fin, payload, masking_key.

cdef int read_first(object opcode, bint fin, bint rsv1, bint rsv2, bint rsv3) except -1:
    """The first byte of the header."""
    cdef int overflow = 0
    cdef long code = PyLong_AsLongAndOverflow(opcode, &overflow)
    if code == -1 and PyErr_Occurred():
        return -1
    if overflow or not 0 <= code < 16 or not FF_IS_OPCODE(<unsigned>code):
        raise _mistakes.unknown_opcode(opcode)
    if FF_IS_CONTROL(<unsigned>code) and not fin:
        raise _mistakes.fragmented_control_frame()
    return (
        <int>code
        | (0x80 if fin else 0)
        | (0x40 if rsv1 else 0)
        | (0x20 if rsv2 else 0)
        | (0x10 if rsv3 else 0)
    )


cdef inline int check_length(int first, uint64_t payload_length) except -1:
    if FF_IS_CONTROL(<unsigned>first) and payload_length > FF_MAX_CONTROL:
        raise _mistakes.control_payload_too_long(payload_length)
    return 0


cdef int open_payload(Source *source, object payload, int first) except -1:
    """Like open_source; a str is read as its UTF-8."""
    if not isinstance(payload, str):
        return open_source(source, payload)
    if first & 0x0F > 1:
        raise _mistakes.str_payload(first & 0x0F)
    if PyUnicode_IS_COMPACT_ASCII(payload):
        source.locked = False
        source.data = <const uint8_t *>PyUnicode_DATA(payload)
        source.size = <size_t>PyUnicode_GET_LENGTH(payload)
        return 0
    # Not PyUnicode_AsUTF8AndSize: it would leave a copy inside the caller's str.
    encoded = PyUnicode_AsUTF8String(payload)
    return lock_source(source, encoded)


def encode_header(opcode, payload_length, *, fin=True, rsv1=False, rsv2=False, rsv3=False, masking_key=None):
    """Write a frame header (RFC 6455 section 5.2).

    Args:
        opcode: an `Opcode`.
        payload_length: bytes of payload that will follow, 0 to 2**63-1.
        fin, rsv1, rsv2, rsv3: the header's bits.
        masking_key: 4 bytes, or None for an unmasked frame. Masking the
            payload is the caller's.

    Returns:
        2 to 14 bytes.

    Raises:
        TypeError: `masking_key` is not bytes-like.
        ValueError: an argument that makes no frame.
    """
    cdef uint8_t header[14]
    cdef int first = read_first(opcode, fin, rsv1, rsv2, rsv3)
    cdef bint masked = masking_key is not None
    cdef uint32_t key = 0
    payload_length = whole(payload_length)
    if not 0 <= payload_length < 0x8000000000000000:
        raise _mistakes.payload_length_out_of_range(payload_length)
    check_length(first, payload_length)
    if masked:
        key = read_key(masking_key, "masking_key")
    cdef size_t size = ff_write_header(header, <uint8_t>first, payload_length, masked, key)
    return PyBytes_FromStringAndSize(<const char *>header, <Py_ssize_t>size)


def encode_frame(opcode, payload=b"", *, fin=True, rsv1=False, rsv2=False, rsv3=False, masking_key=None):
    """Write a frame (RFC 6455 section 5.2).

    Args:
        opcode: an `Opcode`.
        payload: any bytes-like object, or a str in a text or continuation frame.
        fin, rsv1, rsv2, rsv3: the header's bits.
        masking_key: 4 bytes to mask the payload with, or None for an unmasked
            frame. A client has to take a new unpredictable key for each frame
            (RFC 6455 section 5.3): `FrameEncoder` does.

    Returns:
        The frame's bytes.

    Raises:
        TypeError: `payload` or `masking_key` is of a wrong type.
        ValueError: an argument that makes no frame.
    """
    cdef Source source
    cdef int first = read_first(opcode, fin, rsv1, rsv2, rsv3)
    cdef bint masked = masking_key is not None
    cdef uint32_t key = 0
    open_payload(&source, payload, first)
    try:
        check_length(first, source.size)
        if masked:
            key = read_key(masking_key, "masking_key")
        size = <Py_ssize_t>(ff_header_size(source.size, masked) + source.size)
        frame = PyBytes_FromStringAndSize(NULL, size)
        write_frame(<uint8_t *>PyBytes_AS_STRING(frame), first, &source, masked, key)
    finally:
        close_source(&source)
    return frame


cdef inline size_t write_frame(
    uint8_t *p, int first, const Source *source, bint masked, uint32_t key
) noexcept:
    cdef size_t size = ff_write_header(p, <uint8_t>first, source.size, masked, key)
    if masked:
        kernels.mask(p + size, source.data, source.size, key)
    elif source.size:
        memcpy(p + size, source.data, source.size)
    return size + source.size


@cython.final
cdef class FrameEncoder:
    """Appends frames to an output buffer that it owns.

    It belongs to one thread at a time.

    Args:
        role: which end we are; a client masks each frame with a new key from
            `masking_keys`, a server does not mask (RFC 6455 section 5.1).

    ``len(encoder)`` is the number of bytes that wait to be taken.
    """

    cdef bint masked
    cdef KeySupply keys
    cdef Landing output
    cdef size_t expected    # bytes that the last buffer held: the next may be like it

    def __init__(self, role):
        check_role(role)
        self.masked = role is Role.CLIENT

    def __dealloc__(self):
        landing_clear(&self.output)
        Py_XDECREF(self.keys.block)

    def __len__(self):
        return self.output.size

    def append(self, opcode, payload=b"", fin=True, rsv1=False, rsv2=False, rsv3=False):
        """Append a frame.

        Args:
            opcode: an `Opcode`.
            payload: any bytes-like object, or a str in a text or continuation
                frame; copied (and masked, in a client) into the buffer.
            fin, rsv1, rsv2, rsv3: the header's bits.

        Raises:
            TypeError: `payload` is of a wrong type.
            ValueError: an argument that makes no frame. Nothing was appended.
        """
        self.append_frame(read_first(opcode, fin, rsv1, rsv2, rsv3), payload)

    def append_message(self, message):
        """Append a message in one frame.

        Args:
            message: a str as text, anything bytes-like as binary; copied (and
                masked, in a client) into the buffer.

        Returns:
            How many bytes wait to be taken.

        Raises:
            TypeError: `message` is neither. Nothing was appended.
        """
        self.append_frame(0x81 if isinstance(message, str) else 0x82, message)
        return self.output.size

    def append_encoded(self, data):
        """Append bytes that are frames already.

        Args:
            data: any bytes-like object; copied into the buffer, but for bytes
                that nothing else is taken with.
        """
        cdef Source source
        if self.output.size == 0 and PyBytes_CheckExact(data):
            landing_adopt(&self.output, data)
            return
        open_source(&source, data)
        try:
            if source.size:
                self.reserve(source.size)
                memcpy(self.output.data + self.output.size, source.data, source.size)
                self.output.size += source.size
        finally:
            close_source(&source)

    def take(self):
        """Take all that was appended.

        Returns:
            The bytes, which are the caller's; the encoder is empty then.
        """
        self.expected = min(self.output.size, <size_t>65536)
        return landing_take(&self.output)

    cdef int append_frame(self, int first, object payload) except -1:
        cdef Source source
        cdef uint32_t key = 0
        cdef uint8_t *end
        open_payload(&source, payload, first)
        try:
            check_length(first, source.size)
            # Before room is made: fetching keys runs code of Python's, which may come back to this encoder.
            if self.masked:
                key = new_key(&self.keys)
            self.reserve(ff_header_size(source.size, self.masked) + source.size)
            end = self.output.data + self.output.size
            self.output.size += write_frame(end, first, &source, self.masked, key)
        finally:
            close_source(&source)
        return 0

    cdef inline int reserve(self, size_t size) except -1:
        cdef size_t wanted = self.output.size + size
        if wanted <= self.output.capacity:
            return 0
        return landing_resize(&self.output, max(wanted, max(2 * self.output.size, self.expected)))
