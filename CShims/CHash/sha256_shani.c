// SHA-256 with the SHA extensions, one or two streams interleaved.
//
// SHA256RNDS2 does two rounds in 4 cycles and can start every 2, so two streams fill the unit. Four were measured and
// are slower than two: the rounds need xmm0, and with four messages the registers run out.
#if defined(__x86_64__)
#include <immintrin.h>

#include "internal.h"
#include "sha256_constants.h"

#define TARGET __attribute__((target("sha,avx")))
#define EACH_STREAM(i) _Pragma("clang loop unroll(full)") for (int i = 0; i < streams; i++)

enum { MAX_STREAMS = 2 };

TARGET static inline __attribute__((always_inline)) void hash(struct spate_lanes *lanes, size_t blocks,
                                                              const int streams) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  // The instructions want the state as (f e b a) and (h g d c), lowest word first.
  __m128i abef[MAX_STREAMS], cdgh[MAX_STREAMS];
  const uint8_t *data[MAX_STREAMS];
  EACH_STREAM(i) {
    data[i] = lanes->data[i];
    abef[i] = _mm_set_epi32((int)lanes->state[0][i], (int)lanes->state[1][i], (int)lanes->state[4][i],
                            (int)lanes->state[5][i]);
    cdgh[i] = _mm_set_epi32((int)lanes->state[2][i], (int)lanes->state[3][i], (int)lanes->state[6][i],
                            (int)lanes->state[7][i]);
  }
  for (size_t block = 0; block < blocks; block++) {
    __m128i abef_before[MAX_STREAMS], cdgh_before[MAX_STREAMS], message[MAX_STREAMS][4];
    EACH_STREAM(i) {
      abef_before[i] = abef[i];
      cdgh_before[i] = cdgh[i];
    }
    // Four rounds a group; the schedule (FIPS 180-4, 6.2.2 step 1) runs up to three groups ahead.
    _Pragma("clang loop unroll(full)") for (int group = 0; group < 16; group++) {
      const int now = group & 3, next = (group + 1) & 3, last = (group + 3) & 3;
      const __m128i constants =
          _mm_loadu_si128((const __m128i *)(const void *)&sha256_constants[4 * group]);
      EACH_STREAM(i) {
        if (group < 4) {
          const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(data[i] + 16 * group));
          message[i][now] = _mm_shuffle_epi8(bytes, big_endian);
        }
        const __m128i words = _mm_add_epi32(message[i][now], constants);
        cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], words);
        if (group >= 3 && group < 15) {
          const __m128i seven_before = _mm_alignr_epi8(message[i][now], message[i][last], 4);
          message[i][next] =
              _mm_sha256msg2_epu32(_mm_add_epi32(message[i][next], seven_before), message[i][now]);
        }
        abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], _mm_shuffle_epi32(words, 0x0e));
        if (group >= 1 && group < 13) message[i][last] = _mm_sha256msg1_epu32(message[i][last], message[i][now]);
      }
    }
    EACH_STREAM(i) {
      abef[i] = _mm_add_epi32(abef[i], abef_before[i]);
      cdgh[i] = _mm_add_epi32(cdgh[i], cdgh_before[i]);
      data[i] += SPATE_HASH_BLOCK_BYTES;
    }
  }
  EACH_STREAM(i) {
    lanes->data[i] = data[i];
    lanes->state[0][i] = (uint32_t)_mm_extract_epi32(abef[i], 3);
    lanes->state[1][i] = (uint32_t)_mm_extract_epi32(abef[i], 2);
    lanes->state[4][i] = (uint32_t)_mm_extract_epi32(abef[i], 1);
    lanes->state[5][i] = (uint32_t)_mm_extract_epi32(abef[i], 0);
    lanes->state[2][i] = (uint32_t)_mm_extract_epi32(cdgh[i], 3);
    lanes->state[3][i] = (uint32_t)_mm_extract_epi32(cdgh[i], 2);
    lanes->state[6][i] = (uint32_t)_mm_extract_epi32(cdgh[i], 1);
    lanes->state[7][i] = (uint32_t)_mm_extract_epi32(cdgh[i], 0);
  }
}

TARGET void spate_sha256_shani_x1(struct spate_lanes *lanes, size_t blocks) { hash(lanes, blocks, 1); }
TARGET void spate_sha256_shani_x2(struct spate_lanes *lanes, size_t blocks) { hash(lanes, blocks, 2); }
#endif
