/* base.h: what every kernel header needs: compiler differences, loads and stores
 * without alignment, byte order, and the one struct that a set of kernels fills.
 *
 * Kernels are plain C over (pointer, length). They never touch a byte outside
 * the ranges they are given, allocate nothing and know no Python object. */
#ifndef FASTFRAME_BASE_H
#define FASTFRAME_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
#define FF_LIKELY(x) __builtin_expect(!!(x), 1)
#define FF_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FF_INLINE static inline __attribute__((always_inline, unused))
#define FF_KERNEL static __attribute__((unused))
#elif defined(_MSC_VER)
#define FF_LIKELY(x) (x)
#define FF_UNLIKELY(x) (x)
#define FF_INLINE static __forceinline
#define FF_KERNEL static
#else
#define FF_LIKELY(x) (x)
#define FF_UNLIKELY(x) (x)
#define FF_INLINE static inline
#define FF_KERNEL static
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define FF_X86_64 1
#include <immintrin.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#define FF_TARGET(isa)
#else
#if defined(_MSC_VER) /* clang-cl: its immintrin.h leaves out what the whole build was not told to use */
#include <tmmintrin.h>
#include <smmintrin.h>
#include <popcntintrin.h>
#include <bmiintrin.h>
#include <bmi2intrin.h>
#include <avxintrin.h>
#include <avx2intrin.h>
#include <avx512fintrin.h>
#include <avx512vlintrin.h>
#include <avx512bwintrin.h>
#include <avx512dqintrin.h>
#include <avx512vlbwintrin.h>
#include <avx512vldqintrin.h>
#include <avx512vbmiintrin.h>
#include <avx512vbmi2intrin.h>
#include <avx512vlvbmi2intrin.h>
#endif
#define FF_TARGET(isa) __attribute__((target(isa)))
#endif
#define FF_AVX2 FF_TARGET("avx2,bmi,bmi2,popcnt")
#define FF_AVX512 FF_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt,lzcnt")
#elif defined(__aarch64__) || defined(_M_ARM64)
#define FF_AARCH64 1
#include <arm_neon.h>
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FF_BIG_ENDIAN 1
#else
#define FF_BIG_ENDIAN 0
#endif

FF_INLINE uint64_t ff_load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
FF_INLINE uint32_t ff_load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
FF_INLINE void ff_store64(void *p, uint64_t v) { memcpy(p, &v, 8); }
FF_INLINE void ff_store32(void *p, uint32_t v) { memcpy(p, &v, 4); }

#define FF_HIGH_BITS UINT64_C(0x8080808080808080)

/* One implementation of everything that is worth a SIMD instruction. The
 * contract of each member is at its portable version (mask.h, utf8.h, transcode.h). */
typedef struct {
    const char *name;
    int (*supported)(void);
    int (*mask)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key);
    int (*utf8_valid)(const uint8_t *p, size_t n);
    size_t (*utf8_count)(const uint8_t *p, size_t n, uint8_t *largest);
    void (*utf8_to_ucs1)(uint8_t *dst, const uint8_t *p, size_t n);
    void (*utf8_to_ucs2)(uint16_t *dst, const uint8_t *p, size_t n);
    void (*utf8_to_ucs4)(uint32_t *dst, const uint8_t *p, size_t n);
} ff_kernels;

#endif
