// Which kernels there are, which the processor allows, and whether they are right.
#include <string.h>

#include "internal.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// The last column is what one 64-byte block of every lane costs, in tenths of a nanosecond, measured on a Zen 4 server
// core (3.6 GHz) over 16 KiB runs in the second-level cache. engine.c derives from it which kernels finish soonest for
// 1...16 waiting streams, so only the ratios matter. Where 512-bit instructions are not split in two, x16 should cost
// less than is said here; the plan then errs for 9 to 12 streams, which it would have put in x16 too.
const struct spate_kernel_entry spate_hash_kernels[] = {
    {"sha1-openssl", spate_sha1_openssl, SPATE_SHA1, FAMILY_OPENSSL, 1, 338},
    {"sha256-openssl", spate_sha256_openssl, SPATE_SHA256, FAMILY_OPENSSL, 1, 364},
#if defined(__x86_64__)
    {"sha1-shani-x1", spate_sha1_shani_x1, SPATE_SHA1, FAMILY_SHANI, 1, 335},
    {"sha1-shani-x2", spate_sha1_shani_x2, SPATE_SHA1, FAMILY_SHANI, 2, 385},
    {"sha1-shani-x4", spate_sha1_shani_x4, SPATE_SHA1, FAMILY_SHANI, 4, 590},
    {"sha1-avx2-x8", spate_sha1_avx2_x8, SPATE_SHA1, FAMILY_AVX2, 8, 1230},
    {"sha1-avx512-x8", spate_sha1_avx512_x8, SPATE_SHA1, FAMILY_AVX512, 8, 790},
    {"sha1-avx512-x16", spate_sha1_avx512_x16, SPATE_SHA1, FAMILY_AVX512, 16, 1400},
    {"sha256-shani-x1", spate_sha256_shani_x1, SPATE_SHA256, FAMILY_SHANI, 1, 360},
    {"sha256-shani-x2", spate_sha256_shani_x2, SPATE_SHA256, FAMILY_SHANI, 2, 400},
    {"sha256-avx2-x8", spate_sha256_avx2_x8, SPATE_SHA256, FAMILY_AVX2, 8, 2830},
    {"sha256-avx512-x8", spate_sha256_avx512_x8, SPATE_SHA256, FAMILY_AVX512, 8, 1480},
    {"sha256-avx512-x16", spate_sha256_avx512_x16, SPATE_SHA256, FAMILY_AVX512, 16, 2820},
#endif
};
const int spate_hash_kernels_count = sizeof spate_hash_kernels / sizeof spate_hash_kernels[0];
_Static_assert(sizeof spate_hash_kernels / sizeof spate_hash_kernels[0] <= SPATE_HASH_MAX_KERNELS,
               "the tables of engine.c are this long");

#if defined(__x86_64__)
// CPUID leaf 7, EBX bit 29. The instructions use SSE registers, which every x86-64 system saves.
static bool has_sha_extensions(void) {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx >> 29 & 1) != 0;
}
#endif

bool spate_hash_family_supported(enum spate_hash_family family) {
  switch (family) {
    case FAMILY_OPENSSL: return true;
#if defined(__x86_64__)
    // The builtin also asks XGETBV whether the operating system saves the YMM and ZMM registers.
    case FAMILY_SHANI: return has_sha_extensions() && __builtin_cpu_supports("avx");
    case FAMILY_AVX2: return __builtin_cpu_supports("avx2");
    case FAMILY_AVX512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl");
#endif
    default: return false;
  }
}

int spate_hash_kernel_count(void) { return spate_hash_kernels_count; }

// The self-test: every lane hashes a message of its own, of one to five blocks at an odd address, to the end of the
// shortest, then on from the state reached; the digests must be OpenSSL's.
enum { TEST_MAX_BYTES = 5 * SPATE_HASH_BLOCK_BYTES - 9, TEST_STRIDE = 5 * SPATE_HASH_BLOCK_BYTES + 1 };

bool spate_hash_self_test(int kernel, int fault_lane) {
  if (kernel < 0 || kernel >= spate_hash_kernels_count) return false;
  const struct spate_kernel_entry *entry = &spate_hash_kernels[kernel];
  if (!spate_hash_family_supported(entry->family)) return false;

  // An engine of this kernel alone, so that the test goes the way of real work.
  struct spate_hash_engine engine = {.name = entry->name, .usable = true};
  memset(engine.plan, kernel, sizeof engine.plan);

  const unsigned words = spate_hash_words(entry->algorithm);
  uint8_t messages[SPATE_HASH_MAX_LANES * TEST_STRIDE + 1];
  uint32_t states[SPATE_HASH_MAX_LANES][SHA256_WORDS];
  struct spate_hash_job jobs[SPATE_HASH_MAX_LANES];
  uint8_t expected[SPATE_HASH_MAX_LANES][sizeof(uint32_t) * SHA256_WORDS];
  uint32_t noise = 0x9e3779b9;
  for (unsigned lane = 0; lane < entry->lanes; lane++) {
    uint8_t *message = messages + 1 + lane * TEST_STRIDE;
    const size_t count = TEST_MAX_BYTES - (lane * 67) % TEST_MAX_BYTES;
    for (size_t i = 0; i < count; i++) {
      noise = noise * 1664525 + 1013904223;
      message[i] = (uint8_t)(noise >> 24);
    }
    // Where OpenSSL's configuration forbids the function to EVP, no kernel can be vouched for, and none is used.
    if (!spate_hash_reference(entry->algorithm, message, count, expected[lane])) return false;
    const size_t whole = count / SPATE_HASH_BLOCK_BYTES;
    const size_t carried = count % SPATE_HASH_BLOCK_BYTES;
    const size_t padding = spate_hash_pad(message + count - carried, carried, count);
    spate_hash_start(entry->algorithm, states[lane]);
    jobs[lane] = (struct spate_hash_job){.state = states[lane], .data = message, .blocks = whole + padding};
  }
  spate_hash_update_many(&engine, entry->algorithm, jobs, entry->lanes);
  if (fault_lane >= 0 && fault_lane < (int)entry->lanes) states[fault_lane][words - 1] ^= 1;

  for (unsigned lane = 0; lane < entry->lanes; lane++) {
    for (unsigned i = 0; i < words; i++) {
      uint32_t word;
      memcpy(&word, expected[lane] + i * sizeof word, sizeof word);
      if (states[lane][i] != __builtin_bswap32(word)) return false;
    }
  }
  return true;
}
