#include "content.h"

#include <string.h>

enum { PAGE_BYTES = 4096, STARTS = 16, PATTERN_BYTES = STARTS * PAGE_BYTES + BLOCK_BYTES };

static uint8_t pattern[PATTERN_BYTES] __attribute__((aligned(PAGE_BYTES)));

static uint64_t mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

void content_start(void) {
  for (size_t at = 0; at < PATTERN_BYTES; at += 8) {
    uint64_t word = mix(0x5370617465ull + at);
    memcpy(pattern + at, &word, 8);
  }
}

void content_stamp(uint64_t block, uint8_t out[STAMP_BYTES]) {
  uint64_t mixed = mix(block);
  for (int i = 0; i < 8; i++) {
    out[i] = (uint8_t)(block >> (8 * i));
    out[8 + i] = (uint8_t)(mixed >> (8 * i));
  }
}

const uint8_t *content_pattern(uint64_t block) {
  return pattern + (mix(block) % STARTS) * PAGE_BYTES;
}

void content_read(uint64_t offset, uint8_t *out, size_t count) {
  while (count > 0) {
    uint64_t block = offset / BLOCK_BYTES;
    size_t from = offset % BLOCK_BYTES;
    size_t take = BLOCK_BYTES - from < count ? BLOCK_BYTES - from : count;
    memcpy(out, content_pattern(block) + from, take);
    if (from < STAMP_BYTES) {
      uint8_t stamp[STAMP_BYTES];
      content_stamp(block, stamp);
      memcpy(out, stamp + from, STAMP_BYTES - from < take ? STAMP_BYTES - from : take);
    }
    out += take, offset += take, count -= take;
  }
}

bool content_matches(uint64_t offset, const uint8_t *bytes, size_t count) {
  while (count > 0) {
    uint64_t block = offset / BLOCK_BYTES;
    size_t from = offset % BLOCK_BYTES;
    size_t take = BLOCK_BYTES - from < count ? BLOCK_BYTES - from : count;
    size_t stamped = 0;
    if (from < STAMP_BYTES) {
      uint8_t stamp[STAMP_BYTES];
      content_stamp(block, stamp);
      stamped = STAMP_BYTES - from < take ? STAMP_BYTES - from : take;
      if (memcmp(bytes, stamp + from, stamped) != 0) return false;
    }
    if (memcmp(bytes + stamped, content_pattern(block) + from + stamped, take - stamped) != 0) return false;
    bytes += take, offset += take, count -= take;
  }
  return true;
}
