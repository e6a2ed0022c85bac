// From kernels to engines: for each number of waiting streams, the kernel that gets them all on soonest.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { AUTOMATIC = FAMILIES, NAMED_ENGINES };

static const char *const engine_names[NAMED_ENGINES] = {
    [FAMILY_OPENSSL] = "openssl", [FAMILY_SHANI] = "shani", [FAMILY_AVX2] = "avx2",
    [FAMILY_AVX512] = "avx512",   [AUTOMATIC] = "auto",
};

// Written once under `once`, read-only afterwards.
static struct spate_hash_engine named[NAMED_ENGINES];
static struct spate_hash_engine single[SPATE_HASH_MAX_KERNELS];
static bool supported[SPATE_HASH_MAX_KERNELS], agrees[SPATE_HASH_MAX_KERNELS];
static enum spate_hash_wish wish;
static char wished_name[32];  // a copy: the environment may change
static const struct spate_hash_engine *current;
static pthread_once_t once = PTHREAD_ONCE_INIT;

// Fills the plan from the kernels allowed. best[n] is the cheapest way to move n streams on by one block each: one pass
// of a kernel over as many as it holds, then the best way for the rest. With every kernel there is, that comes to:
//
//   streams   SHA-1                              SHA-256
//   1         shani-x1                           shani-x1
//   2         shani-x2                           shani-x2
//   3-4       shani-x4                           shani-x2, then the rest
//   5-6       avx512-x8                          shani-x2, then the rest
//   7-8       avx512-x8                          avx512-x8
//   9-12      avx512-x8, then the rest           avx512-x8, then the rest
//   13-14     avx512-x16                         avx512-x8, then the rest
//   15-16     avx512-x16                         avx512-x16
static void make_plan(struct spate_hash_engine *engine, const bool *allowed) {
  for (int algorithm = 0; algorithm < SPATE_HASH_ALGORITHMS; algorithm++) {
    unsigned best[SPATE_HASH_MAX_LANES + 1] = {0};
    for (unsigned streams = 1; streams <= SPATE_HASH_MAX_LANES; streams++) {
      best[streams] = UINT32_MAX;
      for (int i = 0; i < spate_hash_kernels_count; i++) {
        const struct spate_kernel_entry *kernel = &spate_hash_kernels[i];
        if (!allowed[i] || (int)kernel->algorithm != algorithm) continue;
        const unsigned rest = streams > kernel->lanes ? streams - kernel->lanes : 0;
        const unsigned cost = kernel->step_ns_x10 + best[rest];
        if (cost > best[streams]) continue;  // of equals the wider, which comes later in the table
        best[streams] = cost;
        engine->plan[algorithm][streams] = (uint8_t)i;
      }
    }
  }
}

// The kernels of a family; OpenSSL's stand in for lone streams and for what the family lacks.
static void make_named(int index) {
  bool allowed[SPATE_HASH_MAX_KERNELS] = {false};
  // OpenSSL is always there, even where it may not be checked against itself.
  bool usable = index == AUTOMATIC || index == FAMILY_OPENSSL;
  for (int i = 0; i < spate_hash_kernels_count; i++) {
    const enum spate_hash_family family = spate_hash_kernels[i].family;
    const bool wanted = index == AUTOMATIC || (int)family == index;
    if (wanted && agrees[i]) usable = true;
    allowed[i] = family == FAMILY_OPENSSL || (wanted && agrees[i]);
  }
  named[index] = (struct spate_hash_engine){.name = engine_names[index], .usable = usable};
  make_plan(&named[index], allowed);
}

static void make_single(int kernel) {
  bool allowed[SPATE_HASH_MAX_KERNELS] = {false};
  for (int i = 0; i < spate_hash_kernels_count; i++) {
    // The other algorithm gets OpenSSL.
    const bool same = spate_hash_kernels[i].algorithm == spate_hash_kernels[kernel].algorithm;
    allowed[i] = same ? i == kernel : spate_hash_kernels[i].family == FAMILY_OPENSSL;
  }
  single[kernel] = (struct spate_hash_engine){.name = spate_hash_kernels[kernel].name, .usable = agrees[kernel]};
  make_plan(&single[kernel], allowed);
}

static const struct spate_hash_engine *find(const char *name, bool *known) {
  for (int i = 0; i < NAMED_ENGINES; i++) {
    if (strcmp(engine_names[i], name) != 0) continue;
    *known = true;
    return named[i].usable ? &named[i] : NULL;
  }
  *known = false;
  return NULL;
}

static void set_up(void) {
  for (int i = 0; i < spate_hash_kernels_count; i++) {
    supported[i] = spate_hash_family_supported(spate_hash_kernels[i].family);
    agrees[i] = supported[i] && spate_hash_self_test(i, -1);
  }
  for (int i = 0; i < NAMED_ENGINES; i++) make_named(i);
  for (int i = 0; i < spate_hash_kernels_count; i++) make_single(i);

#if defined(__OPTIMIZE__)
  current = &named[AUTOMATIC];
#else
  // Compiled without optimization the vector kernels are many times slower than OpenSSL, which never is.
  current = &named[FAMILY_OPENSSL];
#endif
  wish = SPATE_HASH_WISH_NONE;
  const char *wished = getenv("SPATE_HASH");
  if (wished == NULL || *wished == '\0') return;
  strncpy(wished_name, wished, sizeof wished_name - 1);
  bool known;
  const struct spate_hash_engine *forced = find(wished, &known);
  wish = forced ? SPATE_HASH_WISH_GRANTED : known ? SPATE_HASH_WISH_UNSUPPORTED : SPATE_HASH_WISH_UNKNOWN;
  if (forced) current = forced;
}

static void ensure_set_up(void) { pthread_once(&once, set_up); }

const spate_hash_engine *spate_hash_engine_current(void) {
  ensure_set_up();
  return current;
}

const spate_hash_engine *spate_hash_engine_named(const char *name) {
  ensure_set_up();
  bool known;
  return find(name, &known);
}

const spate_hash_engine *spate_hash_engine_of_kernel(int kernel) {
  ensure_set_up();
  if (kernel < 0 || kernel >= spate_hash_kernels_count || !single[kernel].usable) return NULL;
  return &single[kernel];
}

const char *spate_hash_engine_name(const spate_hash_engine *engine) { return engine->name; }

int spate_hash_engine_kernel(const spate_hash_engine *engine, enum spate_hash_algorithm algorithm, unsigned streams) {
  if (streams < 1) streams = 1;
  if (streams > SPATE_HASH_MAX_LANES) streams = SPATE_HASH_MAX_LANES;
  return engine->plan[algorithm][streams];
}

enum spate_hash_wish spate_hash_wish(void) {
  ensure_set_up();
  return wish;
}

const char *spate_hash_wished(void) {
  ensure_set_up();
  return wished_name;
}

struct spate_hash_kernel_info spate_hash_kernel_at(int kernel) {
  ensure_set_up();
  if (kernel < 0 || kernel >= spate_hash_kernels_count) return (struct spate_hash_kernel_info){.name = ""};
  return (struct spate_hash_kernel_info){
      .name = spate_hash_kernels[kernel].name,
      .algorithm = spate_hash_kernels[kernel].algorithm,
      .lanes = spate_hash_kernels[kernel].lanes,
      .supported = supported[kernel],
      .agrees = agrees[kernel],
  };
}
