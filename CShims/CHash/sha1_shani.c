// SHA-1 with the SHA extensions, one to four streams interleaved.
//
// SHA1RNDS4 does four rounds in 6 cycles but can start every 2 to 4, so a lone stream leaves most of the unit idle
// and streams beside it are nearly free. AVX is asked for only for its three-operand forms of the other instructions.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"

#define TARGET __attribute__((target("sha,avx")))
#define EACH_STREAM(i) _Pragma("clang loop unroll(full)") for (int i = 0; i < streams; i++)

enum { MAX_STREAMS = 4 };

// Rounds 4g...4g+3. The function and constant (FIPS 180-4, 4.1.1 and 4.2.1) are an immediate operand.
TARGET static inline __attribute__((always_inline)) __m128i four_rounds(__m128i abcd, __m128i e, int group) {
  switch (group / 5) {
    case 0: return _mm_sha1rnds4_epu32(abcd, e, 0);
    case 1: return _mm_sha1rnds4_epu32(abcd, e, 1);
    case 2: return _mm_sha1rnds4_epu32(abcd, e, 2);
    default: return _mm_sha1rnds4_epu32(abcd, e, 3);
  }
}

TARGET static inline __attribute__((always_inline)) void hash(struct spate_lanes *lanes, size_t blocks,
                                                              const int streams) {
  const __m128i big_endian = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
  __m128i abcd[MAX_STREAMS], e[MAX_STREAMS];
  const uint8_t *data[MAX_STREAMS];
  EACH_STREAM(i) {
    data[i] = lanes->data[i];
    abcd[i] = _mm_set_epi32((int)lanes->state[0][i], (int)lanes->state[1][i], (int)lanes->state[2][i],
                            (int)lanes->state[3][i]);
    e[i] = _mm_set_epi32((int)lanes->state[4][i], 0, 0, 0);
  }
  for (size_t block = 0; block < blocks; block++) {
    __m128i abcd_before[MAX_STREAMS], e_before[MAX_STREAMS], message[MAX_STREAMS][4];
    EACH_STREAM(i) {
      abcd_before[i] = abcd[i];
      e_before[i] = e[i];
    }
    _Pragma("clang loop unroll(full)") for (int group = 0; group < 20; group++) {
      const int now = group & 3;
      EACH_STREAM(i) {
        if (group < 4) {
          const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data[i] + 16 * group));
          message[i][now] = _mm_shuffle_epi8(bytes, big_endian);
        }
        // The first group's e is the state's own; later ones are a of four rounds before, rotated.
        const __m128i e_plus_words = group == 0 ? _mm_add_epi32(e[i], message[i][now])
                                                : _mm_sha1nexte_epu32(e[i], message[i][now]);
        e[i] = abcd[i];
        abcd[i] = four_rounds(abcd[i], e_plus_words, group);
        // The message schedule of the next three groups, each a step further on its way (FIPS 180-4, 6.1.2 step 1).
        if (group >= 1 && group < 17)
          message[i][(group + 3) & 3] = _mm_sha1msg1_epu32(message[i][(group + 3) & 3], message[i][now]);
        if (group >= 2 && group < 18)
          message[i][(group + 2) & 3] = _mm_xor_si128(message[i][(group + 2) & 3], message[i][now]);
        if (group >= 3 && group < 19)
          message[i][(group + 1) & 3] = _mm_sha1msg2_epu32(message[i][(group + 1) & 3], message[i][now]);
      }
    }
    EACH_STREAM(i) {
      e[i] = _mm_sha1nexte_epu32(e[i], e_before[i]);
      abcd[i] = _mm_add_epi32(abcd[i], abcd_before[i]);
      data[i] += SPATE_HASH_BLOCK_BYTES;
    }
  }
  EACH_STREAM(i) {
    lanes->data[i] = data[i];
    lanes->state[0][i] = (uint32_t)_mm_extract_epi32(abcd[i], 3);
    lanes->state[1][i] = (uint32_t)_mm_extract_epi32(abcd[i], 2);
    lanes->state[2][i] = (uint32_t)_mm_extract_epi32(abcd[i], 1);
    lanes->state[3][i] = (uint32_t)_mm_extract_epi32(abcd[i], 0);
    lanes->state[4][i] = (uint32_t)_mm_extract_epi32(e[i], 3);
  }
}

TARGET void spate_sha1_shani_x1(struct spate_lanes *lanes, size_t blocks) { hash(lanes, blocks, 1); }
TARGET void spate_sha1_shani_x2(struct spate_lanes *lanes, size_t blocks) { hash(lanes, blocks, 2); }
TARGET void spate_sha1_shani_x4(struct spate_lanes *lanes, size_t blocks) { hash(lanes, blocks, 4); }
#endif
