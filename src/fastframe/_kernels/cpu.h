/* cpu.h: which kernels this processor can run, and the one table of them.
 *
 * The table is in order of preference. Each set is compiled for its own
 * instructions by target attributes, whatever the compiler was told for the
 * rest, and is entered only if the processor says that it has them. */
#ifndef FASTFRAME_CPU_H
#define FASTFRAME_CPU_H

#include "base.h"
#include "mask.h"
#include "transcode.h"
#include "utf8.h"

static int ff_always(void) { return 1; }

#ifdef FF_X86_64

#if !(defined(_MSC_VER) && !defined(__clang__))
#include <cpuid.h>
#endif

/* Registers eax, ebx, ecx, edx of CPUID; zeros for a leaf the processor lacks. */
static void ff_cpuid(uint32_t leaf, uint32_t out[4]) {
    memset(out, 0, 4 * sizeof *out);
#if defined(_MSC_VER) && !defined(__clang__)
    int regs[4];
    __cpuid(regs, 0);
    if ((uint32_t)regs[0] < leaf) return;
    __cpuidex(regs, (int)leaf, 0);
    memcpy(out, regs, sizeof regs);
#else
    __get_cpuid_count(leaf, 0, &out[0], &out[1], &out[2], &out[3]);
#endif
}

/* Register state that the operating system saves (Intel SDM, XCR0), 0 without XGETBV. */
static uint64_t ff_saved_state(void) {
    uint32_t r[4];
    ff_cpuid(1, r);
    if (!(r[2] >> 27 & 1)) return 0; /* OSXSAVE */
#if defined(_MSC_VER) && !defined(__clang__)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#endif
}

static int ff_has_avx2(void) {
    uint32_t r[4];
    ff_cpuid(7, r);
    const uint32_t ebx = 1u << 3 | 1u << 5 | 1u << 8; /* BMI1 AVX2 BMI2 */
    return (ff_saved_state() & 0x6) == 0x6 && (r[1] & ebx) == ebx;
}

/* What came with Ice Lake and Zen 4; earlier processors with AVX-512 slow
 * their clock for it and are better off with AVX2. */
static int ff_has_avx512(void) {
    const uint32_t ebx = 1u << 3 | 1u << 8 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* BMI1 BMI2 F DQ BW VL */
    const uint32_t ecx = 1u << 1 | 1u << 6;                                  /* VBMI VBMI2 */
    uint32_t r[4];
    ff_cpuid(7, r);
    return (ff_saved_state() & 0xE6) == 0xE6 && (r[1] & ebx) == ebx && (r[2] & ecx) == ecx;
}

#endif /* FF_X86_64 */

static const ff_kernels ff_all_kernels[] = {
#ifdef FF_X86_64
    {"avx512", ff_has_avx512, ff_mask_avx512, ff_utf8_valid_avx512, ff_utf8_count_avx512,
     ff_utf8_to_ucs1_avx512, ff_utf8_to_ucs2_avx512, ff_utf8_to_ucs4_avx512},
    {"avx2", ff_has_avx2, ff_mask_avx2, ff_utf8_valid_avx2, ff_utf8_count_avx2,
     ff_utf8_to_ucs1_avx2, ff_utf8_to_ucs2_avx2, ff_utf8_to_ucs4_avx2},
    {"sse2", ff_always, ff_mask_sse2, ff_utf8_valid_sse2, NULL, NULL, NULL, NULL},
#endif
#ifdef FF_AARCH64
    {"neon", ff_always, ff_mask_neon, ff_utf8_valid_neon, NULL, NULL, NULL, NULL},
#endif
    {"portable", ff_always, ff_mask_portable, ff_utf8_valid_portable, NULL, NULL, NULL, NULL},
};
#define FF_KERNEL_COUNT (sizeof ff_all_kernels / sizeof ff_all_kernels[0])

/* The set called `name`, or the best one where name is NULL; NULL if there is
 * none of that name or this processor cannot run it. */
static const ff_kernels *ff_choose_kernels(const char *name) {
    for (size_t i = 0; i < FF_KERNEL_COUNT; i++) {
        const ff_kernels *k = &ff_all_kernels[i];
        if ((name == NULL || strcmp(name, k->name) == 0) && k->supported()) return k;
    }
    return NULL;
}

#endif
