// The lane scheduler: streams enter lanes, run until the shortest is done, and leave; the next job takes the lane.
#include <string.h>

#include "internal.h"

void spate_hash_start(enum spate_hash_algorithm algorithm, uint32_t *state) {
  static const uint32_t sha1[SHA1_WORDS] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  static const uint32_t sha256[SHA256_WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  if (algorithm == SPATE_SHA1)
    memcpy(state, sha1, sizeof sha1);
  else
    memcpy(state, sha256, sizeof sha256);
}

size_t spate_hash_pad(uint8_t *tail, size_t carried, uint64_t total_bytes) {
  // A one bit, zeros, and the length in bits as 64 bits big-endian at the end of a block.
  const size_t blocks = carried + 1 + sizeof(uint64_t) <= SPATE_HASH_BLOCK_BYTES ? 1 : 2;
  const size_t length_at = blocks * SPATE_HASH_BLOCK_BYTES - sizeof(uint64_t);
  const uint64_t bits = __builtin_bswap64(total_bytes << 3);
  tail[carried] = 0x80;
  memset(tail + carried + 1, 0, length_at - carried - 1);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#error "the padding and the kernels assume a little-endian host"
#endif
  memcpy(tail + length_at, &bits, sizeof bits);
  return blocks;
}

// A job in its lane.
struct occupant {
  uint32_t *state;
  size_t blocks_left;
};

static inline void enter(struct spate_lanes *lanes, struct occupant *occupants, unsigned lane, unsigned words,
                         const struct spate_hash_job *job) {
  for (unsigned i = 0; i < words; i++) lanes->state[i][lane] = job->state[i];
  lanes->data[lane] = job->data;
  occupants[lane] = (struct occupant){.state = job->state, .blocks_left = job->blocks};
}

// Hands the state back and closes the gap with the last lane, so that the occupied lanes stay in front.
static inline void leave(struct spate_lanes *lanes, struct occupant *occupants, unsigned lane, unsigned last,
                         unsigned words) {
  for (unsigned i = 0; i < words; i++) occupants[lane].state[i] = lanes->state[i][lane];
  if (lane == last) return;
  for (unsigned i = 0; i < words; i++) lanes->state[i][lane] = lanes->state[i][last];
  lanes->data[lane] = lanes->data[last];
  occupants[lane] = occupants[last];
}

void spate_hash_update_many(const spate_hash_engine *engine, enum spate_hash_algorithm algorithm,
                            const struct spate_hash_job *jobs, size_t count) {
  const unsigned words = spate_hash_words(algorithm);
  struct spate_lanes lanes;
  struct occupant occupants[SPATE_HASH_MAX_LANES];
  memset(lanes.state, 0, sizeof lanes.state);  // idle lanes are hashed too; keep what they hold defined
  size_t next = 0;
  unsigned waiting = 0;
  for (;;) {
    for (; waiting < SPATE_HASH_MAX_LANES && next < count; next++) {
      if (jobs[next].blocks != 0) enter(&lanes, occupants, waiting++, words, &jobs[next]);
    }
    if (waiting == 0) return;

    const struct spate_kernel_entry *kernel = &spate_hash_kernels[engine->plan[algorithm][waiting]];
    const unsigned running = waiting < kernel->lanes ? waiting : kernel->lanes;
    size_t blocks = occupants[0].blocks_left;
    for (unsigned i = 1; i < running; i++) {
      if (occupants[i].blocks_left < blocks) blocks = occupants[i].blocks_left;
    }
    // Lanes without a stream read what lane 0 reads: valid memory, already in the cache.
    for (unsigned i = running; i < kernel->lanes; i++) lanes.data[i] = lanes.data[0];
    kernel->run(&lanes, blocks);

    for (unsigned i = running; i-- > 0;) {
      occupants[i].blocks_left -= blocks;
      if (occupants[i].blocks_left == 0) leave(&lanes, occupants, i, --waiting, words);
    }
  }
}
