/* reference.h: UTF-8 by RFC 3629's definition, as simple as it can be written. */
#ifndef FASTFRAME_REFERENCE_H
#define FASTFRAME_REFERENCE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The code point that starts p, by RFC 3629's definition: decoded first, then
 * judged by whether it is the shortest form of a scalar value. 0 bytes: invalid. */
static size_t reference_decode(const uint8_t *p, size_t n, uint32_t *code) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xF8 ? 0 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 0;
    if (length == 0 || length > n) return 0;
    *code = length == 1 ? p[0] : p[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        *code = *code << 6 | (p[i] & 0x3F);
    }
    return *code < least[length] || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000) ? 0 : length;
}

static size_t reference_prefix(const uint8_t *p, size_t n) {
    size_t i = 0, length;
    uint32_t code;
    while (i < n && (length = reference_decode(p + i, n - i, &code))) i += length;
    return i;
}

/* Where RFC 3629's grammar leaves no way to go on: n if the text may yet become valid. */
static size_t reference_bad_byte(const uint8_t *p, size_t n) {
    size_t start = reference_prefix(p, n);
    for (size_t end = start + 1; end <= n; end++) {
        uint8_t trial[4];
        size_t have = end - start;
        int possible = 0;
        if (have > 4) return end - 1;
        memcpy(trial, p + start, have);
        /* Continue in every way that matters; A0 and 90 pass where 80 does not. */
        static const uint8_t next[] = {0x80, 0x90, 0xA0};
        for (int i = 0; i < 3 && !possible; i++) {
            uint32_t code;
            for (size_t j = have; j < 4; j++) trial[j] = j == have ? next[i] : 0x80;
            size_t length = reference_decode(trial, 4, &code);
            possible = length > have;
        }
        if (!possible) return end - 1;
    }
    return n;
}

#endif
