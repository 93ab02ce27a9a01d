# What _codec_c.pxd offers to other Cython code.

cdef void mask_bytes(
    uint8_t *dst, const uint8_t *src, size_t n, const uint8_t *masking_key, size_t offset
) noexcept nogil:
    kernels.mask(dst, src, n, ff_key_at(ff_load32(masking_key), offset))


cdef bint valid_utf8(const uint8_t *data, size_t n) noexcept nogil:
    return ff_utf8_prefix(kernels.utf8_valid, data, n) == n


cdef int read_header(const uint8_t *data, size_t n, frame_header *header) noexcept nogil:
    cdef ff_header parsed
    cdef ff_expectation expect
    expect.max_payload_length = UINT64_MAX
    expect.allowed_rsv = 0x70
    expect.role_known = False
    expect.mask_bit = 0
    cdef int size = ff_parse_header(data, n, &expect, &parsed)
    if size > 0:
        header.payload_length = parsed.payload_length
        memcpy(header.masking_key, &parsed.masking_key, 4)
        header.size = parsed.size
        header.opcode = parsed.first & 0x0F
        header.fin = parsed.first & 0x80 != 0
        header.rsv1 = parsed.first & 0x40 != 0
        header.rsv2 = parsed.first & 0x20 != 0
        header.rsv3 = parsed.first & 0x10 != 0
        header.masked = parsed.masked
    return size
