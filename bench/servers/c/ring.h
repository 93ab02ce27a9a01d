/* The messages to send: different ones, masked (and compressed) beforehand, sent round and round.
 *
 * All frames lie one behind the other, so that a batch of messages is one piece
 * of memory: what is sent costs the generator no more than the system call. */

#ifndef BENCH_RING_H
#define BENCH_RING_H

#include "base.h"
#ifdef WITH_DEFLATE
#include <zlib.h>
#endif

/* Bits of the window that compressed messages need of a server: 4 KiB. */
enum { DEFLATE_WINDOW = 12 };

struct ring {
    size_t slots, size;
    unsigned opcode;
    bool deflate; /* compressed replies are in order */
    bool packed;  /* the messages are compressed */
    unsigned char *payloads; /* slots * size bytes, as the server should see them */
    unsigned char *frames;
    size_t *starts; /* where each frame starts, and where the last one ends */
};

static const unsigned char *ring_payload(const struct ring *ring, size_t slot) {
    return ring->payloads + slot * ring->size;
}

static void ring_read(struct ring *ring, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail("%s: %s", path, strerror(errno));
    size_t size = ring->slots * ring->size;
    ring->payloads = allocate(size);
    if (fread(ring->payloads, 1, size, file) != size || fgetc(file) != EOF) {
        fail("%s does not hold %zu messages of %zu bytes", path, ring->slots, ring->size);
    }
    fclose(file);
}

#ifdef WITH_DEFLATE
/* A message compressed without what came before it (RFC 7692 section 7.2.1), right in any context. */
static size_t ring_compress(const unsigned char *in, size_t length, unsigned char *out, size_t capacity) {
    z_stream stream = {0};
    if (deflateInit2(&stream, 6, Z_DEFLATED, -DEFLATE_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) fail("no deflate");
    stream.next_in = (unsigned char *)in, stream.avail_in = (unsigned)length;
    stream.next_out = out, stream.avail_out = (unsigned)capacity;
    if (deflate(&stream, Z_SYNC_FLUSH) != Z_OK || stream.avail_in) fail("deflate failed");
    size_t size = capacity - stream.avail_out - 4; /* without 00 00 FF FF */
    deflateEnd(&stream);
    return size;
}
#endif

static void ring_build(struct ring *ring) {
    size_t capacity = ring->size + ring->size / 8 + 64;
    unsigned char *packed = allocate(capacity);
    ring->frames = allocate(ring->slots * (capacity + 14));
    ring->starts = allocate((ring->slots + 1) * sizeof *ring->starts);
    uint64_t random = 0x9E3779B97F4A7C15u;
    for (size_t slot = 0; slot < ring->slots; slot++) {
        const unsigned char *payload = ring_payload(ring, slot);
        size_t length = ring->size;
        unsigned first = 0x80 | ring->opcode;
#ifdef WITH_DEFLATE
        if (ring->packed) {
            length = ring_compress(payload, length, packed, capacity);
            payload = packed;
            first |= 0x40; /* RSV1 (RFC 7692 section 6) */
        }
#endif
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        unsigned char *out = ring->frames + ring->starts[slot];
        size_t header = write_header(out, first, 0x80, length);
        memcpy(out + header, &random, 4);
        mask_bytes(out + header + 4, payload, length, out + header, 0);
        ring->starts[slot + 1] = ring->starts[slot] + header + 4 + length;
    }
    free(packed);
}

#endif
