// What libPerfMallocs.so counts, and where it leaves it.
//
// Preload it (LD_PRELOAD) with PERF_MALLOCS=FILE in the environment. The file is mapped and holds the counters as
// they grow, so that they survive whatever way the process ends. Threads count in slots of their own; a reader adds
// the slots up. Layout: PERF_MALLOCS_SLOTS times `struct perf_mallocs_slot`, little endian.
#pragma once
#include <stdint.h>

enum { PERF_MALLOCS_SLOTS = 256, PERF_MALLOCS_MIN_COPY = 512 };

struct perf_mallocs_slot {
  uint64_t allocations;     // malloc, calloc, realloc that grew or began one, memalign and kin
  uint64_t allocated_bytes; // as asked for
  uint64_t frees;
  uint64_t copies;       // memcpy and memmove calls of at least PERF_MALLOCS_MIN_COPY bytes
  uint64_t copied_bytes; // by those
  uint64_t unused[3];    // a slot fills a cache line
};
