/* Every kernel that this machine can run, against the simplest reference.
 *
 * Buffers end (or start) at a page that may not be touched, so that a single
 * byte read or written outside kills the process. Wire cases come on standard
 * input from run.py, a line each:
 *   utf8 HEX VALID           VALID: bytes of whole, valid code points at the start, or -1 for all
 *   header HEX SIZE LENGTH   SIZE 0: more bytes needed; negative: refused
 * Prints the number of checks and exits 0, or says what failed and exits 1. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu.h"
#include "header.h"
#include "reference.h"

static unsigned long checks;
static const ff_kernels *kernel;

#define EXPECT(condition, ...)                                                 \
    do {                                                                       \
        checks++;                                                              \
        if (!(condition)) {                                                    \
            printf("%s: %s:%d: %s: ", kernel ? kernel->name : "-", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                               \
            printf("\n");                                                      \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

static uint64_t seed = 88172645463325252u;
static uint32_t random32(void) { /* xorshift64: G. Marsaglia, Xorshift RNGs, 2003 */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

/* `size` bytes, a multiple of the page, between two pages that may not be touched. */
static uint8_t *guarded(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *p = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + page, size, PROT_READ | PROT_WRITE)) abort();
    return p + page;
}

enum { ROOM = 65536 };

static void check_mask(uint8_t *dst, const uint8_t *src, const uint8_t *original, size_t n, uint32_t key) {
    uint8_t bytes[4], seen = 0;
    memcpy(bytes, &key, 4);
    int high = kernel->mask(dst, src, n, key);
    for (size_t i = 0; i < n; i++) {
        uint8_t expected = original[i] ^ bytes[i & 3];
        seen |= expected;
        if (dst[i] != expected) EXPECT(0, "byte %zu of %zu is %02x, not %02x", i, n, dst[i], expected);
    }
    EXPECT((high != 0) == (seen >= 0x80), "n %zu", n);
}

static void test_mask(uint8_t *a, uint8_t *b) {
    static uint8_t original[1024];
    for (int ascii = 0; ascii < 2; ascii++) {
        uint32_t key = ascii ? 0x01020304u : random32();
        for (size_t n = 0; n <= 300; n++) {
            for (size_t i = 0; i < n; i++) original[i] = (uint8_t)(ascii ? random32() & 0x7F : random32());
            if (ascii && n) original[random32() % n] ^= (uint8_t)(random32() & 1 ? 0x80 : 0); /* one bad, or none */
            for (size_t offset = 0; offset < 64; offset++) {
                uint8_t *start = a + offset, *end = b + ROOM - n - offset;
                memcpy(start, original, n);
                b[ROOM - 1 - offset + (offset ? 1 : 0)] = 0x5A;
                check_mask(end, start, original, n, key);              /* out of place, forwards */
                if (offset) EXPECT(b[ROOM - offset] == 0x5A, "wrote behind dst, n %zu", n);
                memcpy(end, original, n);
                check_mask(start, end, original, n, key);              /* and backwards */
                memcpy(end, original, n);
                check_mask(end, end, original, n, key);                /* in place, at the guard */
                memcpy(start, original, n);
                check_mask(start, start, original, n, key);            /* in place, at the other one */
            }
        }
    }
    for (size_t n = 301; n <= 1024; n += 61) { /* long loops, all alignments */
        for (size_t i = 0; i < n; i++) original[i] = (uint8_t)random32();
        for (size_t offset = 0; offset < 64; offset++) {
            memcpy(a + offset, original, n);
            check_mask(b + ROOM - n, a + offset, original, n, 0x80FF01C3u);
            check_mask(a + offset, a + offset, original, n, 0x80FF01C3u);
        }
    }
}

static void check_utf8(const uint8_t *p, size_t n) {
    size_t prefix = reference_prefix(p, n), bad = reference_bad_byte(p, n);
    size_t got = ff_utf8_prefix(kernel->utf8_valid, p, n);
    EXPECT((got == n) == (prefix == n), "n %zu: %zu, not %zu", n, got, prefix);
    EXPECT(got <= prefix, "n %zu: %zu, not %zu", n, got, prefix);
    unsigned state = FF_UTF8_ACCEPT;
    size_t index = ff_utf8_feed(kernel->utf8_valid, &state, p, n);
    EXPECT(index == bad, "n %zu: bad byte at %zu, not %zu", n, index, bad);
    EXPECT((state == FF_UTF8_REJECT) == (bad < n), "n %zu: state %u", n, state);
    EXPECT((state == FF_UTF8_ACCEPT) == (prefix == n), "n %zu: state %u", n, state);
    size_t cut = n ? random32() % n : 0;
    state = FF_UTF8_ACCEPT;
    index = ff_utf8_feed(kernel->utf8_valid, &state, p, cut);
    if (index == cut && state != FF_UTF8_REJECT) index += ff_utf8_feed(kernel->utf8_valid, &state, p + cut, n - cut);
    EXPECT(index == bad, "n %zu cut at %zu: bad byte at %zu, not %zu", n, cut, index, bad);
}

/* Random valid text of `kinds`, a bit for each length of sequence. */
static size_t write_text(uint8_t *p, size_t room, unsigned kinds) {
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000}, most[4] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    size_t n = 0;
    for (;;) {
        unsigned kind = random32() & 3;
        if (!(kinds >> kind & 1)) continue;
        if (n + kind + 1 > room) return n;
        uint32_t code;
        do {
            code = least[kind] + random32() % (most[kind] - least[kind] + 1);
            if (random32() % 8 == 0) code = random32() & 1 ? least[kind] : most[kind];
            if ((kinds & 16) && kind == 1) code = 0x80 + code % 0x80; /* up to U+00FF only */
        } while (code >= 0xD800 && code < 0xE000);
        if (kind == 0) p[n] = (uint8_t)code;
        else {
            static const uint8_t lead[4] = {0, 0xC0, 0xE0, 0xF0};
            for (unsigned i = kind; i > 0; i--, code >>= 6) p[n + i] = (uint8_t)(0x80 | (code & 0x3F));
            p[n] = (uint8_t)(lead[kind] | code);
        }
        n += kind + 1;
    }
}

static void check_transcode(const uint8_t *p, size_t n, uint8_t *room) {
    static uint32_t codes[ROOM];
    size_t count = 0;
    uint32_t top = 0;
    uint8_t largest, real_largest = 0;
    for (size_t i = 0; i < n; count++) {
        i += reference_decode(p + i, n - i, &codes[count]);
        if (codes[count] > top) top = codes[count];
    }
    for (size_t i = 0; i < n; i++) real_largest = p[i] > real_largest ? p[i] : real_largest;
    EXPECT(kernel->utf8_count(p, n, &largest) == count && largest == real_largest, "n %zu", n);
    if (top < 0x100) {
        uint8_t *out = room + ROOM - count;
        kernel->utf8_to_ucs1(out, p, n);
        for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i], "%zu of %zu: U+%04X", i, count, codes[i]);
    }
    if (top < 0x10000) {
        uint16_t *out = (uint16_t *)(void *)(room + ROOM - 2 * count);
        kernel->utf8_to_ucs2(out, p, n);
        for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i], "%zu of %zu: U+%04X", i, count, codes[i]);
    }
    uint32_t *out = (uint32_t *)(void *)(room + ROOM - 4 * count);
    kernel->utf8_to_ucs4(out, p, n);
    for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i], "%zu of %zu: U+%04X", i, count, codes[i]);
}

static void test_utf8(uint8_t *a, uint8_t *b) {
    static const unsigned kinds[] = {1, 1 | 2 | 16, 3, 4, 1 | 4, 8, 1 | 8, 15};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (size_t size = 0; size <= 300; size++) {
            uint8_t *p = a + ROOM - size; /* behind it: the guard */
            size_t n = write_text(p, size, kinds[k]);
            memmove(a + ROOM - n, p, n);
            p = a + ROOM - n;
            EXPECT(reference_prefix(p, n) == n, "the reference refuses its own text");
            check_utf8(p, n);
            memcpy(a, p, n);
            check_utf8(a, n); /* before it: the guard */
            if (kernel->utf8_count) check_transcode(p, n, b);
            for (int round = 0; n && round < 8; round++) { /* one byte wrong, or the end missing */
                size_t at = random32() % n;
                uint8_t before = p[at];
                p[at] = (uint8_t)random32();
                check_utf8(p, n);
                check_utf8(p, at + 1);
                p[at] = before;
            }
        }
    }
    for (unsigned pair = 0; pair < 65536; pair++) { /* every two bytes, over a block's edge too */
        memset(b, 'a', 160);
        for (size_t at = 30; at < 130; at += 16 + pair % 17) {
            b[at] = (uint8_t)(pair >> 8);
            b[at + 1] = (uint8_t)pair;
            b[at + 2] = b[at + 3] = 0x80;
            check_utf8(b, 160);
            check_utf8(b, at + 2);
            memset(b + at, 'a', 4);
        }
    }
    for (size_t n = 16300; n < 16500; n += 7) { /* the stretches of ff_utf8_prefix */
        size_t size = write_text(a, n, 15);
        check_utf8(a, size);
        a[size / 2] ^= 0xFF;
        check_utf8(a, size);
    }
    memset(b, 0xF1, ROOM); /* nothing but lead bytes */
    check_utf8(b, ROOM);
}

/* Code points that are cut short, each by the next, for as long as a stretch of ff_utf8_prefix and longer. */
static void test_rows(uint8_t *a) {
    static const char *const units[] = {"\xC0", "\xC3", "\xE0", "\xED", "\xF1", "\xFF",
                                        "\xE1\x80", "\xF1\x80", "\xF1\x80\x80", "\xC3\xF1\x80\xE1"};
    static const char *const ends[] = {"", "a", "\x80", "\xA9\xA9\xA9", "abc\xC3"};
    alarm(300); /* what never returns is to fail */
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (size_t stretches = 1; stretches <= 3; stretches++) {
            for (size_t row = stretches * FF_UTF8_STRETCH - 4; row <= stretches * FF_UTF8_STRETCH + 4; row++) {
                for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
                    size_t before = random32() % 3, size = strlen(ends[e]), n = before + row + size;
                    uint8_t *p = a + ROOM - n;
                    memset(p, 'a', before);
                    for (size_t i = 0; i < row; i++) p[before + i] = (uint8_t)units[u][i % strlen(units[u])];
                    memcpy(p + before + row, ends[e], size);
                    check_utf8(p, n);
                }
            }
        }
    }
    alarm(0);
}

static size_t read_hex(const char *hex, uint8_t *out) {
    size_t n = 0;
    unsigned byte;
    for (; sscanf(hex, "%2x", &byte) == 1 && *hex != '-'; hex += 2) out[n++] = (uint8_t)byte;
    return n;
}

static void test_vectors(uint8_t *a) {
    static char line[1 << 19], hex[1 << 18];
    static uint8_t bytes[1 << 17];
    const ff_expectation anything = {UINT64_MAX, 0x70, 0, 0};
    unsigned long cases = 0;
    while (fgets(line, sizeof line, stdin)) {
        long expected;
        unsigned long long length;
        if (sscanf(line, "utf8 %262143s %ld", hex, &expected) == 2) {
            size_t n = read_hex(hex, bytes);
            for (size_t k = 0; k < FF_KERNEL_COUNT; k++) {
                kernel = &ff_all_kernels[k];
                if (!kernel->supported()) continue;
                memcpy(a + ROOM - n, bytes, n);
                unsigned state = FF_UTF8_ACCEPT;
                size_t at = ff_utf8_feed(kernel->utf8_valid, &state, a + ROOM - n, n);
                EXPECT(at == (expected < 0 ? n : (size_t)expected), "%s", line);
                check_utf8(a + ROOM - n, n);
            }
        } else if (sscanf(line, "header %262143s %ld %llu", hex, &expected, &length) == 3) {
            size_t n = read_hex(hex, bytes);
            ff_header header;
            memcpy(a + ROOM - n, bytes, n);
            int size = ff_parse_header(a + ROOM - n, n, &anything, &header);
            EXPECT(expected < 0 ? size < 0 : size == expected, "%s gives %d", line, size);
            if (size > 0) {
                uint8_t again[FF_MAX_HEADER];
                EXPECT(header.payload_length == length, "%s", line);
                EXPECT(ff_write_header(again, header.first, length, header.masked, header.masking_key) == n &&
                           memcmp(again, bytes, n) == 0, "%s", line);
                for (size_t cut = 0; cut < n; cut++)
                    EXPECT(ff_parse_header(a + ROOM - n, cut, &anything, &header) == 0, "%s", line);
            }
        } else {
            EXPECT(0, "cannot read the line %s", line);
        }
        cases++;
    }
    kernel = NULL;
    EXPECT(cases > 50, "%lu cases on standard input", cases);
}

int main(void) {
    uint8_t *a = guarded(ROOM), *b = guarded(ROOM);
    for (size_t k = 0; k < FF_KERNEL_COUNT; k++) {
        kernel = &ff_all_kernels[k];
        if (!kernel->supported()) {
            printf("%s: this processor cannot run it\n", kernel->name);
            continue;
        }
        unsigned long before = checks;
        test_mask(a, b);
        test_utf8(a, b);
        test_rows(a);
        EXPECT(ff_choose_kernels(kernel->name) == kernel, "not chosen by its name");
        printf("%s: %lu checks\n", kernel->name, checks - before);
    }
    kernel = NULL;
    EXPECT(ff_choose_kernels("no such kernel") == NULL, "chosen");
    EXPECT(ff_choose_kernels(NULL) != NULL, "none chosen");
    test_vectors(a);
    printf("%lu checks\n", checks);
    return 0;
}
