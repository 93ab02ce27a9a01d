/* transcode.h: valid UTF-8 into the fixed-width code units of a CPython str.
 *
 * Contracts, for p[0..n) that is valid, whole UTF-8; no byte outside is read:
 *   - ff_utf8_count_*(p, n, largest): returns the code points in it and stores
 *     its largest byte, which tells the width needed: below 0x80 all ASCII,
 *     below 0xC4 up to U+00FF, below 0xF0 up to U+FFFF, beyond it more;
 *   - ff_utf8_to_ucs1/2/4_*(dst, p, n): writes exactly that many code units;
 *     the text has none that is too wide.
 * A set of kernels without them leaves the work to CPython's own decoder,
 * which plain C does not beat.
 *
 * At every byte position the code unit that would start there is computed from
 * that byte and those behind it; then only the units at lead bytes are kept. */
#ifndef FASTFRAME_TRANSCODE_H
#define FASTFRAME_TRANSCODE_H

#include "base.h"

#ifdef FF_X86_64

/* What is left behind the last whole vector, a code point at a time. */
FF_INLINE void ff_utf8_to_narrow(uint8_t *dst, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        if (p[i] < 0x80) {
            *dst++ = p[i++];
        } else {
            *dst++ = (uint8_t)(p[i] << 6 | (p[i + 1] & 0x3F));
            i += 2;
        }
    }
}

/* The same for the two wide units; the one that is not meant is NULL. */
FF_INLINE void ff_utf8_to_wide(uint16_t *dst2, uint32_t *dst4, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t code;
        if (p[i] < 0x80) {
            code = p[i];
            i += 1;
        } else if (p[i] < 0xE0) {
            code = (uint32_t)(p[i] & 0x1F) << 6 | (p[i + 1] & 0x3F);
            i += 2;
        } else if (p[i] < 0xF0) {
            code = (uint32_t)(p[i] & 0x0F) << 12 | (uint32_t)(p[i + 1] & 0x3F) << 6 | (p[i + 2] & 0x3F);
            i += 3;
        } else {
            code = (uint32_t)(p[i] & 0x07) << 18 | (uint32_t)(p[i + 1] & 0x3F) << 12 |
                   (uint32_t)(p[i + 2] & 0x3F) << 6 | (p[i + 3] & 0x3F);
            i += 4;
        }
        if (dst2) *dst2++ = (uint16_t)code;
        else *dst4++ = code;
    }
}

FF_AVX2
FF_KERNEL size_t ff_utf8_count_avx2(const uint8_t *p, size_t n, uint8_t *largest) {
    __m256i top = _mm256_setzero_si256(), last_continuation = _mm256_set1_epi8((char)0xBF);
    size_t count = 0, i = 0;
    for (; n - i >= 32; i += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(p + i));
        top = _mm256_max_epu8(top, v);
        count += (size_t)_mm_popcnt_u32((unsigned)_mm256_movemask_epi8(_mm256_cmpgt_epi8(v, last_continuation)));
    }
    uint8_t lanes[32], most = 0;
    _mm256_storeu_si256((__m256i *)lanes, top);
    for (int j = 0; j < 32; j++) most = lanes[j] > most ? lanes[j] : most;
    for (; i < n; i++) {
        count += p[i] >> 6 != 2;
        most = p[i] > most ? p[i] : most;
    }
    *largest = most;
    return count;
}

/* The numbers of the low eight bits that are set in `keep`, a byte each, in order. */
FF_AVX2
FF_INLINE __m128i ff_kept_avx2(unsigned keep) {
    uint64_t bytes = _pdep_u64(keep & 0xFF, UINT64_C(0x0101010101010101)) * 0xFF;
    return _mm_cvtsi64_si128((long long)_pext_u64(UINT64_C(0x0706050403020100), bytes));
}

FF_AVX2
FF_INLINE unsigned ff_leads_avx2(__m128i bytes) {
    return (unsigned)_mm_movemask_epi8(_mm_cmpgt_epi8(bytes, _mm_set1_epi8((char)0xBF)));
}

/* These store whole vectors, of which only the kept units count. The loops end
 * while enough text is left for its units to cover what the last one spoils. */
FF_AVX2
FF_KERNEL void ff_utf8_to_ucs1_avx2(uint8_t *dst, const uint8_t *p, size_t n) {
    size_t i = 0;
    for (; n - i >= 48; i += 16) {
        __m128i b0 = _mm_loadu_si128((const __m128i *)(p + i));
        __m128i b1 = _mm_loadu_si128((const __m128i *)(p + i + 1));
        if (_mm_movemask_epi8(b0) == 0) {
            _mm_storeu_si128((__m128i *)dst, b0);
            dst += 16;
            continue;
        }
        /* 110000yy 10xxxxxx in eight bits: the shift in 16-bit lanes lets a
         * neighbour's bits in below, where C0 keeps them out. */
        __m128i high = _mm_and_si128(_mm_slli_epi16(b0, 6), _mm_set1_epi8((char)0xC0));
        __m128i pair = _mm_or_si128(high, _mm_and_si128(b1, _mm_set1_epi8(0x3F)));
        __m128i unit = _mm_blendv_epi8(b0, pair, b0);
        unsigned leads = ff_leads_avx2(b0);
        _mm_storel_epi64((__m128i *)dst, _mm_shuffle_epi8(unit, ff_kept_avx2(leads)));
        dst += _mm_popcnt_u32(leads & 0xFF);
        _mm_storel_epi64((__m128i *)dst, _mm_shuffle_epi8(_mm_srli_si128(unit, 8), ff_kept_avx2(leads >> 8)));
        dst += _mm_popcnt_u32(leads >> 8);
    }
    while (i < n && p[i] >> 6 == 2) i++;
    ff_utf8_to_narrow(dst, p + i, n - i);
}

FF_AVX2
FF_INLINE uint16_t *ff_keep_words_avx2(uint16_t *dst, __m128i units, unsigned keep) {
    /* Index i of a word is the pair of indices 2i, 2i + 1 of bytes. */
    __m128i words = _mm_cvtepu8_epi16(ff_kept_avx2(keep));
    __m128i order = _mm_add_epi16(_mm_mullo_epi16(words, _mm_set1_epi16(0x0202)), _mm_set1_epi16(0x0100));
    _mm_storeu_si128((__m128i *)dst, _mm_shuffle_epi8(units, order));
    return dst + _mm_popcnt_u32(keep & 0xFF);
}

FF_AVX2
FF_INLINE __m256i ff_words_avx2(const uint8_t *p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}

FF_AVX2
FF_KERNEL void ff_utf8_to_ucs2_avx2(uint16_t *dst, const uint8_t *p, size_t n) {
    __m256i six = _mm256_set1_epi16(0x3F);
    size_t i = 0;
    for (; n - i >= 64; i += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(p + i));
        __m256i b0 = _mm256_cvtepu8_epi16(bytes);
        if (_mm_movemask_epi8(bytes) == 0) {
            _mm256_storeu_si256((__m256i *)dst, b0);
            dst += 16;
            continue;
        }
        __m256i low1 = _mm256_and_si256(ff_words_avx2(p + i + 1), six);
        __m256i low2 = _mm256_and_si256(ff_words_avx2(p + i + 2), six);
        /* 110yyyyy 10xxxxxx */
        __m256i pair = _mm256_or_si256(_mm256_slli_epi16(_mm256_and_si256(b0, _mm256_set1_epi16(0x1F)), 6), low1);
        /* 1110zzzz 10yyyyyy 10xxxxxx: the lead's upper bits leave the word by the shift */
        __m256i triple = _mm256_or_si256(_mm256_slli_epi16(b0, 12), _mm256_or_si256(_mm256_slli_epi16(low1, 6), low2));
        __m256i unit = _mm256_blendv_epi8(b0, pair, _mm256_cmpgt_epi16(b0, _mm256_set1_epi16(0xBF)));
        unit = _mm256_blendv_epi8(unit, triple, _mm256_cmpgt_epi16(b0, _mm256_set1_epi16(0xDF)));
        unsigned leads = ff_leads_avx2(bytes);
        dst = ff_keep_words_avx2(dst, _mm256_castsi256_si128(unit), leads);
        dst = ff_keep_words_avx2(dst, _mm256_extracti128_si256(unit, 1), leads >> 8);
    }
    while (i < n && p[i] >> 6 == 2) i++;
    ff_utf8_to_wide(dst, NULL, p + i, n - i);
}

FF_AVX2
FF_INLINE __m256i ff_doublewords_avx2(const uint8_t *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

FF_AVX2
FF_KERNEL void ff_utf8_to_ucs4_avx2(uint32_t *dst, const uint8_t *p, size_t n) {
    __m256i six = _mm256_set1_epi32(0x3F);
    size_t i = 0;
    for (; n - i >= 48; i += 8) {
        __m128i bytes = _mm_loadl_epi64((const __m128i *)(p + i));
        __m256i b0 = _mm256_cvtepu8_epi32(bytes);
        if (_mm_movemask_epi8(bytes) == 0) {
            _mm256_storeu_si256((__m256i *)dst, b0);
            dst += 8;
            continue;
        }
        unsigned leads = ff_leads_avx2(bytes) & 0xFF;
        __m256i low1 = _mm256_and_si256(ff_doublewords_avx2(p + i + 1), six);
        __m256i low2 = _mm256_and_si256(ff_doublewords_avx2(p + i + 2), six);
        __m256i low3 = _mm256_and_si256(ff_doublewords_avx2(p + i + 3), six);
        __m256i tail = _mm256_or_si256(_mm256_slli_epi32(low1, 6), low2);
        __m256i pair = _mm256_or_si256(_mm256_slli_epi32(_mm256_and_si256(b0, _mm256_set1_epi32(0x1F)), 6), low1);
        __m256i triple = _mm256_or_si256(_mm256_slli_epi32(_mm256_and_si256(b0, _mm256_set1_epi32(0x0F)), 12), tail);
        __m256i quad = _mm256_or_si256(_mm256_slli_epi32(_mm256_and_si256(b0, _mm256_set1_epi32(0x07)), 18),
                                       _mm256_or_si256(_mm256_slli_epi32(tail, 6), low3));
        __m256i unit = _mm256_blendv_epi8(b0, pair, _mm256_cmpgt_epi32(b0, _mm256_set1_epi32(0xBF)));
        unit = _mm256_blendv_epi8(unit, triple, _mm256_cmpgt_epi32(b0, _mm256_set1_epi32(0xDF)));
        unit = _mm256_blendv_epi8(unit, quad, _mm256_cmpgt_epi32(b0, _mm256_set1_epi32(0xEF)));
        __m256i order = _mm256_cvtepu8_epi32(ff_kept_avx2(leads));
        _mm256_storeu_si256((__m256i *)dst, _mm256_permutevar8x32_epi32(unit, order));
        dst += _mm_popcnt_u32(leads);
    }
    while (i < n && p[i] >> 6 == 2) i++;
    ff_utf8_to_wide(NULL, dst, p + i, n - i);
}

/* AVX-512 compresses by one instruction and stores just what is kept. Bytes
 * behind the end are loaded as zeros and belong to nothing. */

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
FF_INLINE __m256i ff_load32_avx512(const uint8_t *p, size_t before_end) {
    __mmask32 m = (__mmask32)_bzhi_u32(~0u, (unsigned)(before_end < 32 ? before_end : 32));
    return _mm256_maskz_loadu_epi8(m, p);
}

FF_AVX512
FF_KERNEL void ff_utf8_to_ucs2_avx512(uint16_t *dst, const uint8_t *p, size_t n) {
    __m512i six = _mm512_set1_epi16(0x3F);
    for (size_t i = 0; i < n;) {
        size_t left = n - i, step = left < 32 ? left : 32;
        __m256i v0, v1, v2;
        if (FF_LIKELY(left >= 34)) {
            v0 = _mm256_loadu_si256((const __m256i *)(p + i));
            v1 = _mm256_loadu_si256((const __m256i *)(p + i + 1));
            v2 = _mm256_loadu_si256((const __m256i *)(p + i + 2));
        } else {
            v0 = ff_load32_avx512(p + i, left);
            v1 = left > 1 ? ff_load32_avx512(p + i + 1, left - 1) : _mm256_setzero_si256();
            v2 = left > 2 ? ff_load32_avx512(p + i + 2, left - 2) : _mm256_setzero_si256();
        }
        __m512i b0 = _mm512_cvtepu8_epi16(v0);
        __m512i low1 = _mm512_and_si512(_mm512_cvtepu8_epi16(v1), six);
        __m512i low2 = _mm512_and_si512(_mm512_cvtepu8_epi16(v2), six);
        __mmask32 m = (__mmask32)_bzhi_u32(~0u, (unsigned)step);
        __mmask32 two = _mm512_cmpge_epu16_mask(b0, _mm512_set1_epi16(0xC0));
        __mmask32 three = _mm512_cmpge_epu16_mask(b0, _mm512_set1_epi16(0xE0));
        __mmask32 leads = m & _mm256_cmpgt_epi8_mask(v0, _mm256_set1_epi8((char)0xBF));
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
FF_INLINE __m128i ff_load16_avx512(const uint8_t *p, size_t before_end) {
    __mmask16 m = (__mmask16)_bzhi_u32(~0u, (unsigned)(before_end < 16 ? before_end : 16));
    return _mm_maskz_loadu_epi8(m, p);
}

FF_AVX512
FF_KERNEL void ff_utf8_to_ucs4_avx512(uint32_t *dst, const uint8_t *p, size_t n) {
    __m512i six = _mm512_set1_epi32(0x3F);
    for (size_t i = 0; i < n;) {
        size_t left = n - i, step = left < 16 ? left : 16;
        __m128i v0, v1, v2, v3;
        if (FF_LIKELY(left >= 19)) {
            v0 = _mm_loadu_si128((const __m128i *)(p + i));
            v1 = _mm_loadu_si128((const __m128i *)(p + i + 1));
            v2 = _mm_loadu_si128((const __m128i *)(p + i + 2));
            v3 = _mm_loadu_si128((const __m128i *)(p + i + 3));
            if (_mm_movemask_epi8(v0) == 0) {
                _mm512_storeu_si512(dst, _mm512_cvtepu8_epi32(v0));
                dst += 16;
                i += 16;
                continue;
            }
        } else {
            v0 = ff_load16_avx512(p + i, left);
            v1 = left > 1 ? ff_load16_avx512(p + i + 1, left - 1) : _mm_setzero_si128();
            v2 = left > 2 ? ff_load16_avx512(p + i + 2, left - 2) : _mm_setzero_si128();
            v3 = left > 3 ? ff_load16_avx512(p + i + 3, left - 3) : _mm_setzero_si128();
        }
        __m512i b0 = _mm512_cvtepu8_epi32(v0);
        __m512i low1 = _mm512_and_si512(_mm512_cvtepu8_epi32(v1), six);
        __m512i low2 = _mm512_and_si512(_mm512_cvtepu8_epi32(v2), six);
        __m512i low3 = _mm512_and_si512(_mm512_cvtepu8_epi32(v3), six);
        __mmask16 m = (__mmask16)_bzhi_u32(~0u, (unsigned)step);
        __mmask16 two = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xC0));
        __mmask16 three = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xE0));
        __mmask16 four = _mm512_cmpge_epu32_mask(b0, _mm512_set1_epi32(0xF0));
        __mmask16 leads = m & _mm_cmpgt_epi8_mask(v0, _mm_set1_epi8((char)0xBF));
        __m512i tail = _mm512_or_si512(_mm512_slli_epi32(low1, 6), low2);
        __m512i pair = _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(0x1F)), 6), low1);
        __m512i triple = _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(0x0F)), 12), tail);
        __m512i quad = _mm512_ternarylogic_epi64(_mm512_slli_epi32(_mm512_and_si512(b0, _mm512_set1_epi32(7)), 18),
                                                 _mm512_slli_epi32(tail, 6), low3, 0xFE);
        __m512i unit = _mm512_mask_mov_epi32(b0, two, pair);
        unit = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(unit, three, triple), four, quad);
        unsigned count = (unsigned)_mm_popcnt_u32(leads);
        _mm512_mask_storeu_epi32(dst, (__mmask16)_bzhi_u32(~0u, count), _mm512_maskz_compress_epi32(leads, unit));
        dst += count;
        i += step;
    }
}

#endif /* FF_X86_64 */

#endif
