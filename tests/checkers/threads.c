/* Several threads on the kernels at once, for ThreadSanitizer: they read the same bytes, choose from the same table,
 * and each masks its own part of one buffer, which no part's border is aligned in. A kernel that touched a byte next to
 * its range, or kept anything, would race. With -DPLANTED_FAULT each part is a byte too long. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cpu.h"
#include "header.h"

enum { THREADS = 4, ROUNDS = 200, PART = 1021, TEXT = 4099 };

#ifdef PLANTED_FAULT
enum { MASKED = PART + 1 };
#else
enum { MASKED = PART };
#endif

static uint8_t text[TEXT], buffer[THREADS * PART + 1];
static const ff_kernels *kernel;

static void require(int held, const char *what) {
    if (held) return;
    fprintf(stderr, "%s: wrong in a thread: %s\n", kernel->name, what);
    exit(1);
}

/* Own memory, shared bytes. */
static void read_what_is_shared(uint32_t key) {
    uint8_t own[TEXT], plain[TEXT], header[14];
    uint16_t units[TEXT];
    uint8_t largest = 0;
    kernel->mask(own, text, TEXT, key);
    kernel->mask(plain, own, TEXT, key);
    require(memcmp(plain, text, TEXT) == 0, "masked twice");
    require(kernel->utf8_valid(text, TEXT), "UTF-8");
    if (kernel->utf8_count) {
        size_t points = kernel->utf8_count(text, TEXT, &largest);
        kernel->utf8_to_ucs2(units, text, TEXT);
        require(points < TEXT && units[0] == 'a', "code units");
    }
    const ff_expectation any = {.max_payload_length = UINT64_MAX, .allowed_rsv = FF_RSV};
    ff_header read;
    size_t size = ff_write_header(header, 0x82, 70000, 1, key);
    require(ff_parse_header(header, size, &any, &read) == 14 && read.masking_key == key, "header");
    require(ff_choose_kernels(kernel->name) == kernel, "choice");
}

static void *work(void *argument) {
    size_t number = (size_t)argument;
    uint32_t key = 0x11213141u * (uint32_t)(number + 1);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t *part = buffer + number * PART;
        kernel->mask(part, part, MASKED, key);
        read_what_is_shared(key);
    }
    return NULL;
}

int main(void) {
    /* Two bytes, three bytes and ASCII in turn. */
    const char *sample = "a\xc3\xa4 \xe2\x82\xac plain ";
    size_t length = strlen(sample);
    memset(text, ' ', TEXT);
    for (size_t i = 0; i + length <= TEXT; i += length) memcpy(text + i, sample, length);
    for (size_t k = 0; k < FF_KERNEL_COUNT; k++) {
        kernel = &ff_all_kernels[k];
        if (!kernel->supported()) continue;
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
        for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        /* An even number of times with the same key. */
        for (size_t i = 0; MASKED == PART && i < sizeof buffer; i++) require(buffer[i] == 0, "parts of a buffer");
        printf("%s: %d threads\n", kernel->name, THREADS);
    }
    return 0;
}
