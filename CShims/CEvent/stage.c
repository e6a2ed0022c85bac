#include "stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
  /// 32 blocks with their headers: twice what the engine sends at a time.
  MAX_PARTS = 64,
  /// Headers, requests and other small messages.
  MAX_BYTES = 2048,
  /// Stages of a loop: connections that are given output in one turn. More than that are rare, and would take memory.
  MAX_STAGES = 64,
};

static const uint32_t NO_BLOCK = UINT32_MAX;

struct cev_stage {
  cev_stage *next;
  size_t length;
  /// Parts up to here are sent.
  int first;
  int count;
  size_t used;
  struct iovec parts[MAX_PARTS];
  uint32_t blocks[MAX_PARTS];
  char bytes[MAX_BYTES];
};

static void clear(cev_stage *stage) {
  stage->length = stage->used = 0;
  stage->first = stage->count = 0;
}

cev_stage *cev_stage_take(cev_loop *loop) {
  cev_stage *stage = loop->spare_stages;
  if (stage) {
    loop->spare_stages = stage->next;
    return stage;
  }
  if (loop->stage_count == MAX_STAGES) return NULL;
  stage = malloc(sizeof *stage);
  if (!stage) return NULL;
  loop->stage_count++;
  clear(stage);
  return stage;
}

void cev_stage_release(cev_loop *loop, cev_stage *stage) {
  stage->next = loop->spare_stages;
  loop->spare_stages = stage;
}

void cev_stages_free(cev_loop *loop) {
  while (loop->spare_stages) {
    cev_stage *next = loop->spare_stages->next;
    free(loop->spare_stages);
    loop->spare_stages = next;
  }
}

size_t cev_stage_length(const cev_stage *stage) { return stage->length; }

bool cev_stage_add_bytes(cev_stage *stage, const void *bytes, size_t count) {
  if (count > MAX_BYTES - stage->used) return false;
  char *place = stage->bytes + stage->used;
  // Copied bytes that follow each other are one part.
  bool follows = stage->count > stage->first && stage->blocks[stage->count - 1] == NO_BLOCK;
  if (!follows) {
    if (stage->count == MAX_PARTS) return false;
    stage->parts[stage->count] = (struct iovec){.iov_base = place};
    stage->blocks[stage->count++] = NO_BLOCK;
  }
  memcpy(place, bytes, count);
  stage->parts[stage->count - 1].iov_len += count;
  stage->used += count;
  stage->length += count;
  return true;
}

bool cev_stage_add_block(cev_stage *stage, const void *bytes, size_t count, uint32_t block) {
  if (stage->count == MAX_PARTS) return false;
  stage->parts[stage->count] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = count};
  stage->blocks[stage->count++] = block;
  stage->length += count;
  return true;
}

ssize_t cev_stage_write(cev_loop *loop, cev_stage *stage, int descriptor) {
  ssize_t written;
  do {
    written = writev(descriptor, stage->parts + stage->first, stage->count - stage->first);
  } while (written < 0 && errno == EINTR);
  if (written < 0) return -1;
  size_t left = (size_t)written;
  stage->length -= left;
  while (stage->first < stage->count) {
    struct iovec *part = &stage->parts[stage->first];
    if (left < part->iov_len) {
      part->iov_base = (char *)part->iov_base + left;
      part->iov_len -= left;
      return written;
    }
    left -= part->iov_len;
    if (stage->blocks[stage->first] != NO_BLOCK) cev_loop_return_block(loop->index, stage->blocks[stage->first]);
    stage->first++;
  }
  clear(stage);
  return written;
}

bool cev_stage_spill(cev_loop *loop, cev_stage *stage, struct evbuffer *output) {
  for (; stage->first < stage->count; stage->first++) {
    struct iovec part = stage->parts[stage->first];
    uint32_t block = stage->blocks[stage->first];
    bool moved = block == NO_BLOCK ? cev_output_add_bytes(output, part.iov_base, part.iov_len)
                                   : cev_output_add_block(loop, output, part.iov_base, part.iov_len, block);
    if (!moved) return false;
    stage->length -= part.iov_len;
  }
  clear(stage);
  return true;
}

void cev_stage_drop(cev_loop *loop, cev_stage *stage) {
  for (; stage->first < stage->count; stage->first++) {
    if (stage->blocks[stage->first] != NO_BLOCK) cev_loop_return_block(loop->index, stage->blocks[stage->first]);
  }
  clear(stage);
}

bool cev_output_add_bytes(struct evbuffer *output, const void *bytes, size_t count) {
  struct evbuffer_iovec space;
  // Not evbuffer_add: after a referenced block it would allocate a chain as large as the block for a 13-byte header.
  if (count > PTRDIFF_MAX || evbuffer_reserve_space(output, (ev_ssize_t)count, &space, 1) < 1) return false;
  memcpy(space.iov_base, bytes, count);
  space.iov_len = count;
  return evbuffer_commit_space(output, &space, 1) == 0;
}

static void on_block_sent(const void *bytes, size_t count, void *extra) {
  (void)bytes, (void)count;
  uint64_t packed = (uint64_t)(uintptr_t)extra;
  cev_loop_return_block((uint32_t)(packed >> 32), (uint32_t)packed);
}

bool cev_output_add_block(
    cev_loop *loop, struct evbuffer *output, const void *bytes, size_t count, uint32_t block) {
  _Static_assert(sizeof(void *) == 8, "a block reference packs loop and block into a pointer");
  void *extra = (void *)(uintptr_t)((uint64_t)loop->index << 32 | block);
  return evbuffer_add_reference(output, bytes, count, on_block_sent, extra) == 0;
}
