// Counts allocations and copies of the process it is preloaded into. See PerfMallocs.h.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "PerfMallocs.h"

// glibc's own names for what is replaced here: no dlsym, which itself allocates, on the way to an allocation.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static struct perf_mallocs_slot unmapped[PERF_MALLOCS_SLOTS];
static struct perf_mallocs_slot *slots = unmapped;
static unsigned next_slot;
static __thread unsigned own_slot __attribute__((tls_model("initial-exec")));

static struct perf_mallocs_slot *slot(void) {
  // Slot 0 means "none yet". Past the last one, threads share it: hence the atomic additions.
  if (own_slot == 0) {
    unsigned taken = __atomic_add_fetch(&next_slot, 1, __ATOMIC_RELAXED);
    own_slot = taken < PERF_MALLOCS_SLOTS ? taken : PERF_MALLOCS_SLOTS - 1;
  }
  return &slots[own_slot];
}

static void add(uint64_t *counter, uint64_t value) { __atomic_fetch_add(counter, value, __ATOMIC_RELAXED); }

static void allocated(size_t bytes) {
  struct perf_mallocs_slot *mine = slot();
  add(&mine->allocations, 1);
  add(&mine->allocated_bytes, bytes);
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("PERF_MALLOCS");
  if (!path) return;
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return;
  if (ftruncate(fd, sizeof unmapped) == 0) {
    void *mapped = mmap(NULL, sizeof unmapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) slots = mapped;
  }
  close(fd);
}

void *malloc(size_t bytes) {
  allocated(bytes);
  return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
  allocated(count * bytes);
  return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
  allocated(bytes);
  return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  allocated(bytes);
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
  allocated(bytes);
  return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
  allocated(bytes);
  void *memory = __libc_memalign(alignment, bytes);
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}

void free(void *memory) {
  if (memory) add(&slot()->frees, 1);
  __libc_free(memory);
}

// Copies. Only what goes through the C library's entry points is seen: inlined copies of a few bytes are not, and are
// not what is looked for.

typedef void *(*copy_function)(void *, const void *, size_t);
static copy_function real_memcpy, real_memmove;

__attribute__((constructor)) static void find_copies(void) {
  real_memcpy = (copy_function)dlsym(RTLD_NEXT, "memcpy");
  real_memmove = (copy_function)dlsym(RTLD_NEXT, "memmove");
}

static void copied(size_t bytes) {
  if (bytes < PERF_MALLOCS_MIN_COPY) return;
  struct perf_mallocs_slot *mine = slot();
  add(&mine->copies, 1);
  add(&mine->copied_bytes, bytes);
}

/// Before the real ones are known. Volatile, lest the compiler make a call of memmove of it.
static void *slow_move(void *to, const void *from, size_t bytes) {
  volatile unsigned char *out = to;
  const volatile unsigned char *in = from;
  if (out < in) {
    for (size_t i = 0; i < bytes; i++) out[i] = in[i];
  } else {
    for (size_t i = bytes; i > 0; i--) out[i - 1] = in[i - 1];
  }
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
  copied(bytes);
  return real_memcpy ? real_memcpy(to, from, bytes) : slow_move(to, from, bytes);
}

void *memmove(void *to, const void *from, size_t bytes) {
  copied(bytes);
  return real_memmove ? real_memmove(to, from, bytes) : slow_move(to, from, bytes);
}

void *mempcpy(void *restrict to, const void *restrict from, size_t bytes) {
  return (char *)memcpy(to, from, bytes) + bytes;
}

void *__memcpy_chk(void *to, const void *from, size_t bytes, size_t room) {
  if (bytes > room) abort();
  return memcpy(to, from, bytes);
}

void *__memmove_chk(void *to, const void *from, size_t bytes, size_t room) {
  if (bytes > room) abort();
  return memmove(to, from, bytes);
}
