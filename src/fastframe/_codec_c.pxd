"""What other Cython code may ``cimport`` from the compiled half, free of Python objects.

Pointers are borrowed for the call alone. None of these functions allocates,
fails, or needs the GIL, and none reads or writes a byte outside what it is given.
"""

from libc.stdint cimport uint8_t, uint64_t

ctypedef struct frame_header:
    uint64_t payload_length  # bytes of payload behind the header
    uint8_t masking_key[4]   # zeros if not masked
    uint8_t size             # bytes of the header, 2 to 14
    uint8_t opcode
    bint fin
    bint rsv1
    bint rsv2
    bint rsv3
    bint masked

# Mask or unmask src[0..n) into dst[0..n) (RFC 6455 section 5.3); `offset` bytes
# of the payload came before. dst is src, or the two do not overlap.
cdef void mask_bytes(
    uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *masking_key, size_t offset
) noexcept nogil

# Whether data[0..n) is UTF-8, whole (RFC 3629).
cdef bint valid_utf8(const uint8_t *data, size_t n) noexcept nogil

# Read the frame header that starts data. Returns its size, 0 if more than n
# bytes are needed, or a negative number if RFC 6455 section 5.2 forbids it. The
# rsv bits and the masking, right or wrong, are left to the caller.
cdef int read_header(const uint8_t *data, size_t n, frame_header *header) noexcept nogil
