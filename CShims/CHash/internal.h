// What the kernels and the scheduler of CHash agree on.
#pragma once

#include "CHash.h"

enum { SHA1_WORDS = 5, SHA256_WORDS = 8 };

// The streams of one pass. States lie transposed (word-major), so that a vector kernel loads a word of all its lanes
// at once; lane i's data pointer moves on by 64 bytes a block.
struct spate_lanes {
  _Alignas(64) uint32_t state[SHA256_WORDS][SPATE_HASH_MAX_LANES];
  const uint8_t *data[SPATE_HASH_MAX_LANES];
};

// Hashes `blocks` blocks of each of the kernel's lanes, which all must have readable data.
typedef void spate_hash_kernel(struct spate_lanes *lanes, size_t blocks);

spate_hash_kernel spate_sha1_openssl, spate_sha256_openssl;

#if defined(__x86_64__)
spate_hash_kernel spate_sha1_shani_x1, spate_sha1_shani_x2, spate_sha1_shani_x4;
spate_hash_kernel spate_sha256_shani_x1, spate_sha256_shani_x2;
spate_hash_kernel spate_sha1_avx2_x8, spate_sha256_avx2_x8;
spate_hash_kernel spate_sha1_avx512_x8, spate_sha256_avx512_x8;
spate_hash_kernel spate_sha1_avx512_x16, spate_sha256_avx512_x16;
#endif

enum spate_hash_family { FAMILY_OPENSSL, FAMILY_SHANI, FAMILY_AVX2, FAMILY_AVX512, FAMILIES };

struct spate_kernel_entry {
  const char *name;
  spate_hash_kernel *run;
  enum spate_hash_algorithm algorithm;
  enum spate_hash_family family;
  unsigned lanes;
  unsigned step_ns_x10;  // what one block of every lane costs; see kernels.c
};

enum { SPATE_HASH_MAX_KERNELS = 16 };
extern const struct spate_kernel_entry spate_hash_kernels[];
extern const int spate_hash_kernels_count;
bool spate_hash_family_supported(enum spate_hash_family family);

struct spate_hash_engine {
  const char *name;
  bool usable;
  // plan[algorithm][n]: the kernel for a pass when n streams wait.
  uint8_t plan[SPATE_HASH_ALGORITHMS][SPATE_HASH_MAX_LANES + 1];
};

static inline unsigned spate_hash_words(enum spate_hash_algorithm algorithm) {
  return algorithm == SPATE_SHA1 ? SHA1_WORDS : SHA256_WORDS;
}
