// The few system calls the runner needs that read better in C.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct perf_exit {
  int status; // as wait4 gives it
  double user, system; // seconds of the process and the children it waited for
  int64_t voluntary_switches, involuntary_switches;
  int64_t peak_resident; // bytes; includes what the parent had at the fork
};

/// Moves this process into a network of its own that has loopback only: 127.0.0.1, ::1 and 10.77.0.0/16.
/// Must run before any thread is started. Returns 0 or an errno.
int perf_enter_network(void);

/// Starts a process that dies with this one. `input` and `output` become its standard input and output, `errors` its
/// standard error. Returns its id, or -errno.
pid_t perf_spawn(const char *const *arguments, const char *const *environment, const char *folder, int input,
                 int output, int errors);

/// A pipe that no other child inherits: its read and its write end. Returns 0 or an errno.
int perf_pipe(int *read_end, int *write_end);

/// Waits for the end of `pid`. Returns 1 when it has ended, 0 when `block` is false and it has not, -errno.
int perf_wait(pid_t pid, bool block, struct perf_exit *exit);

/// Waits until `fd` can be read. Returns 1, 0 after `milliseconds`, or -errno.
int perf_poll(int fd, int milliseconds);

/// Raises the limit of open files as far as it goes.
void perf_raise_files(void);

double perf_monotonic(void);
