/* What the load generator and the limit server share: time, failing, the accept value, masking. */

#ifndef BENCH_BASE_H
#define BENCH_BASE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static _Noreturn void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = calloc(size ? size : 1, 1);
    if (!memory) fail("no memory for %zu bytes", size);
    return memory;
}

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* As many descriptors as the system lets this process have. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void base64(const unsigned char *data, size_t length, char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < length; at += 3) {
        unsigned value = 0;
        for (size_t byte = at; byte < at + 3; byte++) value = value << 8 | (byte < length ? data[byte] : 0);
        for (size_t digit = 0; digit < 4; digit++) {
            *text++ = at + digit > length ? '=' : digits[value >> (18 - 6 * digit) & 63];
        }
    }
    *text = 0;
}

static uint32_t rotated(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* One block of SHA-1 (FIPS 180-4 section 6.1.2). */
static void sha1_block(uint32_t state[5], const unsigned char *block) {
    uint32_t words[80];
    for (int word = 0; word < 16; word++) {
        const unsigned char *bytes = block + 4 * word;
        words[word] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    }
    for (int word = 16; word < 80; word++) {
        words[word] = rotated(words[word - 3] ^ words[word - 8] ^ words[word - 14] ^ words[word - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int word = 0; word < 80; word++) {
        uint32_t mix = word < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                       : word < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                       : word < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                   : (b ^ c ^ d) + 0xCA62C1D6;
        uint32_t next = rotated(a, 5) + mix + e + words[word];
        e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Sec-WebSocket-Accept for a Sec-WebSocket-Key of 24 characters (RFC 6455 section 4.2.2, 5.4). */
static void accept_value(const char *key, char text[29]) {
    unsigned char blocks[128] = {0}, digest[20];
    memcpy(blocks, key, 24);
    memcpy(blocks + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
    blocks[60] = 0x80;
    blocks[126] = 60 * 8 >> 8, blocks[127] = (unsigned char)(60 * 8 & 0xFF);
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    sha1_block(state, blocks);
    sha1_block(state, blocks + 64);
    for (int byte = 0; byte < 20; byte++) digest[byte] = (unsigned char)(state[byte / 4] >> (24 - 8 * (byte % 4)));
    base64(digest, 20, text);
}

/* The value of a header field in a request or a response that ends in a NUL, or NULL; its length into *length. */
static const char *header_field(const char *head, const char *name, size_t *length) {
    size_t size = strlen(name);
    for (const char *line = head; (line = strstr(line, "\r\n")) != NULL;) {
        line += 2;
        if (strncasecmp(line, name, size) != 0 || line[size] != ':') continue;
        const char *value = line + size + 1;
        while (*value == ' ') value++;
        *length = strcspn(value, "\r\n");
        return value;
    }
    return NULL;
}

/* The header of an unfragmented frame (RFC 6455 section 5.2) without its masking key; returns 2, 4 or 10. */
static size_t write_header(unsigned char *out, unsigned first, unsigned mask_bit, uint64_t length) {
    out[0] = (unsigned char)first;
    if (length < 126) {
        out[1] = (unsigned char)(mask_bit | length);
        return 2;
    }
    size_t size = length < 65536 ? 2 : 8;
    out[1] = (unsigned char)(mask_bit | (size == 2 ? 126 : 127));
    for (size_t byte = 0; byte < size; byte++) out[2 + byte] = (unsigned char)(length >> 8 * (size - 1 - byte));
    return 2 + size;
}

/* Mask or unmask (section 5.3); `offset` is how many bytes of this payload are done. May be in place. */
static void mask_bytes(unsigned char *out, const unsigned char *in, size_t length, const unsigned char key[4],
                       uint64_t offset) {
    unsigned char turned[8];
    for (unsigned byte = 0; byte < 8; byte++) turned[byte] = key[(offset + byte) & 3];
    uint64_t wide;
    memcpy(&wide, turned, 8);
    size_t at = 0;
    for (; at + 8 <= length; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= wide;
        memcpy(out + at, &word, 8);
    }
    for (; at < length; at++) out[at] = in[at] ^ turned[at & 7];
}

#endif
