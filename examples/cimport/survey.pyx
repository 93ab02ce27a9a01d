# cython: language_level=3, boundscheck=False, wraparound=False
"""Counts what a client has sent, without making a Python object of any frame."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

from fastframe._codec_c cimport frame_header, mask_bytes, read_header, valid_utf8

cdef enum:
    TEXT = 1  # the opcode (RFC 6455 section 5.2)

cdef struct Counts:
    size_t frames
    size_t payload_bytes
    size_t invalid_texts


cdef int count_frames(const uint8_t *data, size_t size, uint8_t *scratch, Counts *counts) noexcept nogil:
    """Walk over whole frames; -1 at one that RFC 6455 forbids. `scratch` has room for `size` bytes."""
    cdef frame_header header
    cdef int header_size
    while size:
        header_size = read_header(data, size, &header)
        if header_size < 0:
            return -1
        # Compared this way round, no length on the wire can overflow the sum.
        if header_size == 0 or header.payload_length > size - <size_t>header_size:
            return 0
        data += header_size
        size -= header_size
        if header.opcode == TEXT and header.fin:
            mask_bytes(scratch, data, header.payload_length, header.masking_key, 0)
            counts.invalid_texts += not valid_utf8(scratch, header.payload_length)
        counts.frames += 1
        counts.payload_bytes += header.payload_length
        data += header.payload_length
        size -= header.payload_length
    return 0


def survey(bytes data not None):
    """Return the number of whole frames in `data`, their bytes of payload, and the bad texts.

    Only texts in a single frame are validated; an unfinished frame at the end is left out.

    Raises:
        ValueError: `data` is no sequence of frames.
    """
    cdef Counts counts = Counts(0, 0, 0)
    cdef const uint8_t *start = data
    cdef size_t size = len(data)
    cdef uint8_t *scratch = <uint8_t *>malloc(size + 1)  # of 0 bytes, NULL might be the right answer
    if scratch == NULL:
        raise MemoryError
    cdef int result
    with nogil:
        result = count_frames(start, size, scratch, &counts)
    free(scratch)
    if result < 0:
        raise ValueError(f"frame {counts.frames} breaks RFC 6455")
    return counts.frames, counts.payload_bytes, counts.invalid_texts
