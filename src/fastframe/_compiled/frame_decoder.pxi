# Bytes in, frames out.

cdef size_t checked_size(object size, size_t available) except? 0:
    """How many of the `available` bytes count."""
    size = whole(size)
    if not 0 <= size <= available:
        raise _mistakes.size_out_of_range(size, available)
    return size


cdef object with_decoded(object error, list decoded):
    """`error`, to be raised, with what the same call had decoded before it."""
    if isinstance(error, ProtocolError):
        error.decoded = decoded
    return error


cdef object again(object error):
    """`error`, to be raised once more, by a call that decodes nothing."""
    # Each raise would add to the traceback that it has already.
    return with_decoded(error, []).with_traceback(None)


@cython.final
cdef class FrameDecoder:
    """Turns the bytes of a connection into frames, however they are cut.

    Fragments are not joined and text is not validated: see `MessageDecoder`.
    It belongs to one thread at a time.

    Args:
        role: which end we are; a server takes masked frames only, a client
            unmasked ones only (RFC 6455 section 5.1).
        max_frame_size: bytes of payload in a frame at most; None for no limit.
        rsv1, rsv2, rsv3: whether a negotiated extension defines the bit.

    Attributes:
        error: the exception that ended decoding, or None.
        retained: bytes held of an unfinished frame.
    """

    cdef ff_expectation expect
    cdef ff_header header       # of the frame under way
    cdef HeaderBuffer kept
    cdef Landing landing
    cdef uint64_t missing       # bytes of payload still to come
    cdef bint in_payload
    cdef bint busy
    cdef readonly object error

    def __init__(self, role, *, max_frame_size=_DEFAULT_MAX_MESSAGE_SIZE, rsv1=False, rsv2=False, rsv3=False):
        check_role(role)
        read_expectation(
            &self.expect,
            role,
            read_limit(max_frame_size, "max_frame_size"),
            (0x40 if rsv1 else 0) | (0x20 if rsv2 else 0) | (0x10 if rsv3 else 0),
        )

    def __dealloc__(self):
        landing_clear(&self.landing)

    @property
    def retained(self):
        return self.kept.size + self.landing.size + (self.header.size if self.in_payload else 0)

    def receive(self, data, size=None):
        """Decode the next bytes.

        Args:
            data: any bytes-like object; it is not kept.
            size: how many of its bytes count; all if None.

        Returns:
            A list of `Frame`, those that `data` completed; payloads are unmasked.

        Raises:
            ProtocolError: the peer broke RFC 6455 section 5; `decoded` has
                the frames before the violation. Raised again by later calls.
            TypeError: `data` is not bytes-like.
            ValueError: `size` is out of range.
        """
        cdef Source source
        cdef list frames = []
        cdef size_t available
        if self.error is not None:
            raise again(self.error)
        if self.busy:
            raise _mistakes.reentered()
        open_source(&source, data)
        try:
            available = source.size if size is None else checked_size(size, source.size)
            self.busy = True
            self.decode(source.data, available, frames)
        except BaseException as error:
            if self.busy:
                self.error = error
                self.in_payload = False
                landing_clear(&self.landing)
                raise with_decoded(error, frames)
            raise
        finally:
            self.busy = False
            close_source(&source)
        return frames

    cdef int decode(self, const uint8_t *p, size_t n, list frames) except -1:
        cdef size_t used = 0, take
        cdef int size
        while n:
            if not self.in_payload:
                size = next_header(&self.kept, p, n, &self.expect, &self.header, &used)
                if size < 0:
                    raise header_violation(size, &self.header, &self.expect)
                p += used
                n -= used
                if size == 0:
                    return 0
                self.in_payload = True
                self.missing = self.header.payload_length
            take = <size_t>min(<uint64_t>n, self.missing)
            if take:
                landing_reserve(&self.landing, take, self.missing, True)
                kernels.mask(self.landing.data + self.landing.size, p, take, self.header.masking_key)
                self.header.masking_key = ff_key_at(self.header.masking_key, take)
                self.landing.size += take
                self.missing -= take
                p += take
                n -= take
            if self.missing == 0:
                self.in_payload = False
                frames.append(self.finished_frame())
        return 0

    cdef object finished_frame(self):
        cdef uint8_t first = self.header.first
        return make_tuple(
            Frame,
            (
                OPCODES[first & 0x0F],
                landing_take(&self.landing),
                first & 0x80 != 0,
                first & 0x40 != 0,
                first & 0x20 != 0,
                first & 0x10 != 0,
            ),
        )
