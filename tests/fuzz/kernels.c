/* libFuzzer targets: every kernel that this machine can run, each against the simplest reference.
 *
 * Build with -DTARGET=mask, utf8, transcode or header. Buffers have exactly the size that a kernel is told, so
 * that AddressSanitizer sees any byte outside. A kernel that is wrong aborts.
 *
 * -DREPLAY adds a main() that runs each file named on its command line once, for a machine without libFuzzer.
 * -DPLANTED_FAULT adds kernels with a fault of their own, to show that these targets find it. */
#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"
#include "header.h"
#include "../kernels/reference.h"

#define EXPECT(condition)                                                               \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, kernel_name, #condition); \
            abort();                                                                    \
        }                                                                               \
    } while (0)

static const char *kernel_name = "-";

/* Memory of its own for `size` bytes; with none of it, a pointer that must not be read. */
static uint8_t *copied(const uint8_t *data, size_t size) {
    uint8_t *memory = malloc(size);
    if (memory == NULL && size) abort();
    if (size) memcpy(memory, data, size);
    return memory;
}

typedef struct {
    const uint8_t *data;
    size_t size;
} input;

static uint8_t next_byte(input *in) {
    if (in->size == 0) return 0;
    in->size--;
    return *in->data++;
}

static size_t next_below(input *in, size_t limit) {
    size_t high = next_byte(in);
    return (high << 8 | next_byte(in)) % limit;
}

#ifdef PLANTED_FAULT
/* The first reads a byte too far where the size is a multiple of 16; the second forgets the key behind 40 bytes. */
static int planted_valid(const uint8_t *p, size_t n) {
    volatile uint8_t seen = n >= 16 && n % 16 == 0 ? p[n] : 0;
    (void)seen;
    return ff_utf8_valid_portable(p, n);
}
static int planted_mask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    int high = ff_mask_portable(dst, src, n, key);
    if (n > 40) dst[n - 1] = src[n - 1];
    return high;
}
static const ff_kernels planted = {"planted", ff_always, planted_mask, planted_valid, NULL, NULL, NULL, NULL};
#endif

static const ff_kernels *kernel_at(size_t place) {
#ifdef PLANTED_FAULT
    if (place == FF_KERNEL_COUNT) return &planted;
#endif
    return place < FF_KERNEL_COUNT ? &ff_all_kernels[place] : NULL;
}

static void fuzz_mask(const ff_kernels *kernel, input in) {
    uint8_t key_bytes[4], seen = 0;
    for (int i = 0; i < 4; i++) key_bytes[i] = next_byte(&in);
    uint32_t key = ff_load32(key_bytes);
    size_t before = next_byte(&in) % 64, cut = next_below(&in, 65536), n = in.size;
    cut = n ? cut % n : 0;
    uint8_t *expected = copied(in.data, n), *room = malloc(before + n), *out = malloc(before + n);
    if (room == NULL || out == NULL) {
        if (before + n) abort();
    }
    for (size_t i = 0; i < n; i++) {
        expected[i] ^= key_bytes[i & 3];
        seen |= expected[i];
    }
    uint8_t *src = room + before, *dst = out + before;
    if (n) memcpy(src, in.data, n);
    int high = kernel->mask(dst, src, n, key);
    EXPECT((high != 0) == (seen >= 0x80));
    EXPECT(n == 0 || memcmp(dst, expected, n) == 0);
    EXPECT(n == 0 || memcmp(src, in.data, n) == 0);
    high = kernel->mask(src, src, cut, key) | kernel->mask(src + cut, src + cut, n - cut, ff_key_at(key, cut));
    EXPECT((high != 0) == (seen >= 0x80));
    EXPECT(n == 0 || memcmp(src, expected, n) == 0);
    free(expected);
    free(room);
    free(out);
}

/* The text as it is; for some choices its first bytes over and over before the rest, for a stretch of
 * ff_utf8_prefix or two: no input is that long. */
static uint8_t *text_of(const input *in, size_t first, size_t second, size_t *n) {
    size_t unit = first % 4 + 1, run = (first / 4 % 2 + 1) * FF_UTF8_STRETCH + second % 16 - 8;
    *n = in->size;
    if (first < 0xE0 || in->size < unit) return copied(in->data, in->size);
    *n = run + in->size - unit;
    uint8_t *p = malloc(*n);
    if (p == NULL) abort();
    for (size_t i = 0; i < run; i++) p[i] = in->data[i % unit];
    memcpy(p + run, in->data + unit, in->size - unit);
    return p;
}

static void fuzz_utf8(const ff_kernels *kernel, input in) {
    size_t first = next_byte(&in), second = next_below(&in, 65536), n;
    uint8_t *p = text_of(&in, first, second, &n);
    size_t prefix = reference_prefix(p, n), bad = reference_bad_byte(p, n);
    size_t got = ff_utf8_prefix(kernel->utf8_valid, p, n);
    EXPECT((got == n) == (prefix == n) && got <= prefix);
    size_t cuts[4] = {0, n ? first % (n + 1) : 0, n ? second % (n + 1) : 0, n};
    if (cuts[1] > cuts[2]) {
        size_t larger = cuts[1];
        cuts[1] = cuts[2];
        cuts[2] = larger;
    }
    unsigned state = FF_UTF8_ACCEPT;
    size_t index = 0;
    for (int i = 0; i < 3 && state != FF_UTF8_REJECT; i++) {
        size_t size = cuts[i + 1] - cuts[i];
        uint8_t *piece = copied(p + cuts[i], size);
        index = cuts[i] + ff_utf8_feed(kernel->utf8_valid, &state, piece, size);
        free(piece);
    }
    EXPECT(index == bad);
    EXPECT((state == FF_UTF8_REJECT) == (bad < n));
    EXPECT((state == FF_UTF8_ACCEPT) == (prefix == n));
    free(p);
}

static size_t write_code(uint8_t *p, uint32_t code) {
    if (code < 0x80) return p[0] = (uint8_t)code, 1;
    size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[4] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t i = more; i > 0; i--, code >>= 6) p[i] = (uint8_t)(0x80 | (code & 0x3F));
    p[0] = (uint8_t)(lead[more] | code);
    return more + 1;
}

/* Valid text out of any bytes: code points of up to `widest`, a few bytes of input each, or repeated. */
static size_t write_text(input *in, uint8_t *p, size_t room) {
    static const uint32_t widest[4] = {0x7F, 0xFF, 0xFFFF, 0x10FFFF};
    size_t n = 0, kind = next_byte(in) & 3;
    while (in->size && n + 4 <= room) {
        uint32_t code = next_byte(in);
        size_t times = 1;
        if (kind > 1 && code >= 0x80) code = code << 8 | next_byte(in);
        if (kind > 2 && code >= 0xC000) code = (code << 8 | next_byte(in)) % 0x110000;
        if (code % 16 == 5) times = next_byte(in);
        if (code > widest[kind]) code &= widest[kind];
        if (code >= 0xD800 && code < 0xE000) code = '?';
        for (; times && n + 4 <= room; times--) n += write_code(p + n, code);
    }
    return n;
}

static void fuzz_transcode(const ff_kernels *kernel, input in) {
    enum { ROOM = 4096 };
    static uint8_t text[ROOM];
    static uint32_t codes[ROOM];
    if (kernel->utf8_count == NULL) return;
    size_t n = write_text(&in, text, ROOM), count = 0;
    uint8_t *p = copied(text, n), largest, real_largest = 0;
    uint32_t top = 0;
    for (size_t i = 0; i < n; count++) {
        size_t size = reference_decode(p + i, n - i, &codes[count]);
        EXPECT(size > 0);
        i += size;
        if (codes[count] > top) top = codes[count];
    }
    for (size_t i = 0; i < n; i++) real_largest = p[i] > real_largest ? p[i] : real_largest;
    EXPECT(kernel->utf8_count(p, n, &largest) == count && largest == real_largest);
    if (top < 0x100) {
        uint8_t *out = malloc(count);
        kernel->utf8_to_ucs1(out, p, n);
        for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i]);
        free(out);
    }
    if (top < 0x10000) {
        uint16_t *out = malloc(2 * count);
        kernel->utf8_to_ucs2(out, p, n);
        for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i]);
        free(out);
    }
    uint32_t *out = malloc(4 * count);
    kernel->utf8_to_ucs4(out, p, n);
    for (size_t i = 0; i < count; i++) EXPECT(out[i] == codes[i]);
    free(out);
    free(p);
}

/* RFC 6455 section 5.2 sentence by sentence: 0 for more bytes, a reason, or the size. */
static int reference_header(const uint8_t *p, size_t n, const ff_expectation *expect, uint64_t *length) {
    if (n < 2) return 0;
    int opcode = p[0] % 16, is_control = opcode == 8 || opcode == 9 || opcode == 10;
    int rsv = p[0] / 16 % 8, masked = p[1] / 128, size = 2;
    *length = p[1] % 128;
    if ((rsv << 4 | (expect->allowed_rsv & 0x70)) != (expect->allowed_rsv & 0x70)) return FF_RESERVED_BITS;
    if (!is_control && opcode != 0 && opcode != 1 && opcode != 2) return FF_RESERVED_OPCODE;
    if (is_control && p[0] < 128) return FF_FRAGMENTED_CONTROL;
    if (expect->role_known && masked != (expect->mask_bit != 0)) return FF_WRONG_MASK;
    if (is_control && *length > 125) return FF_CONTROL_TOO_LONG;
    if (*length > 125) {
        int more = *length == 126 ? 2 : 8;
        if (n < (size_t)(2 + more)) return 0;
        *length = 0;
        for (int i = 0; i < more; i++) *length = *length * 256 + p[2 + i];
        if (more == 8 && p[2] >= 128) return FF_LENGTH_TOP_BIT;
        if (more == 2 && *length < 126) return FF_LENGTH_NOT_MINIMAL_16;
        if (more == 8 && *length < 65536) return FF_LENGTH_NOT_MINIMAL_64;
        size += more;
    }
    if (*length > expect->max_payload_length) return FF_FRAME_TOO_BIG;
    if (masked) size += 4;
    return n < (size_t)size ? 0 : size;
}

static void fuzz_header(const ff_kernels *kernel, input in) {
    static const uint64_t limits[8] = {0, 125, 126, 65535, 65536, 1u << 20, UINT64_MAX / 2, UINT64_MAX};
    if (kernel != kernel_at(0)) return;
    uint8_t options = next_byte(&in);
    ff_expectation expect = {limits[options & 7], (uint8_t)((options & 0x70)), options >> 7, 0};
    expect.mask_bit = (options & 8) ? FF_MASKED : 0;
    int before = 0;
    for (size_t n = 0; n <= in.size && n <= FF_MAX_HEADER + 2; n++) {
        uint8_t *p = copied(in.data, n), again[FF_MAX_HEADER];
        uint64_t length = 0;
        ff_header header;
        int size = ff_parse_header(p, n, &expect, &header);
        EXPECT(size == reference_header(p, n, &expect, &length));
        EXPECT(before == 0 || size == before); /* what is judged stays judged */
        if (size > 0) {
            EXPECT(header.payload_length == length && header.size == size && header.masked == p[1] >> 7);
            EXPECT(!header.masked || memcmp(&header.masking_key, p + size - 4, 4) == 0);
            EXPECT(ff_header_size(length, header.masked) == (size_t)size);
            EXPECT(ff_write_header(again, header.first, length, header.masked, header.masking_key) == (size_t)size);
            EXPECT(memcmp(again, p, (size_t)size) == 0);
        }
        before = size;
        free(p);
    }
}

#define JOINED(a, b) a##b
#define NAMED(target) JOINED(fuzz_, target)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const ff_kernels *kernel;
    (void)fuzz_mask, (void)fuzz_utf8, (void)fuzz_transcode, (void)fuzz_header;
    for (size_t place = 0; (kernel = kernel_at(place)) != NULL; place++) {
        if (!kernel->supported()) continue;
        kernel_name = kernel->name;
        NAMED(TARGET)(kernel, (input){data, size});
    }
    return 0;
}

#ifdef REPLAY
int main(int argc, char **argv) {
    static uint8_t data[1 << 20];
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (file == NULL) return perror(argv[i]), 2;
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%d inputs replayed\n", argc - 1);
    return 0;
}
#endif
