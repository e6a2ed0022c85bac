// perf-warm [MIB]: touches that much free memory (default: what is free but 1.5 GiB) and gives it back.
//
// On a virtual machine with free page reporting, memory that has lain free for a few seconds is taken by the host,
// and its next use costs a fault there that the guest books as system time of whoever touches it: up to 2.8 s a GiB
// on the machine this was written on. Run right before a measured run, this gives every client the same memory.
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static size_t free_kib(void) {
  FILE *info = fopen("/proc/meminfo", "r");
  char line[200];
  size_t kib = 0;
  while (info && fgets(line, sizeof line, info)) {
    if (sscanf(line, "MemFree: %zu", &kib) == 1) break;
  }
  if (info) fclose(info);
  return kib;
}

int main(int argc, char **argv) {
  static const size_t spare_kib = 1536 << 10, page = 4096;
  size_t room = free_kib();
  room = room > spare_kib ? room - spare_kib : 0;
  size_t kib = argc > 1 ? strtoull(argv[1], NULL, 10) << 10 : room;
  if (kib > room) kib = room;
  if (kib == 0) return 0;
  size_t bytes = kib << 10;
  volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return perror("perf-warm"), 1;
  // No huge pages: the page cache wants single ones.
  madvise((void *)memory, bytes, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < bytes; at += page) memory[at] = 1;
  return 0;
}
