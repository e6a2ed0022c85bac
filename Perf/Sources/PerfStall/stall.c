// A disk that stands still. See PerfStall.h.
#include "PerfStall.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t stall_after = UINT64_MAX, stall_nanoseconds;
static uint64_t written, stalled_until;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

__attribute__((constructor)) static void start(void) {
  const char *text = getenv("PERF_STALL");
  if (!text) return;
  char *rest;
  stall_after = strtoull(text, &rest, 10);
  stall_nanoseconds = *rest == ':' ? (uint64_t)(strtod(rest + 1, NULL) * 1e9) : 0;
}

static void wait_for_disk(void) {
  uint64_t until = __atomic_load_n(&stalled_until, __ATOMIC_ACQUIRE);
  for (uint64_t at; until && (at = now()) < until;) {
    struct timespec left = {.tv_sec = (time_t)((until - at) / 1000000000u), .tv_nsec = (long)((until - at) % 1000000000u)};
    nanosleep(&left, NULL);
  }
}

static ssize_t wrote(ssize_t count) {
  if (count <= 0) return count;
  uint64_t before = __atomic_fetch_add(&written, (uint64_t)count, __ATOMIC_RELAXED);
  if (before < stall_after && before + (uint64_t)count >= stall_after) {
    __atomic_store_n(&stalled_until, now() + stall_nanoseconds, __ATOMIC_RELEASE);
  }
  return count;
}

ssize_t pwritev64(int fd, const struct iovec *vectors, int count, off64_t offset) {
  wait_for_disk();
  return wrote(syscall(SYS_pwritev, fd, vectors, count, offset, 0));
}

ssize_t pwritev(int fd, const struct iovec *vectors, int count, off_t offset) {
  return pwritev64(fd, vectors, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  wait_for_disk();
  return wrote(syscall(SYS_pwrite64, fd, bytes, count, offset));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

ssize_t preadv64(int fd, const struct iovec *vectors, int count, off64_t offset) {
  wait_for_disk();
  return syscall(SYS_preadv, fd, vectors, count, offset, 0);
}

ssize_t preadv(int fd, const struct iovec *vectors, int count, off_t offset) {
  return preadv64(fd, vectors, count, offset);
}

int fsync(int fd) {
  wait_for_disk();
  return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  wait_for_disk();
  return (int)syscall(SYS_fdatasync, fd);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  wait_for_disk();
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
