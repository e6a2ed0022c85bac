// System calls of Linux that the C library only declares for _GNU_SOURCE, which Swift's view of it is without.
#pragma once

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

// Reserves space for a range of a file; the file's size stays (`keeps_size`) or grows to the end of the range. The range
// reads as zeros where nothing was written. Returns 0 or an errno value.
int spate_disk_reserve(int file, int64_t offset, int64_t length, bool keeps_size);

// Whether writing into reserved space is cheaper than into holes here: measured on ext4, known of XFS. Elsewhere
// reserving costs (tmpfs fills pages, btrfs gives up compression and copy-on-write) or is not possible at all.
bool spate_disk_prefers_reserved(int file);

// O_DIRECT.
extern const int spate_disk_direct_flag;

// The largest of the multiples that offsets, lengths and memory addresses of a file opened with O_DIRECT must be of; 0 when
// there is no such thing for this file or the system does not say.
uint32_t spate_disk_direct_alignment(int file);

// Reads what the page cache holds, never waiting for the device. Returns the bytes, fewer where the next ones are not in
// memory, 0 at the end of the file, or a negated errno: EAGAIN when nothing is at hand, EOPNOTSUPP when the file system
// cannot tell.
ssize_t spate_disk_read_at_hand(int file, const struct iovec *vectors, int count, int64_t offset);

// Copies up to `count` bytes within the kernel. Returns how many, 0 at the end of the source, or -1 and errno.
int64_t spate_disk_copy_range(int from, int64_t from_offset, int to, int64_t to_offset, size_t count);

// Writes out everything of the file system that `file` is on. Returns 0 or an errno value.
int spate_disk_sync_file_system(int file);

// Waits for the semaphore, at most `nanoseconds` (monotonic); negative waits for ever. Returns false on timeout.
bool spate_semaphore_wait(sem_t *semaphore, int64_t nanoseconds);

// The calling thread's name for debuggers and /proc, cut after 15 bytes.
void spate_thread_name(const char *name);
