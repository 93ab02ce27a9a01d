/* Takes a server's frames apart and checks every byte, as they come, without keeping any. */

#ifndef BENCH_REPLIES_H
#define BENCH_REPLIES_H

#include "base.h"
#include "ring.h"

/* The frame that is coming in. */
struct reply {
    unsigned char header[10];
    unsigned header_size; /* bytes of the header that have come */
    bool in_payload;
    unsigned opcode;
    bool compressed;
    uint64_t length, at;
    unsigned char control[125];
#ifdef WITH_DEFLATE
    z_stream inflater;
    unsigned char *packed, *unpacked;
    size_t capacity;
#endif
};

#ifdef WITH_DEFLATE
static void reply_start_inflating(struct reply *reply, size_t size) {
    if (inflateInit2(&reply->inflater, -15) != Z_OK) fail("no inflate");
    reply->capacity = size + size / 8 + 64;
    reply->packed = allocate(reply->capacity + 4);
    reply->unpacked = allocate(size + 1);
}

static void reply_check_compressed(struct reply *reply, const unsigned char *expected, size_t size) {
    z_stream *inflater = &reply->inflater;
    memcpy(reply->packed + reply->length, "\x00\x00\xFF\xFF", 4); /* RFC 7692 section 7.2.2 */
    inflater->next_in = reply->packed, inflater->avail_in = (unsigned)reply->length + 4;
    inflater->next_out = reply->unpacked, inflater->avail_out = (unsigned)size + 1;
    int result = inflate(inflater, Z_SYNC_FLUSH);
    if ((result != Z_OK && result != Z_BUF_ERROR) || inflater->avail_in) fail("wrong reply: it does not inflate");
    if (inflater->avail_out != 1) fail("wrong reply: %zu bytes expected after inflating", size);
    if (memcmp(reply->unpacked, expected, size) != 0) fail("wrong reply: other content after inflating");
}
#endif

static unsigned header_length(const unsigned char *header) {
    unsigned length = header[1] & 0x7F;
    return length < 126 ? 2 : length == 126 ? 4 : 10;
}

/* Judges a whole header by RFC 6455 section 5.2 and by what was sent. */
static void reply_begin(struct reply *reply, const struct ring *ring) {
    const unsigned char *header = reply->header;
    uint64_t length = header[1] & 0x7F;
    if (length >= 126) {
        unsigned size = length == 126 ? 2 : 8;
        length = 0;
        for (unsigned byte = 0; byte < size; byte++) length = length << 8 | header[2 + byte];
        if (length < (size == 2 ? 126u : 65536u)) fail("wrong reply: a length not in its shortest form");
    }
    reply->opcode = header[0] & 0x0F;
    reply->compressed = (header[0] & 0x40) != 0;
    if (header[1] & 0x80) fail("wrong reply: a masked frame");
    if (!(header[0] & 0x80) || header[0] & 0x30) fail("wrong reply: first byte 0x%02X", header[0]);
    if (reply->opcode >= CLOSE) {
        if (length > 125 || reply->compressed) fail("wrong reply: a control frame against the rules");
    } else if (reply->opcode != ring->opcode) {
        fail("wrong reply: opcode %u instead of %u", reply->opcode, ring->opcode);
    } else if (reply->compressed && !ring->deflate) {
        fail("wrong reply: compressed, though no compression was agreed on");
    } else if (reply->compressed ? length > ring->size + ring->size / 8 + 64 : length != ring->size) {
        fail("wrong reply: %llu bytes instead of %zu", (unsigned long long)length, ring->size);
    }
    reply->length = length, reply->at = 0;
    reply->in_payload = true;
}

/* Takes bytes of the payload in; returns how many. */
static size_t reply_payload(struct reply *reply, const unsigned char *data, size_t size,
                            const unsigned char *expected) {
    size_t take = reply->length - reply->at < size ? (size_t)(reply->length - reply->at) : size;
    if (reply->opcode >= CLOSE) {
        memcpy(reply->control + reply->at, data, take);
#ifdef WITH_DEFLATE
    } else if (reply->compressed) {
        memcpy(reply->packed + reply->at, data, take);
#endif
    } else if (memcmp(expected + reply->at, data, take) != 0) {
        fail("wrong reply: other content than was sent, within bytes %llu to %llu of a message of %llu",
             (unsigned long long)reply->at, (unsigned long long)(reply->at + take), (unsigned long long)reply->length);
    }
    reply->at += take;
    return take;
}

/* Takes bytes in up to the end of one frame at most.
 *
 * `expected` is the message that has to come next. Returns how many bytes were
 * taken; *finished tells whether a frame, whose opcode is in the reply, is whole. */
static size_t reply_take(struct reply *reply, const struct ring *ring, const unsigned char *expected,
                         const unsigned char *data, size_t size, bool *finished) {
    size_t taken = 0;
    *finished = false;
    while (!reply->in_payload) {
        unsigned need = reply->header_size < 2 ? 2 : header_length(reply->header);
        if (reply->header_size == need && need >= 2) {
            reply_begin(reply, ring);
            break;
        }
        if (taken == size) return taken;
        reply->header[reply->header_size++] = data[taken++];
    }
    taken += reply_payload(reply, data + taken, size - taken, expected);
    if (reply->at == reply->length) {
#ifdef WITH_DEFLATE
        if (reply->compressed) reply_check_compressed(reply, expected, ring->size);
#endif
        reply->in_payload = false;
        reply->header_size = 0;
        *finished = true;
    }
    return taken;
}

#endif
