/* mask.h: masking (RFC 6455 section 5.3), "octet i of the transformed data is the
 * XOR of octet i of the original data with octet at index i modulo 4 of the
 * masking key".
 *
 * Contract of each ff_mask_*(dst, src, n, key):
 *   - writes dst[0..n), reads src[0..n), no other byte of either;
 *   - no alignment is needed; dst == src, or the two do not overlap;
 *   - key holds the four bytes as they lie in memory (ff_load32 of them), and
 *     its first byte belongs to src[0];
 *   - returns 0 if every byte written is below 0x80, so that one pass unmasks
 *     a text and tells whether it is ASCII. */
#ifndef FASTFRAME_MASK_H
#define FASTFRAME_MASK_H

#include "base.h"

/* The key whose first byte is byte `offset % 4` of `key`. */
FF_INLINE uint32_t ff_key_at(uint32_t key, size_t offset) {
    unsigned bits = (unsigned)(offset & 3) * 8;
    if (bits == 0) return key;
#if FF_BIG_ENDIAN
    return key << bits | key >> (32 - bits);
#else
    return key >> bits | key << (32 - bits);
#endif
}

/* Fewer than 16 bytes: two loads that overlap in the middle. Both are done
 * before the first store, so that dst == src is masked once and not twice. */
FF_INLINE int ff_mask_short(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n >= 8) {
        uint64_t wide = (uint64_t)key << 32 | key;
        uint32_t end_key = ff_key_at(key, n);
        uint64_t head = ff_load64(src) ^ wide;
        uint64_t tail = ff_load64(src + n - 8) ^ ((uint64_t)end_key << 32 | end_key);
        ff_store64(dst, head);
        ff_store64(dst + n - 8, tail);
        return ((head | tail) & FF_HIGH_BITS) != 0;
    }
    if (n >= 4) {
        uint32_t head = ff_load32(src) ^ key;
        uint32_t tail = ff_load32(src + n - 4) ^ ff_key_at(key, n);
        ff_store32(dst, head);
        ff_store32(dst + n - 4, tail);
        return ((head | tail) & 0x80808080u) != 0;
    }
    uint8_t bytes[4], seen = 0;
    memcpy(bytes, &key, 4);
    for (size_t i = 0; i < n; i++) {
        dst[i] = src[i] ^ bytes[i];
        seen |= dst[i];
    }
    return seen >= 0x80;
}

FF_KERNEL int ff_mask_portable(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    uint64_t wide = (uint64_t)key << 32 | key, seen = 0;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        uint64_t a = ff_load64(src + i) ^ wide, b = ff_load64(src + i + 8) ^ wide;
        uint64_t c = ff_load64(src + i + 16) ^ wide, d = ff_load64(src + i + 24) ^ wide;
        ff_store64(dst + i, a);
        ff_store64(dst + i + 8, b);
        ff_store64(dst + i + 16, c);
        ff_store64(dst + i + 24, d);
        seen |= a | b | c | d;
    }
    for (; n - i >= 8; i += 8) {
        uint64_t a = ff_load64(src + i) ^ wide;
        ff_store64(dst + i, a);
        seen |= a;
    }
    return ff_mask_short(dst + i, src + i, n - i, key) | ((seen & FF_HIGH_BITS) != 0);
}

#ifdef FF_X86_64

/* 16 <= n < 64: at most four vectors, all loaded before the first is stored. */
FF_INLINE int ff_mask_medium_sse2(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    __m128i keys = _mm_set1_epi32((int)key), end_keys = _mm_set1_epi32((int)ff_key_at(key, n));
    __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)src), keys);
    __m128i d = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + n - 16)), end_keys);
    __m128i seen = _mm_or_si128(a, d);
    if (n > 32) {
        __m128i b = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + 16)), keys);
        __m128i c = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + n - 32)), end_keys);
        _mm_storeu_si128((__m128i *)(dst + 16), b);
        _mm_storeu_si128((__m128i *)(dst + n - 32), c);
        seen = _mm_or_si128(seen, _mm_or_si128(b, c));
    }
    _mm_storeu_si128((__m128i *)dst, a);
    _mm_storeu_si128((__m128i *)(dst + n - 16), d);
    return _mm_movemask_epi8(seen) != 0;
}

FF_KERNEL int ff_mask_sse2(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < 16) return ff_mask_short(dst, src, n, key);
    if (n < 64) return ff_mask_medium_sse2(dst, src, n, key);
    __m128i keys = _mm_set1_epi32((int)key);
    __m128i last = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + n - 16)),
                                 _mm_set1_epi32((int)ff_key_at(key, n)));
    __m128i seen = last;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i)), keys);
        __m128i b = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i + 16)), keys);
        __m128i c = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i + 32)), keys);
        __m128i d = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i + 48)), keys);
        _mm_storeu_si128((__m128i *)(dst + i), a);
        _mm_storeu_si128((__m128i *)(dst + i + 16), b);
        _mm_storeu_si128((__m128i *)(dst + i + 32), c);
        _mm_storeu_si128((__m128i *)(dst + i + 48), d);
        seen = _mm_or_si128(seen, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)));
    }
    for (; n - i >= 16; i += 16) {
        __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(src + i)), keys);
        _mm_storeu_si128((__m128i *)(dst + i), a);
        seen = _mm_or_si128(seen, a);
    }
    _mm_storeu_si128((__m128i *)(dst + n - 16), last);
    return _mm_movemask_epi8(seen) != 0;
}

/* Ask for the lines that will be written a little later. Beyond the second-level
 * cache a store waits for its line otherwise, and a copy, which may write lines
 * without reading them first, is a tenth faster. A prefetch past the end is no
 * access: it neither faults nor changes anything (Intel SDM, PREFETCHh). */
FF_INLINE void ff_prefetch_256(const uint8_t *dst) {
    for (uintptr_t line = 0; line < 256; line += 64)
        _mm_prefetch((const char *)((uintptr_t)dst + 2048 + line), _MM_HINT_T0);
}

/* Long buffers: stores that straddle two cache lines cost more than the XOR,
 * so the loop starts where dst is aligned. The first vectors on both sides of
 * that place overlap; both are loaded before either is stored. */
FF_AVX2
FF_KERNEL int ff_mask_avx2(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < 16) return ff_mask_short(dst, src, n, key);
    if (n < 64) return ff_mask_medium_sse2(dst, src, n, key);
    __m256i last = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + n - 32)),
                                    _mm256_set1_epi32((int)ff_key_at(key, n)));
    __m256i head = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)src), _mm256_set1_epi32((int)key));
    __m256i seen = _mm256_or_si256(last, head);
    size_t i = 32 - ((uintptr_t)dst & 31);
    __m256i keys = _mm256_set1_epi32((int)ff_key_at(key, i));
    __m256i next = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i)), keys);
    _mm256_storeu_si256((__m256i *)dst, head);
    _mm256_store_si256((__m256i *)(dst + i), next);
    seen = _mm256_or_si256(seen, next);
    i += 32;
    for (; n - i >= 128; i += 128) {
        __m256i a = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i)), keys);
        __m256i b = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i + 32)), keys);
        __m256i c = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i + 64)), keys);
        __m256i d = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i + 96)), keys);
        _mm256_store_si256((__m256i *)(dst + i), a);
        _mm256_store_si256((__m256i *)(dst + i + 32), b);
        _mm256_store_si256((__m256i *)(dst + i + 64), c);
        _mm256_store_si256((__m256i *)(dst + i + 96), d);
        seen = _mm256_or_si256(seen, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    }
    for (; n - i >= 32; i += 32) {
        __m256i a = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(src + i)), keys);
        _mm256_store_si256((__m256i *)(dst + i), a);
        seen = _mm256_or_si256(seen, a);
    }
    _mm256_storeu_si256((__m256i *)(dst + n - 32), last);
    return _mm256_movemask_epi8(seen) != 0;
}

FF_AVX512
FF_KERNEL int ff_mask_avx512(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < 16) return ff_mask_short(dst, src, n, key);
    if (n < 64) return ff_mask_medium_sse2(dst, src, n, key);
    __m512i last = _mm512_xor_si512(_mm512_loadu_si512(src + n - 64), _mm512_set1_epi32((int)ff_key_at(key, n)));
    __m512i head = _mm512_xor_si512(_mm512_loadu_si512(src), _mm512_set1_epi32((int)key));
    __m512i seen = _mm512_or_si512(last, head), keys = _mm512_set1_epi32((int)key);
    size_t i = 64;
    if (n >= 256) {
        i = 64 - ((uintptr_t)dst & 63);
        keys = _mm512_set1_epi32((int)ff_key_at(key, i));
        __m512i next = _mm512_xor_si512(_mm512_loadu_si512(src + i), keys);
        _mm512_storeu_si512(dst, head);
        _mm512_store_si512(dst + i, next);
        seen = _mm512_or_si512(seen, next);
        i += 64;
    } else {
        _mm512_storeu_si512(dst, head);
    }
    for (; n - i >= 256; i += 256) {
        ff_prefetch_256(dst + i);
        __m512i a = _mm512_xor_si512(_mm512_loadu_si512(src + i), keys);
        __m512i b = _mm512_xor_si512(_mm512_loadu_si512(src + i + 64), keys);
        __m512i c = _mm512_xor_si512(_mm512_loadu_si512(src + i + 128), keys);
        __m512i d = _mm512_xor_si512(_mm512_loadu_si512(src + i + 192), keys);
        _mm512_store_si512(dst + i, a);
        _mm512_store_si512(dst + i + 64, b);
        _mm512_store_si512(dst + i + 128, c);
        _mm512_store_si512(dst + i + 192, d);
        seen = _mm512_or_si512(_mm512_ternarylogic_epi64(a, b, c, 0xFE), _mm512_or_si512(seen, d));
    }
    for (; n - i >= 64; i += 64) {
        __m512i a = _mm512_xor_si512(_mm512_loadu_si512(src + i), keys);
        _mm512_storeu_si512(dst + i, a);
        seen = _mm512_or_si512(seen, a);
    }
    _mm512_storeu_si512(dst + n - 64, last);
    return _mm512_movepi8_mask(seen) != 0;
}

#endif /* FF_X86_64 */

#ifdef FF_AARCH64

FF_KERNEL int ff_mask_neon(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key) {
    if (n < 16) return ff_mask_short(dst, src, n, key);
    uint8x16_t keys = vreinterpretq_u8_u32(vdupq_n_u32(key));
    uint8x16_t last = veorq_u8(vld1q_u8(src + n - 16),
                               vreinterpretq_u8_u32(vdupq_n_u32(ff_key_at(key, n))));
    uint8x16_t seen = last;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        uint8x16_t a = veorq_u8(vld1q_u8(src + i), keys);
        uint8x16_t b = veorq_u8(vld1q_u8(src + i + 16), keys);
        uint8x16_t c = veorq_u8(vld1q_u8(src + i + 32), keys);
        uint8x16_t d = veorq_u8(vld1q_u8(src + i + 48), keys);
        vst1q_u8(dst + i, a);
        vst1q_u8(dst + i + 16, b);
        vst1q_u8(dst + i + 32, c);
        vst1q_u8(dst + i + 48, d);
        seen = vorrq_u8(seen, vorrq_u8(vorrq_u8(a, b), vorrq_u8(c, d)));
    }
    for (; n - i >= 16; i += 16) {
        uint8x16_t a = veorq_u8(vld1q_u8(src + i), keys);
        vst1q_u8(dst + i, a);
        seen = vorrq_u8(seen, a);
    }
    vst1q_u8(dst + n - 16, last);
    return vmaxvq_u8(seen) >= 0x80;
}

#endif /* FF_AARCH64 */

#endif
