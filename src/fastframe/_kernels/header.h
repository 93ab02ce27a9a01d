/* header.h: the frame header (RFC 6455 section 5.2).
 *
 *   byte 0   fin | rsv1 | rsv2 | rsv3 | opcode (4 bits)
 *   byte 1   mask | payload length (7 bits); 126: 2 more bytes of length follow,
 *            127: 8 more, in network byte order
 *   4 bytes  masking key, if mask is 1
 *
 * Lengths from the wire stay unsigned 64-bit numbers; the top bit is refused
 * before any of them is compared with, or added to, anything. */
#ifndef FASTFRAME_HEADER_H
#define FASTFRAME_HEADER_H

#include "base.h"

#define FF_FIN 0x80
#define FF_RSV 0x70
#define FF_MASKED 0x80
#define FF_MAX_HEADER 14
#define FF_MAX_CONTROL 125

typedef struct {
    uint64_t payload_length;
    uint32_t masking_key; /* as it lies in memory; 0 if not masked, which masks nothing */
    uint8_t first;        /* fin, rsv1-3, opcode */
    uint8_t masked;
    uint8_t size;         /* of the header, bytes */
} ff_header;

/* Why a header is refused: negative, so that a size or 0 ("more bytes") cannot be mistaken for it. */
enum {
    FF_RESERVED_BITS = -1,
    FF_RESERVED_OPCODE = -2,
    FF_FRAGMENTED_CONTROL = -3,
    FF_WRONG_MASK = -4,
    FF_CONTROL_TOO_LONG = -5,
    FF_LENGTH_TOP_BIT = -6,
    FF_LENGTH_NOT_MINIMAL_16 = -7,
    FF_LENGTH_NOT_MINIMAL_64 = -8,
    FF_FRAME_TOO_BIG = -9
};

/* What a decoder expects: which rsv bits, the mask bit where `role_known`, and how much. */
typedef struct {
    uint64_t max_payload_length;
    uint8_t allowed_rsv;
    uint8_t role_known;
    uint8_t mask_bit; /* FF_MASKED or 0 */
} ff_expectation;

#define FF_IS_CONTROL(opcode) ((opcode) & 8)
/* A bit for each opcode that RFC 6455 defines: 0-2 and 8-10. */
#define FF_IS_OPCODE(opcode) (0x0707u >> (opcode) & 1)

FF_INLINE uint64_t ff_big_endian(const uint8_t *p, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) value = value << 8 | p[i];
    return value;
}

/* Reads the header that starts p. Returns its size; 0 if more than n bytes are
 * needed to judge it; or why it is refused, as soon as the bytes that make it
 * so are there, with what was read up to then in `out`. */
FF_INLINE int ff_parse_header(const uint8_t *p, size_t n, const ff_expectation *expect, ff_header *out) {
    if (n < 2) return 0;
    uint8_t first = p[0], second = p[1], opcode = first & 0x0F, length7 = second & 0x7F;
    out->first = first;
    out->masked = second >> 7;
    out->payload_length = length7;
    if (FF_UNLIKELY(first & FF_RSV & ~expect->allowed_rsv)) return FF_RESERVED_BITS;
    if (FF_UNLIKELY(!FF_IS_OPCODE(opcode))) return FF_RESERVED_OPCODE;
    if (FF_UNLIKELY(FF_IS_CONTROL(opcode) && !(first & FF_FIN))) return FF_FRAGMENTED_CONTROL;
    if (FF_UNLIKELY(expect->role_known && (second & FF_MASKED) != expect->mask_bit)) return FF_WRONG_MASK;
    if (FF_UNLIKELY(FF_IS_CONTROL(opcode) && length7 > FF_MAX_CONTROL)) return FF_CONTROL_TOO_LONG;
    size_t size = 2;
    if (length7 == 126) {
        if (n < 4) return 0;
        out->payload_length = ff_big_endian(p + 2, 2);
        /* RFC 6455 section 5.2: "the minimal number of bytes MUST be used". */
        if (FF_UNLIKELY(out->payload_length < 126)) return FF_LENGTH_NOT_MINIMAL_16;
        size = 4;
    } else if (length7 == 127) {
        if (n < 10) return 0;
        out->payload_length = ff_big_endian(p + 2, 8);
        if (FF_UNLIKELY(out->payload_length >> 63)) return FF_LENGTH_TOP_BIT;
        if (FF_UNLIKELY(out->payload_length < 65536)) return FF_LENGTH_NOT_MINIMAL_64;
        size = 10;
    }
    if (FF_UNLIKELY(out->payload_length > expect->max_payload_length)) return FF_FRAME_TOO_BIG;
    out->masking_key = 0;
    if (second & FF_MASKED) {
        if (n < size + 4) return 0;
        out->masking_key = ff_load32(p + size);
        size += 4;
    }
    out->size = (uint8_t)size;
    return (int)size;
}

/* Bytes that ff_write_header writes for this payload. */
FF_INLINE size_t ff_header_size(uint64_t payload_length, int masked) {
    return (payload_length < 126 ? 2 : payload_length < 65536 ? 4 : 10) + (masked ? 4u : 0u);
}

/* Writes the header and returns its size, ff_header_size(payload_length, masked). */
FF_INLINE size_t ff_write_header(uint8_t *p, uint8_t first, uint64_t payload_length, int masked, uint32_t key) {
    uint8_t mask_bit = masked ? FF_MASKED : 0;
    size_t size = 2;
    p[0] = first;
    if (payload_length < 126) {
        p[1] = (uint8_t)(mask_bit | payload_length);
    } else if (payload_length < 65536) {
        p[1] = mask_bit | 126;
        p[2] = (uint8_t)(payload_length >> 8);
        p[3] = (uint8_t)payload_length;
        size = 4;
    } else {
        p[1] = mask_bit | 127;
        for (int i = 0; i < 8; i++) p[2 + i] = (uint8_t)(payload_length >> (56 - 8 * i));
        size = 10;
    }
    if (masked) {
        ff_store32(p + size, key);
        size += 4;
    }
    return size;
}

#endif
