#include "CPerf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
  close(fd);
  return good;
}

/// Without privileges a network namespace needs a user namespace around it, in which we stay who we are.
static int unshare_network(void) {
  if (unshare(CLONE_NEWNET) == 0) return 0;
  char map[64];
  unsigned user = getuid(), group = getgid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return errno;
  write_file("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "%u %u 1", user, user);
  if (!write_file("/proc/self/uid_map", map)) return errno;
  snprintf(map, sizeof map, "%u %u 1", group, group);
  return write_file("/proc/self/gid_map", map) ? 0 : errno;
}

static void set_address(struct ifreq *request, const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  inet_pton(AF_INET, text, &address.sin_addr);
  memcpy(&request->ifr_addr, &address, sizeof address);
}

int perf_enter_network(void) {
  int error = unshare_network();
  if (error) return error;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  bool good = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  // A prefix on the loopback device makes all of its addresses local, so 65,000 peers need no set-up of their own.
  struct ifreq alias = {.ifr_name = "lo:1"};
  set_address(&alias, "10.77.0.1");
  good = good && ioctl(fd, SIOCSIFADDR, &alias) == 0;
  set_address(&alias, "255.255.0.0");
  good = good && ioctl(fd, SIOCSIFNETMASK, &alias) == 0;
  error = good ? 0 : errno;
  close(fd);
  return error;
}

pid_t perf_spawn(const char *const *arguments, const char *const *environment, const char *folder, int input,
                 int output, int errors) {
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid < 0) return -errno;
  if (pid > 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0) _exit(126);
  if (folder && chdir(folder) != 0) _exit(126);
  execvpe(arguments[0], (char *const *)arguments, (char *const *)environment);
  _exit(127);
}

int perf_pipe(int *read_end, int *write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  *read_end = ends[0], *write_end = ends[1];
  return 0;
}

int perf_wait(pid_t pid, bool block, struct perf_exit *exit) {
  struct rusage usage;
  int status;
  pid_t got;
  do {
    got = wait4(pid, &status, block ? 0 : WNOHANG, &usage);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  if (got == 0) return 0;
  *exit = (struct perf_exit){
      .status = status,
      .user = (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6,
      .system = (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6,
      .voluntary_switches = usage.ru_nvcsw,
      .involuntary_switches = usage.ru_nivcsw,
      .peak_resident = (int64_t)usage.ru_maxrss * 1024,
  };
  return 1;
}

int perf_poll(int fd, int milliseconds) {
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  int count = poll(&wanted, 1, milliseconds);
  return count < 0 ? (errno == EINTR ? 0 : -errno) : count > 0;
}

void perf_raise_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

double perf_monotonic(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}
