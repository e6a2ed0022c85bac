// What AVX2 and AVX-512VL share at eight lanes of 32 bits in 256-bit registers. Include it through
// vector_avx2.h or vector_avx512vl.h, which say how to rotate and to combine three words.
#pragma once
#include <immintrin.h>

#include "internal.h"

#define INLINE TARGET static inline __attribute__((always_inline))
#define VECTOR __m256i
#define LANES 8
#define LOAD(from) _mm256_load_si256((const __m256i *)(const void *)(from))
#define STORE(to, x) _mm256_store_si256((__m256i *)(void *)(to), x)
#define ADD(x, y) _mm256_add_epi32(x, y)
#define XOR(x, y) _mm256_xor_si256(x, y)
#define SHR(x, n) _mm256_srli_epi32(x, n)
#define ALL(word) _mm256_set1_epi32((int)(word))

// Nothing is prepared ahead: a 16-byte column of eight streams is eight loads and short of work for the shuffle ports.
struct message {
  char unused;
};

INLINE void message_gather(struct message *message, const uint8_t *const *data, size_t offset, int i) {
  (void)message, (void)data, (void)offset, (void)i;
}

// Bytes 16c...16c+15 of streams i (low half) and i+4 (high half).
INLINE VECTOR row(const uint8_t *const *data, size_t at, int i) {
  const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(data[i] + at));
  const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(data[i + 4] + at));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

INLINE void message_words(const struct message *message, const uint8_t *const *data, size_t offset, int column,
                          VECTOR *words) {
  (void)message;
  const VECTOR big_endian = _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
  const size_t at = offset + 16 * (size_t)column;
  const VECTOR r0 = row(data, at, 0), r1 = row(data, at, 1), r2 = row(data, at, 2), r3 = row(data, at, 3);
  const VECTOR low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
  const VECTOR low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
  words[0] = _mm256_shuffle_epi8(_mm256_unpacklo_epi64(low01, low23), big_endian);
  words[1] = _mm256_shuffle_epi8(_mm256_unpackhi_epi64(low01, low23), big_endian);
  words[2] = _mm256_shuffle_epi8(_mm256_unpacklo_epi64(high01, high23), big_endian);
  words[3] = _mm256_shuffle_epi8(_mm256_unpackhi_epi64(high01, high23), big_endian);
}
