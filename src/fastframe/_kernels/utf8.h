/* utf8.h: UTF-8 validation (RFC 3629), whole and resumable.
 *
 * Two layers. ff_utf8_step is a state machine of one byte a step: it resumes
 * between chunks and finds the exact byte that is wrong. The kernels
 * ff_utf8_valid_* do the bulk and only say whether all is well.
 *
 * Contract of each ff_utf8_valid_*(p, n):
 *   - reads p[0..n) and no other byte;
 *   - p[0] starts a code point and none is cut short at the end, that is
 *     ff_utf8_boundary(p, n) == n;
 *   - returns 1 if p[0..n) is valid UTF-8, 0 otherwise.
 *
 * The vector algorithm is the lookup of J. Keiser and D. Lemire, "Validating
 * UTF-8 in less than one instruction per byte", Software: Practice and
 * Experience 51 (5), 2021. */
#ifndef FASTFRAME_UTF8_H
#define FASTFRAME_UTF8_H

#include "base.h"

/* States. The numbers are those of Autobahn's and wsaccel's validators, which
 * show them to their users; a bigger machine would be no faster. */
enum {
    FF_UTF8_ACCEPT = 0,
    FF_UTF8_REJECT = 1,
    FF_UTF8_NEED_1 = 2,
    FF_UTF8_NEED_2 = 3,
    FF_UTF8_AFTER_E0 = 4, /* A0..BF follows: less would be overlong */
    FF_UTF8_AFTER_ED = 5, /* 80..9F follows: more would be a surrogate */
    FF_UTF8_AFTER_F0 = 6, /* 90..BF follows: less would be overlong */
    FF_UTF8_NEED_3 = 7,
    FF_UTF8_AFTER_F4 = 8  /* 80..8F follows: more would be above U+10FFFF */
};

FF_INLINE unsigned ff_utf8_step(unsigned state, uint8_t byte) {
    switch (state) {
    case FF_UTF8_ACCEPT:
        if (byte < 0x80) return FF_UTF8_ACCEPT;
        if (byte < 0xC2) return FF_UTF8_REJECT; /* a continuation, or C0 and C1: overlong */
        if (byte < 0xE0) return FF_UTF8_NEED_1;
        if (byte == 0xE0) return FF_UTF8_AFTER_E0;
        if (byte == 0xED) return FF_UTF8_AFTER_ED;
        if (byte < 0xF0) return FF_UTF8_NEED_2;
        if (byte == 0xF0) return FF_UTF8_AFTER_F0;
        if (byte < 0xF4) return FF_UTF8_NEED_3;
        if (byte == 0xF4) return FF_UTF8_AFTER_F4;
        return FF_UTF8_REJECT;
    case FF_UTF8_NEED_1: return byte >> 6 == 2 ? FF_UTF8_ACCEPT : FF_UTF8_REJECT;
    case FF_UTF8_NEED_2: return byte >> 6 == 2 ? FF_UTF8_NEED_1 : FF_UTF8_REJECT;
    case FF_UTF8_AFTER_E0: return byte >> 5 == 5 ? FF_UTF8_NEED_1 : FF_UTF8_REJECT;
    case FF_UTF8_AFTER_ED: return byte >> 5 == 4 ? FF_UTF8_NEED_1 : FF_UTF8_REJECT;
    case FF_UTF8_AFTER_F0: return byte >= 0x90 && byte < 0xC0 ? FF_UTF8_NEED_2 : FF_UTF8_REJECT;
    case FF_UTF8_NEED_3: return byte >> 6 == 2 ? FF_UTF8_NEED_2 : FF_UTF8_REJECT;
    case FF_UTF8_AFTER_F4: return byte >> 4 == 8 ? FF_UTF8_NEED_2 : FF_UTF8_REJECT;
    default: return FF_UTF8_REJECT;
    }
}

/* Where the code points end that n does not cut short: n, or the start of the
 * last one. Looks at lead bytes only, so what lies before may be invalid; a
 * row of lead bytes, each cut short by the next, is stepped over as a whole. */
FF_INLINE size_t ff_utf8_boundary(const uint8_t *p, size_t n) {
    for (;;) {
        if (n >= 1 && p[n - 1] >= 0xC0) n -= 1;
        else if (n >= 2 && p[n - 2] >= 0xE0) n -= 2;
        else if (n >= 3 && p[n - 3] >= 0xF0) n -= 3;
        else return n;
    }
}

/* Bytes of the code point that starts p[0..n), n > 0; 0 if it is invalid or cut short. */
FF_INLINE size_t ff_utf8_sequence(const uint8_t *p, size_t n) {
    uint8_t lead = p[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || n < 2) return 0;
    if (lead < 0xE0) return p[1] >> 6 == 2 ? 2 : 0;
    if (lead < 0xF0) {
        uint8_t least = lead == 0xE0 ? 0xA0 : 0x80, most = lead == 0xED ? 0x9F : 0xBF;
        return n >= 3 && p[1] >= least && p[1] <= most && p[2] >> 6 == 2 ? 3 : 0;
    }
    if (lead <= 0xF4) {
        uint8_t least = lead == 0xF0 ? 0x90 : 0x80, most = lead == 0xF4 ? 0x8F : 0xBF;
        return n >= 4 && p[1] >= least && p[1] <= most && p[2] >> 6 == 2 && p[3] >> 6 == 2 ? 4 : 0;
    }
    return 0;
}

/* Bytes at the start of p that are whole, valid code points. */
FF_KERNEL size_t ff_utf8_scan(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            while (n - i >= 16 && !((ff_load64(p + i) | ff_load64(p + i + 8)) & FF_HIGH_BITS)) i += 16;
            while (i < n && p[i] < 0x80) i++;
        } else {
            size_t length = ff_utf8_sequence(p + i, n - i);
            if (length == 0) break;
            i += length;
        }
    }
    return i;
}

FF_KERNEL int ff_utf8_valid_portable(const uint8_t *p, size_t n) { return ff_utf8_scan(p, n) == n; }

/* Each bit is one way in which two bytes in a row can be wrong. A pair is
 * looked up three times (high and low half of the first byte, high half of the
 * second); a bit that all three tables set is an error. TWO_CONTS is no error
 * by itself: two continuations are right just where a lead byte two or three
 * places earlier asks for them, which is compared apart. */
enum {
    FF_TOO_SHORT = 1 << 0,  /* 11______ 0_______ or 11______ 11______ */
    FF_TOO_LONG = 1 << 1,   /* 0_______ 10______ */
    FF_OVERLONG_3 = 1 << 2, /* 11100000 100_____ */
    FF_TOO_LARGE = 1 << 3,  /* 11110100 1001____, 11110100 101_____, 1111_101, 1111_11_ and more */
    FF_SURROGATE = 1 << 4,  /* 11101101 101_____ */
    FF_OVERLONG_2 = 1 << 5, /* 1100000_ 10______ */
    FF_OVERLONG_4 = 1 << 6, /* 11110000 1000____ */
    FF_TOO_LARGE_1000 = 1 << 6, /* 11110101 1000____ and above: shares its bit with the line before */
    FF_TWO_CONTS = 1 << 7   /* 10______ 10______ */
};
#define FF_CARRY (FF_TOO_SHORT | FF_TOO_LONG | FF_TWO_CONTS) /* decided by the high halves alone */

static const uint8_t ff_first_high[16] = {
    FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG, FF_TOO_LONG,
    FF_TWO_CONTS, FF_TWO_CONTS, FF_TWO_CONTS, FF_TWO_CONTS,
    FF_TOO_SHORT | FF_OVERLONG_2,
    FF_TOO_SHORT,
    FF_TOO_SHORT | FF_OVERLONG_3 | FF_SURROGATE,
    FF_TOO_SHORT | FF_TOO_LARGE | FF_TOO_LARGE_1000 | FF_OVERLONG_4};
static const uint8_t ff_first_low[16] = {
    FF_CARRY | FF_OVERLONG_3 | FF_OVERLONG_2 | FF_OVERLONG_4,
    FF_CARRY | FF_OVERLONG_2,
    FF_CARRY,
    FF_CARRY,
    FF_CARRY | FF_TOO_LARGE,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000, FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000, FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000, FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000, FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000 | FF_SURROGATE,
    FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000, FF_CARRY | FF_TOO_LARGE | FF_TOO_LARGE_1000};
#define FF_SECOND_LOW_CONT (FF_TOO_LONG | FF_OVERLONG_2 | FF_TWO_CONTS)
static const uint8_t ff_second_high[16] = {
    FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT,
    FF_SECOND_LOW_CONT | FF_OVERLONG_3 | FF_TOO_LARGE_1000 | FF_OVERLONG_4,
    FF_SECOND_LOW_CONT | FF_OVERLONG_3 | FF_TOO_LARGE,
    FF_SECOND_LOW_CONT | FF_SURROGATE | FF_TOO_LARGE,
    FF_SECOND_LOW_CONT | FF_SURROGATE | FF_TOO_LARGE,
    FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT, FF_TOO_SHORT};

#ifdef FF_X86_64

/* SSE2 has no byte shuffle, so only the ASCII runs go by vectors. */
FF_KERNEL int ff_utf8_valid_sse2(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        if (p[i] < 0x80) {
            for (; n - i >= 64; i += 64) {
                __m128i a = _mm_loadu_si128((const __m128i *)(p + i));
                __m128i b = _mm_loadu_si128((const __m128i *)(p + i + 16));
                __m128i c = _mm_loadu_si128((const __m128i *)(p + i + 32));
                __m128i d = _mm_loadu_si128((const __m128i *)(p + i + 48));
                if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)))) break;
            }
            while (n - i >= 16 && !_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(p + i)))) i += 16;
            while (i < n && p[i] < 0x80) i++;
        } else {
            size_t length = ff_utf8_sequence(p + i, n - i);
            if (length == 0) return 0;
            i += length;
        }
    }
    return 1;
}

FF_AVX2
FF_INLINE __m256i ff_utf8_errors_avx2(__m256i now, __m256i prev1, __m256i prev2, __m256i prev3) {
    __m256i low = _mm256_set1_epi8(0x0F);
    __m256i first_high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)ff_first_high));
    __m256i first_low = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)ff_first_low));
    __m256i second_high = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)ff_second_high));
    __m256i a = _mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(prev1, 4), low));
    __m256i b = _mm256_shuffle_epi8(first_low, _mm256_and_si256(prev1, low));
    __m256i c = _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(now, 4), low));
    /* The top bit is set where a third or fourth byte of a sequence has to be. */
    __m256i third = _mm256_subs_epu8(prev2, _mm256_set1_epi8((char)(0xE0 - 0x80)));
    __m256i fourth = _mm256_subs_epu8(prev3, _mm256_set1_epi8((char)(0xF0 - 0x80)));
    __m256i expected = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(expected, _mm256_and_si256(_mm256_and_si256(a, b), c));
}

/* A block that starts the buffer: zeros, which are ASCII, stand for what came before. */
FF_AVX2
FF_INLINE __m256i ff_utf8_first_avx2(__m256i now) {
    __m256i carried = _mm256_permute2x128_si256(now, now, 0x08); /* zero, low half */
    return ff_utf8_errors_avx2(now, _mm256_alignr_epi8(now, carried, 15),
                               _mm256_alignr_epi8(now, carried, 14), _mm256_alignr_epi8(now, carried, 13));
}

FF_AVX2
FF_INLINE __m256i ff_utf8_block_avx2(const uint8_t *p) {
    return ff_utf8_errors_avx2(_mm256_loadu_si256((const __m256i *)p),
                               _mm256_loadu_si256((const __m256i *)(p - 1)),
                               _mm256_loadu_si256((const __m256i *)(p - 2)),
                               _mm256_loadu_si256((const __m256i *)(p - 3)));
}

FF_AVX2
FF_KERNEL int ff_utf8_valid_avx2(const uint8_t *p, size_t n) {
    uint8_t block[35] = {0}; /* three bytes before, then a partial block and zeros */
    __m256i errors = _mm256_setzero_si256();
    size_t i = 0;
    if (n >= 32) {
        __m256i first = _mm256_loadu_si256((const __m256i *)p);
        if (_mm256_movemask_epi8(first)) errors = ff_utf8_first_avx2(first);
        for (i = 32; n - i >= 64; i += 64) {
            __m256i a = _mm256_loadu_si256((const __m256i *)(p + i));
            __m256i b = _mm256_loadu_si256((const __m256i *)(p + i + 32));
            if (_mm256_movemask_epi8(_mm256_or_si256(a, b))) {
                errors = _mm256_or_si256(errors, ff_utf8_block_avx2(p + i));
                errors = _mm256_or_si256(errors, ff_utf8_block_avx2(p + i + 32));
                continue;
            }
            /* ASCII may not follow a code point that is still open. */
            if (FF_UNLIKELY(ff_utf8_boundary(p, i) != i)) return 0;
            for (; n - i >= 192; i += 128) {
                const __m256i *q = (const __m256i *)(p + i + 64);
                __m256i c = _mm256_or_si256(_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1));
                __m256i d = _mm256_or_si256(_mm256_loadu_si256(q + 2), _mm256_loadu_si256(q + 3));
                if (_mm256_movemask_epi8(_mm256_or_si256(c, d))) break;
            }
        }
        if (n - i >= 32) {
            errors = _mm256_or_si256(errors, ff_utf8_block_avx2(p + i));
            i += 32;
        }
        memcpy(block, p + i - 3, 3);
    }
    if (i < n) {
        memcpy(block + 3, p + i, n - i);
        errors = _mm256_or_si256(errors, ff_utf8_block_avx2(block + 3));
    }
    return _mm256_testz_si256(errors, errors);
}

FF_AVX512
FF_INLINE __m512i ff_utf8_errors_avx512(__m512i now, __m512i prev1, __m512i prev2, __m512i prev3) {
    __m512i low = _mm512_set1_epi8(0x0F), top = _mm512_set1_epi8((char)0x80);
    __m512i first_high = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)ff_first_high));
    __m512i first_low = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)ff_first_low));
    __m512i second_high = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)ff_second_high));
    __m512i a = _mm512_shuffle_epi8(first_high, _mm512_and_si512(_mm512_srli_epi16(prev1, 4), low));
    __m512i b = _mm512_shuffle_epi8(first_low, _mm512_and_si512(prev1, low));
    __m512i c = _mm512_shuffle_epi8(second_high, _mm512_and_si512(_mm512_srli_epi16(now, 4), low));
    __m512i pair = _mm512_ternarylogic_epi64(a, b, c, 0x80); /* a & b & c */
    /* The top bit is set where a third or fourth byte of a sequence has to be. */
    __m512i third = _mm512_subs_epu8(prev2, _mm512_set1_epi8((char)(0xE0 - 0x80)));
    __m512i fourth = _mm512_subs_epu8(prev3, _mm512_set1_epi8((char)(0xF0 - 0x80)));
    __m512i expected = _mm512_ternarylogic_epi64(third, fourth, top, 0xA8); /* (third | fourth) & top */
    return _mm512_xor_si512(expected, pair);
}

FF_AVX512
FF_INLINE __m512i ff_utf8_block_avx512(const uint8_t *p, __m512i now) {
    return ff_utf8_errors_avx512(now, _mm512_loadu_si512(p - 1), _mm512_loadu_si512(p - 2),
                                 _mm512_loadu_si512(p - 3));
}

/* The n <= 64 bytes at the end of a buffer, or all of a short one: no byte outside is read. */
FF_AVX512
FF_INLINE __m512i ff_utf8_part_avx512(const uint8_t *p, size_t before, size_t n) {
    __mmask64 m = _bzhi_u64(~UINT64_C(0), (unsigned)n);
    __m512i now = _mm512_maskz_loadu_epi8(m, p);
    if (before == 0) {
        if (_mm512_movepi8_mask(now) == 0) return _mm512_setzero_si512();
        return ff_utf8_errors_avx512(now, _mm512_maskz_loadu_epi8(m & ~UINT64_C(1), p - 1),
                                     _mm512_maskz_loadu_epi8(m & ~UINT64_C(3), p - 2),
                                     _mm512_maskz_loadu_epi8(m & ~UINT64_C(7), p - 3));
    }
    return ff_utf8_errors_avx512(now, _mm512_maskz_loadu_epi8(m, p - 1), _mm512_maskz_loadu_epi8(m, p - 2),
                                 _mm512_maskz_loadu_epi8(m, p - 3));
}

FF_AVX512
FF_KERNEL int ff_utf8_valid_avx512(const uint8_t *p, size_t n) {
    if (n <= 64) return _mm512_test_epi8_mask(ff_utf8_part_avx512(p, 0, n), _mm512_set1_epi8(-1)) == 0;
    __m512i errors = ff_utf8_part_avx512(p, 0, 64);
    size_t i = 64;
    while (n - i >= 128) {
        __m512i a = _mm512_loadu_si512(p + i), b = _mm512_loadu_si512(p + i + 64);
        i += 128;
        if (_mm512_movepi8_mask(_mm512_or_si512(a, b))) {
            errors = _mm512_or_si512(errors, ff_utf8_block_avx512(p + i - 128, a));
            errors = _mm512_or_si512(errors, ff_utf8_block_avx512(p + i - 64, b));
            continue;
        }
        /* ASCII may not follow a code point that is still open. */
        if (FF_UNLIKELY(ff_utf8_boundary(p, i - 128) != i - 128)) return 0;
        for (; n - i >= 256; i += 256) {
            __m512i c = _mm512_or_si512(_mm512_loadu_si512(p + i), _mm512_loadu_si512(p + i + 64));
            __m512i d = _mm512_or_si512(_mm512_loadu_si512(p + i + 128), _mm512_loadu_si512(p + i + 192));
            if (_mm512_movepi8_mask(_mm512_or_si512(c, d))) break;
        }
    }
    if (n - i >= 64) {
        errors = _mm512_or_si512(errors, ff_utf8_block_avx512(p + i, _mm512_loadu_si512(p + i)));
        i += 64;
    }
    /* The last 64 bytes once more rather than a part, where three more come before them. */
    if (n > i && n >= 67) {
        errors = _mm512_or_si512(errors, ff_utf8_block_avx512(p + n - 64, _mm512_loadu_si512(p + n - 64)));
    } else if (n > i) {
        errors = _mm512_or_si512(errors, ff_utf8_part_avx512(p + i, i, n - i));
    }
    return _mm512_test_epi8_mask(errors, errors) == 0;
}

#endif /* FF_X86_64 */

#ifdef FF_AARCH64

FF_INLINE uint8x16_t ff_utf8_errors_neon(uint8x16_t now, uint8x16_t prev1, uint8x16_t prev2, uint8x16_t prev3) {
    uint8x16_t a = vqtbl1q_u8(vld1q_u8(ff_first_high), vshrq_n_u8(prev1, 4));
    uint8x16_t b = vqtbl1q_u8(vld1q_u8(ff_first_low), vandq_u8(prev1, vdupq_n_u8(0x0F)));
    uint8x16_t c = vqtbl1q_u8(vld1q_u8(ff_second_high), vshrq_n_u8(now, 4));
    /* The top bit is set where a third or fourth byte of a sequence has to be. */
    uint8x16_t third = vqsubq_u8(prev2, vdupq_n_u8(0xE0 - 0x80));
    uint8x16_t fourth = vqsubq_u8(prev3, vdupq_n_u8(0xF0 - 0x80));
    uint8x16_t expected = vandq_u8(vorrq_u8(third, fourth), vdupq_n_u8(0x80));
    return veorq_u8(expected, vandq_u8(vandq_u8(a, b), c));
}

FF_KERNEL int ff_utf8_valid_neon(const uint8_t *p, size_t n) {
    uint8x16_t errors = vdupq_n_u8(0), before = vdupq_n_u8(0);
    uint8_t block[16] = {0};
    size_t i = 0;
    for (;;) {
        while (n - i >= 64) {
            uint8x16_t a = vorrq_u8(vld1q_u8(p + i), vld1q_u8(p + i + 16));
            uint8x16_t b = vorrq_u8(vld1q_u8(p + i + 32), vld1q_u8(p + i + 48));
            if (vmaxvq_u8(vorrq_u8(a, b)) >= 0x80) break;
            /* ASCII may not follow a code point that is still open. */
            if (FF_UNLIKELY(ff_utf8_boundary(p, i) != i)) return 0;
            i += 64;
            before = vdupq_n_u8(0);
        }
        if (i == n) break;
        uint8x16_t now;
        size_t step = n - i < 16 ? n - i : 16;
        if (step == 16) now = vld1q_u8(p + i);
        else {
            memcpy(block, p + i, step);
            now = vld1q_u8(block);
        }
        errors = vorrq_u8(errors, ff_utf8_errors_neon(now, vextq_u8(before, now, 15), vextq_u8(before, now, 14),
                                                      vextq_u8(before, now, 13)));
        before = now;
        i += step;
    }
    return vmaxvq_u8(errors) == 0;
}

#endif /* FF_AARCH64 */

/* Whole, valid code points at the start of p, by the vector kernel `valid`. A
 * stretch at a time, so that an early error ends the work early. */
#define FF_UTF8_STRETCH 16384
FF_INLINE size_t ff_utf8_prefix(int (*valid)(const uint8_t *, size_t), const uint8_t *p, size_t n) {
    size_t end = ff_utf8_boundary(p, n), i = 0;
    if (FF_LIKELY(end <= FF_UTF8_STRETCH)) return FF_LIKELY(valid(p, end)) ? end : ff_utf8_scan(p, end);
    while (i < end) {
        size_t stretch = end - i;
        if (stretch > FF_UTF8_STRETCH) stretch = ff_utf8_boundary(p + i, FF_UTF8_STRETCH);
        /* No stretch at all: the next code point cuts the one at i short, and so it goes on for longer than a stretch. */
        if (FF_UNLIKELY(stretch == 0 || !valid(p + i, stretch))) return i + ff_utf8_scan(p + i, stretch);
        i += stretch;
    }
    return end;
}

/* One chunk of a longer text. Returns n, or the index of the byte that makes
 * the text invalid; `state` is where the text stands then. */
FF_INLINE size_t ff_utf8_feed(int (*valid)(const uint8_t *, size_t), unsigned *state, const uint8_t *p, size_t n) {
    unsigned s = *state;
    size_t i = 0;
    while (i < n && s != FF_UTF8_ACCEPT) {
        s = ff_utf8_step(s, p[i]);
        if (s == FF_UTF8_REJECT) goto done;
        i++;
    }
    i += ff_utf8_prefix(valid, p + i, n - i);
    while (i < n) {
        s = ff_utf8_step(s, p[i]);
        if (s == FF_UTF8_REJECT) goto done;
        i++;
    }
done:
    *state = s;
    return i;
}

#endif
