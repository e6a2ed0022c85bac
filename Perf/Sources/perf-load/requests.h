// Rings of requests.
#pragma once
#include <stdlib.h>

#include "swarm.h"

static inline struct request *ring_at(struct requests *requests, uint32_t i) {
  return &requests->ring[(requests->first + i) & (requests->room - 1)];
}

static inline void ring_push(struct requests *requests, struct request request) {
  if (requests->count == requests->room) {
    uint32_t room = requests->room ? requests->room * 2 : 64;
    struct request *grown = malloc(room * sizeof *grown);
    if (!grown) abort();
    for (uint32_t i = 0; i < requests->count; i++) grown[i] = *ring_at(requests, i);
    free(requests->ring);
    requests->ring = grown, requests->room = room, requests->first = 0;
  }
  requests->count++;
  *ring_at(requests, requests->count - 1) = request;
}

static inline struct request ring_remove(struct requests *requests, uint32_t i) {
  struct request removed = *ring_at(requests, i);
  for (; i > 0; i--) *ring_at(requests, i) = *ring_at(requests, i - 1);
  requests->first = (requests->first + 1) & (requests->room - 1);
  requests->count--;
  return removed;
}

/// The index of `wanted` in the ring, or its count.
static inline uint32_t ring_find(struct requests *requests, struct request wanted) {
  for (uint32_t i = 0; i < requests->count; i++) {
    struct request *at = ring_at(requests, i);
    if (at->piece == wanted.piece && at->begin == wanted.begin && at->length == wanted.length) return i;
  }
  return requests->count;
}
