// Sixteen lanes of 32 bits: AVX-512 in 512-bit registers. See sha1_vector.h for what a vector header provides.
#pragma once
#include <immintrin.h>

#include "internal.h"

#define TARGET __attribute__((target("avx512f,avx512bw")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define VECTOR __m512i
#define LANES 16
#define LOAD(from) _mm512_load_si512(from)
#define STORE(to, x) _mm512_store_si512(to, x)
#define ADD(x, y) _mm512_add_epi32(x, y)
#define ROTL(x, n) _mm512_rol_epi32(x, n)
#define ROTR(x, n) _mm512_ror_epi32(x, n)
#define SHR(x, n) _mm512_srli_epi32(x, n)
#define ALL(word) _mm512_set1_epi32((int)(word))
#define PINNED(x) __asm__("" : "+v"(x))
// One vpternlogd each; the immediate is the truth table.
#define CHOOSE(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xca)
#define MAJORITY(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xe8)
#define PARITY(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x96)
#define XOR4(x, y, z, u) _mm512_xor_si512(PARITY(x, y, z), u)

// The 16 x 16 transpose of dwords in two halves. The first brings 16-byte columns of the 16 streams together and is
// done for the next block amid the rounds of the present one, by stores: they take none of the shuffles' and rotations'
// two units, which are the rounds' bottleneck (3 % over shuffling). The second is done just before the rounds that need
// the words. All at once it would leave the rounds' dependency chain nothing to overlap with (4 %).
struct message {
  VECTOR column[4][4];  // [c][i]: bytes 16c...16c+15 of streams i, i+4, i+8, i+12
};

INLINE void message_gather(struct message *message, const uint8_t *const *data, size_t offset, int i) {
  for (int column = 0; column < 4; column++) {
    __m128i *parts = (__m128i *)(void *)&message->column[column][i];
    for (int part = 0; part < 4; part++) {
      const uint8_t *bytes = data[i + 4 * part] + offset + 16 * column;
      _mm_store_si128(&parts[part], _mm_loadu_si128((const __m128i *)(const void *)bytes));
    }
  }
  __asm__("" : "+m"(*message));  // through memory: in registers it would push the message words out
}

INLINE void message_words(const struct message *message, const uint8_t *const *data, size_t offset, int column,
                          VECTOR *words) {
  (void)data, (void)offset;
  const VECTOR big_endian = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
  const VECTOR *r = message->column[column];
  const VECTOR low01 = _mm512_unpacklo_epi32(r[0], r[1]), high01 = _mm512_unpackhi_epi32(r[0], r[1]);
  const VECTOR low23 = _mm512_unpacklo_epi32(r[2], r[3]), high23 = _mm512_unpackhi_epi32(r[2], r[3]);
  words[0] = _mm512_shuffle_epi8(_mm512_unpacklo_epi64(low01, low23), big_endian);
  words[1] = _mm512_shuffle_epi8(_mm512_unpackhi_epi64(low01, low23), big_endian);
  words[2] = _mm512_shuffle_epi8(_mm512_unpacklo_epi64(high01, high23), big_endian);
  words[3] = _mm512_shuffle_epi8(_mm512_unpackhi_epi64(high01, high23), big_endian);
}
