/* transcode.h: valid UTF-8 into the fixed-width code units of a CPython str.
 *
 * Contracts, for p[0..n) that is valid, whole UTF-8; no byte outside is read:
 *   - ff_utf8_count_*(p, n, largest): returns the code points in it and stores
 *     its largest byte, which tells the width needed: below 0x80 all ASCII,
 *     below 0xC4 up to U+00FF, below 0xF0 up to U+FFFF, beyond it more;
 *   - ff_utf8_to_ucs1/2/4_*(dst, p, n): writes exactly that many code units;
 *     the text has none that is too wide.
 * A set of kernels without them leaves the work to CPython's own decoder,
 * which plain C does not beat. */
#ifndef FASTFRAME_TRANSCODE_H
#define FASTFRAME_TRANSCODE_H

#include "base.h"

#ifdef FF_X86_64

/* At every byte position the code unit that would start there is computed from
 * it and the bytes behind it; then only those at lead bytes are kept, by a
 * compressing move. Bytes behind the end are zero and belong to nothing. */

FF_AVX512
FF_KERNEL size_t ff_utf8_count_avx512(const uint8_t *p, size_t n, uint8_t *largest) {
    __m512i top = _mm512_setzero_si512(), last_continuation = _mm512_set1_epi8((char)0xBF);
    size_t count = 0, i = 0;
    for (; n - i >= 64; i += 64) {
        __m512i v = _mm512_loadu_si512(p + i);
        top = _mm512_max_epu8(top, v);
        count += (size_t)_mm_popcnt_u64(_mm512_cmpgt_epi8_mask(v, last_continuation));
    }
    if (n - i) {
        __mmask64 m = _bzhi_u64(~UINT64_C(0), (unsigned)(n - i));
        __m512i v = _mm512_maskz_loadu_epi8(m, p + i);
        top = _mm512_max_epu8(top, v);
        count += (size_t)_mm_popcnt_u64(m & _mm512_cmpgt_epi8_mask(v, last_continuation));
    }
    __m256i half = _mm256_max_epu8(_mm512_castsi512_si256(top), _mm512_extracti64x4_epi64(top, 1));
    uint8_t lanes[32], most = 0;
    _mm256_storeu_si256((__m256i *)lanes, half);
    for (int j = 0; j < 32; j++) most = lanes[j] > most ? lanes[j] : most;
    *largest = most;
    return count;
}

FF_AVX512
FF_KERNEL void ff_utf8_to_ucs1_avx512(uint8_t *dst, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t left = n - i, step = left < 64 ? left : 64;
        __mmask64 m = _bzhi_u64(~UINT64_C(0), (unsigned)step);
        __mmask64 m1 = _bzhi_u64(~UINT64_C(0), (unsigned)(left - 1 < 64 ? left - 1 : 64));
        __m512i b0 = _mm512_maskz_loadu_epi8(m, p + i);
        __m512i b1 = _mm512_maskz_loadu_epi8(m1, p + i + 1);
        /* 110000yy 10xxxxxx: (b0 << 6 | b1 & 3F) in eight bits. Shifting in
         * 16-bit lanes lets a neighbour's bits in below, where 0xC0 keeps them out. */
        __m512i high = _mm512_slli_epi16(b0, 6);
        __m512i pair = _mm512_ternarylogic_epi64(_mm512_set1_epi8((char)0xC0), high, b1, 0xCA);
        __m512i unit = _mm512_mask_mov_epi8(b0, _mm512_movepi8_mask(b0), pair);
        __mmask64 leads = m & _mm512_cmpgt_epi8_mask(b0, _mm512_set1_epi8((char)0xBF));
        unsigned count = (unsigned)_mm_popcnt_u64(leads);
        _mm512_mask_storeu_epi8(dst, _bzhi_u64(~UINT64_C(0), count), _mm512_maskz_compress_epi8(leads, unit));
        dst += count;
        i += step;
    }
}

FF_AVX512
FF_INLINE __m512i ff_load_as_words(const uint8_t *p, size_t n) {
    __mmask32 m = (__mmask32)_bzhi_u32(~0u, (unsigned)(n < 32 ? n : 32));
    return _mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(m, p));
}

FF_AVX512
FF_KERNEL void ff_utf8_to_ucs2_avx512(uint16_t *dst, const uint8_t *p, size_t n) {
    __m512i six = _mm512_set1_epi16(0x3F);
    for (size_t i = 0; i < n;) {
        size_t left = n - i, step = left < 32 ? left : 32;
        __m512i b0, b1, b2;
        if (FF_LIKELY(left >= 34)) {
            b0 = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p + i)));
            b1 = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p + i + 1)));
            b2 = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p + i + 2)));
        } else {
            b0 = ff_load_as_words(p + i, left);
            b1 = left > 1 ? ff_load_as_words(p + i + 1, left - 1) : _mm512_setzero_si512();
            b2 = left > 2 ? ff_load_as_words(p + i + 2, left - 2) : _mm512_setzero_si512();
        }
        __mmask32 m = (__mmask32)_bzhi_u32(~0u, (unsigned)step);
        __mmask32 two = _mm512_cmpge_epu16_mask(b0, _mm512_set1_epi16(0xC0));
        __mmask32 three = _mm512_cmpge_epu16_mask(b0, _mm512_set1_epi16(0xE0));
        __mmask32 leads = m & (two | _mm512_cmplt_epu16_mask(b0, _mm512_set1_epi16(0x80)));
        __m512i low1 = _mm512_and_si512(b1, six), low2 = _mm512_and_si512(b2, six);
        /* 110yyyyy 10xxxxxx */
        __m512i pair = _mm512_or_si512(_mm512_slli_epi16(_mm512_and_si512(b0, _mm512_set1_epi16(0x1F)), 6), low1);
        /* 1110zzzz 10yyyyyy 10xxxxxx: the lead's upper bits leave the word by the shift */
        __m512i triple = _mm512_ternarylogic_epi64(_mm512_slli_epi16(b0, 12), _mm512_slli_epi16(low1, 6), low2, 0xFE);
        __m512i unit = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(b0, two, pair), three, triple);
        unsigned count = (unsigned)_mm_popcnt_u32(leads);
        _mm512_mask_storeu_epi16(dst, (__mmask32)_bzhi_u32(~0u, count), _mm512_maskz_compress_epi16(leads, unit));
        dst += count;
        i += step;
    }
}

FF_AVX512
FF_INLINE __m512i ff_load_as_doublewords(const uint8_t *p, size_t n) {
    __mmask16 m = (__mmask16)_bzhi_u32(~0u, (unsigned)(n < 16 ? n : 16));
    return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(m, p));
}

FF_AVX512
FF_KERNEL void ff_utf8_to_ucs4_avx512(uint32_t *dst, const uint8_t *p, size_t n) {
    __m512i six = _mm512_set1_epi32(0x3F);
    for (size_t i = 0; i < n;) {
        size_t left = n - i, step = left < 16 ? left : 16;
        __m512i zero = _mm512_setzero_si512();
        __m512i b0 = ff_load_as_doublewords(p + i, left);
        __m512i b1 = left > 1 ? ff_load_as_doublewords(p + i + 1, left - 1) : zero;
        __m512i b2 = left > 2 ? ff_load_as_doublewords(p + i + 2, left - 2) : zero;
        __m512i b3 = left > 3 ? ff_load_as_doublewords(p + i + 3, left - 3) : zero;
        __mmask16 m = (__mmask16)_bzhi_u32(~0u, (unsigned)step);
        __mmask16 two = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xC0));
        __mmask16 three = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xE0));
        __mmask16 four = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xF0));
        __mmask16 leads = m & (two | _mm512_cmplt_epu32_mask(b0, _mm512_set1_epi32(0x80)));
        __m512i low1 = _mm512_and_si512(b1, six), low2 = _mm512_and_si512(b2, six);
        __m512i low3 = _mm512_and_si512(b3, six);
        __m512i pair = _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(0x1F)), 6), low1);
        __m512i triple = _mm512_ternarylogic_epi64(
            _mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(0x0F)), 12),
            _mm512_slli_epi32(low1, 6), low2, 0xFE);
        __m512i quad = _mm512_ternarylogic_epi64(
            _mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(0x07)), 18),
            _mm512_slli_epi32(low1, 12), _mm512_or_si512(_mm512_slli_epi32(low2, 6), low3), 0xFE);
        __m512i unit = _mm512_mask_mov_epi32(b0, two, pair);
        unit = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(unit, three, triple), four, quad);
        unsigned count = (unsigned)_mm_popcnt_u32(leads);
        _mm512_mask_storeu_epi32(dst, (__mmask16)_bzhi_u32(~0u, count), _mm512_maskz_compress_epi32(leads, unit));
        dst += count;
        i += step;
    }
}

#endif
#endif
