/* A histogram of times in nanoseconds, 64 steps to each doubling: a percentile is right to 1.6 %. */

#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include "base.h"

enum { STEP_BITS = 6, STEPS = 1 << STEP_BITS };

struct latency {
    uint64_t counts[64 * STEPS];
    uint64_t total, longest;
};

static size_t latency_place(uint64_t time) {
    if (time < STEPS) return time;
    unsigned shift = 63u - (unsigned)__builtin_clzll(time) - STEP_BITS;
    return ((size_t)(shift + 1) << STEP_BITS) + (time >> shift) - STEPS;
}

/* The largest time that falls into a place. */
static uint64_t latency_time(size_t place) {
    if (place < STEPS) return place;
    unsigned shift = (unsigned)(place >> STEP_BITS) - 1;
    return ((((uint64_t)(place & (STEPS - 1)) + STEPS) + 1) << shift) - 1;
}

static void latency_add(struct latency *latency, uint64_t time) {
    latency->counts[latency_place(time)]++;
    latency->total++;
    if (time > latency->longest) latency->longest = time;
}

static uint64_t latency_percentile(const struct latency *latency, double share) {
    uint64_t rank = (uint64_t)(share * (double)latency->total + 0.5), seen = 0;
    for (size_t place = 0; place < 64 * STEPS; place++) {
        seen += latency->counts[place];
        if (seen >= rank && seen) {
            uint64_t time = latency_time(place);
            return time < latency->longest ? time : latency->longest;
        }
    }
    return latency->longest;
}

#endif
