#include "CDisk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

int spate_disk_reserve(int file, int64_t offset, int64_t length, bool keeps_size) {
  int result;
  do {
    result = fallocate(file, keeps_size ? FALLOC_FL_KEEP_SIZE : 0, offset, length);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

bool spate_disk_prefers_reserved(int file) {
  struct statfs status;
  if (fstatfs(file, &status) < 0) return false;
  // ext2, ext3 and ext4 share a number; the first two refuse to reserve, which is handled where it happens.
  return status.f_type == EXT4_SUPER_MAGIC || status.f_type == XFS_SUPER_MAGIC;
}

const int spate_disk_direct_flag = O_DIRECT;

uint32_t spate_disk_direct_alignment(int file) {
#ifdef STATX_DIOALIGN
  struct statx status;
  if (statx(file, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) < 0) return 0;
  if (!(status.stx_mask & STATX_DIOALIGN) || !status.stx_dio_offset_align) return 0;
  uint32_t memory = status.stx_dio_mem_align, offset = status.stx_dio_offset_align;
  return memory > offset ? memory : offset;
#else
  (void)file;
  return 0;
#endif
}

ssize_t spate_disk_read_at_hand(int file, const struct iovec *vectors, int count, int64_t offset) {
  ssize_t result;
  do {
    result = preadv2(file, vectors, count, offset, RWF_NOWAIT);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -(ssize_t)errno : result;
}

int64_t spate_disk_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count) {
  loff_t source = from_offset, target = to_offset;
  ssize_t result;
  do {
    result = copy_file_range(from, &source, to, &target, count, 0);
  } while (result < 0 && errno == EINTR);
  return result;
}

int spate_disk_sync_file_system(int file) {
  return syncfs(file) < 0 ? errno : 0;
}

bool spate_semaphore_wait(sem_t *semaphore, int64_t nanoseconds) {
  if (nanoseconds < 0) {
    while (sem_wait(semaphore) < 0 && errno == EINTR) {}
    return true;
  }
  struct timespec deadline;
  clock_gettime(CLOCK_MONOTONIC, &deadline);
  deadline.tv_sec += nanoseconds / 1000000000;
  deadline.tv_nsec += nanoseconds % 1000000000;
  if (deadline.tv_nsec >= 1000000000) {
    deadline.tv_sec += 1;
    deadline.tv_nsec -= 1000000000;
  }
  int result;
  do {
    result = sem_clockwait(semaphore, CLOCK_MONOTONIC, &deadline);
  } while (result < 0 && errno == EINTR);
  return result == 0;
}

void spate_thread_name(const char *name) {
  char cut[16];
  strncpy(cut, name, sizeof cut - 1);
  cut[sizeof cut - 1] = 0;
  pthread_setname_np(pthread_self(), cut);
}
