// The loop: accepts or connects, reads and sends, tells what happens.
#include "swarm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 256, MAX_CONNECTING = 64, IP_BIND_NO_PORT = 24 };

static const uint64_t listener_tag = 1, stdin_tag = 2, first_peer_tag = 16;
static const double retry_seconds = 0.05;

struct counters counters;
struct swarm swarm;

static int epoll = -1, listener = -1;
static uint32_t *busy, busy_count, connecting;
static volatile sig_atomic_t stopped;

static double monotonic(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

struct in_addr peer_address(uint32_t index) {
  return (struct in_addr){htonl(10u << 24 | 77u << 16 | (1 + index / 250) << 8 | (1 + index % 250))};
}

static void say(const char *event) {
  printf("{\"event\": \"%s\", \"at\": %.6f}\n", event, monotonic());
  fflush(stdout);
}

void swarm_mark_busy(struct peer *peer) {
  if (peer->busy) return;
  peer->busy = true;
  busy[busy_count++] = peer->index;
}

void swarm_forget(struct peer *peer) {
  if (swarm.options->connects) peer->due = swarm.now + retry_seconds * 4;
}

static bool watch(int fd, uint32_t events, uint64_t tag) {
  struct epoll_event event = {.events = events, .data.u64 = tag};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool start_peer(struct peer *peer, int fd, bool initiated) {
  if (!watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, first_peer_tag + peer->index)) return close(fd), false;
  peer_start(peer, fd, initiated);
  return true;
}

// Connections

static void accept_peers(void) {
  for (;;) {
    struct sockaddr_in local;
    socklen_t bytes = sizeof local;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    // The address that was called says which peer is meant; 127.0.0.1 and the like take the first free one.
    struct peer *peer = NULL;
    if (getsockname(fd, (struct sockaddr *)&local, &bytes) == 0) {
      uint32_t host = ntohl(local.sin_addr.s_addr);
      uint32_t high = (host >> 8 & 255), low = host & 255;
      if (host >> 16 == (10u << 8 | 77u) && high >= 1 && low >= 1 && low <= 250) {
        uint32_t index = (high - 1) * 250 + low - 1;
        if (index < swarm.options->peers) peer = &swarm.peers[index];
      } else {
        for (uint32_t i = 0; i < swarm.options->peers && !peer; i++) {
          if (swarm.peers[i].phase == PEER_ABSENT) peer = &swarm.peers[i];
        }
      }
    }
    if (!peer || peer->phase != PEER_ABSENT) {
      close(fd);
      continue;
    }
    counters.accepted++;
    start_peer(peer, fd, false);
  }
}

static bool listen_for_peers(uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
         listen(listener, 4096) == 0 && watch(listener, EPOLLIN, listener_tag);
}

static void connect_peer(struct peer *peer) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  int on = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_NO_PORT, &on, sizeof on);
  // Every peer has an address of its own, as many clients take one connection from each. A target outside
  // 10.77/16 is left to the kernel's choice of source.
  struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = peer_address(peer->index)};
  bool ours = ntohl(swarm.options->target.sin_addr.s_addr) >> 16 == (10u << 8 | 77u);
  if (ours && bind(fd, (struct sockaddr *)&from, sizeof from) != 0) {
    fprintf(stderr, "perf-load: bind: %s\n", strerror(errno));
    stopped = 1;
  }
  const struct sockaddr_in *target = &swarm.options->target;
  if (connect(fd, (const struct sockaddr *)target, sizeof *target) != 0 && errno != EINPROGRESS) {
    close(fd);
    peer->due = swarm.now + retry_seconds;
    return;
  }
  if (start_peer(peer, fd, true)) connecting++;
}

static void finish_connect(struct peer *peer) {
  int error = 0;
  socklen_t bytes = sizeof error;
  connecting--;
  if (getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0 || error != 0) {
    peer_close(peer, strerror(error));
    peer->due = swarm.now + retry_seconds;
    return;
  }
  peer_connected(peer);
}

/// What is due by the clock: connecting, introducing, taking up what others gave back.
static void tick(void) {
  for (uint32_t i = 0; i < swarm.options->peers; i++) {
    struct peer *peer = &swarm.peers[i];
    if (peer->phase == PEER_ABSENT && swarm.options->connects && connecting < MAX_CONNECTING &&
        peer->due <= swarm.now) {
      connect_peer(peer);
    } else if (peer->phase == PEER_OPEN) {
      if (!peer->introduced && peer->due <= swarm.now) peer_introduce(peer);
      if (peer->wishes && peer->pending.count < swarm.options->depth) peer_ask(peer);
    }
  }
}

// Goals

static void start_wishes(struct wish_list *list, uint64_t bytes, uint32_t repeat) {
  uint32_t pieces = swarm.torrent->pieces;
  list->pieces = malloc(pieces * sizeof *list->pieces);
  list->announced = calloc(1, pieces / 8 + 1);
  if (!list->pieces || !list->announced) abort();
  list->bytes_wanted = bytes * repeat;
  list->repeats_left = repeat - 1;
}

static uint64_t bytes_of_parity(uint32_t parity) {
  uint64_t bytes = 0;
  for (uint32_t i = parity; i < swarm.torrent->pieces; i += 2) bytes += torrent_piece_length(swarm.torrent, i);
  return bytes;
}

static void assign_roles(void) {
  const struct swarm_options *options = swarm.options;
  if (options->leech) start_wishes(&swarm.wishes[0], swarm.torrent->total, options->repeat);
  if (options->both) {
    // The peers that hold even pieces want the odd ones, and the other way round.
    start_wishes(&swarm.wishes[0], bytes_of_parity(1), 1);
    start_wishes(&swarm.wishes[1], bytes_of_parity(0), 1);
  }
  for (uint32_t i = 0; i < options->peers; i++) {
    struct peer *peer = &swarm.peers[i];
    *peer = (struct peer){.fd = -1, .index = i};
    peer->holds = options->leech ? HOLDS_NONE : options->both || options->idle ? HOLDS_EVEN + i % 2 : HOLDS_ALL;
    if (options->leech) peer->wishes = &swarm.wishes[0];
    if (options->both) peer->wishes = &swarm.wishes[i % 2];
  }
}

static bool satisfied(void) {
  const struct wish_list *first = &swarm.wishes[0], *second = &swarm.wishes[1];
  return first->bytes_wanted + second->bytes_wanted > 0 && first->bytes_got >= first->bytes_wanted &&
         second->bytes_got >= second->bytes_wanted;
}

/// Every peer is connected and, where it wants something, knows what the client has.
static bool all_ready(void) {
  if (swarm.open_peers < swarm.options->peers) return false;
  for (uint32_t i = 0; i < swarm.options->peers; i++) {
    if (!swarm.peers[i].introduced) return false;
  }
  return !swarm.options->leech || swarm.wishes[0].count == swarm.torrent->pieces;
}

static void report(double started) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const struct counters *c = &counters;
  printf("{\"event\": \"report\", \"at\": %.6f, \"started\": %.6f, \"peers\": %u, \"open_peers\": %u,"
         " \"bytes_sent\": %llu, \"bytes_received\": %llu, \"blocks_sent\": %llu, \"blocks_received\": %llu,"
         " \"bad_blocks\": %llu, \"unasked_blocks\": %llu, \"requests_refused\": %llu, \"cancels\": %llu,"
         " \"accepted\": %llu, \"disconnects\": %llu, \"announces\": %llu, \"send_calls\": %llu,"
         " \"receive_calls\": %llu, \"first_request\": %.6f, \"last_sent\": %.6f, \"first_received\": %.6f,"
         " \"last_received\": %.6f, \"user\": %.6f, \"system\": %.6f}\n",
         monotonic(), started, swarm.options->peers, swarm.open_peers, (unsigned long long)c->bytes_sent,
         (unsigned long long)c->bytes_received, (unsigned long long)c->blocks_sent,
         (unsigned long long)c->blocks_received, (unsigned long long)c->bad_blocks,
         (unsigned long long)c->unasked_blocks, (unsigned long long)c->requests_refused,
         (unsigned long long)c->cancels, (unsigned long long)c->accepted, (unsigned long long)c->disconnects,
         (unsigned long long)c->announces, (unsigned long long)c->send_calls, (unsigned long long)c->receive_calls,
         c->first_request, c->last_sent, c->first_received, c->last_received,
         (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6,
         (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6);
  fflush(stdout);
}

// The loop

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

static void read_stdin(void) {
  char text[64];
  ssize_t got = read(STDIN_FILENO, text, sizeof text);
  if (got > 0) swarm.going = true; // any line means "go"
  else if (got == 0) stopped = 1;
}

static void peer_event(uint64_t tag, uint32_t events) {
  if (tag - first_peer_tag >= swarm.options->peers) return;
  struct peer *peer = &swarm.peers[tag - first_peer_tag];
  if (peer->phase == PEER_CONNECTING) {
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) finish_connect(peer);
  }
  if (peer->phase < PEER_SHAKING) return;
  if (events & EPOLLOUT) {
    peer->blocked = false;
    if (peer->queue.count > 0 || peer->control_count > 0) swarm_mark_busy(peer);
  }
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) peer_readable(peer);
}

/// One send call for each busy peer; those that could take more stay busy. Nothing is marked busy meanwhile.
static void flush_busy(void) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < busy_count; i++) {
    struct peer *peer = &swarm.peers[busy[i]];
    bool more = peer->phase >= PEER_SHAKING && !peer->blocked && peer_flush(peer);
    if (more) busy[kept++] = peer->index;
    else peer->busy = false;
  }
  busy_count = kept;
}

static bool start(void) {
  const struct swarm_options *options = swarm.options;
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  alarm(options->limit_seconds);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  epoll = epoll_create1(EPOLL_CLOEXEC);
  swarm.peers = calloc(options->peers, sizeof *swarm.peers);
  busy = calloc(options->peers, sizeof *busy);
  if (epoll < 0 || !swarm.peers || !busy) return false;
  fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
  watch(STDIN_FILENO, EPOLLIN, stdin_tag); // fails for a file or /dev/null: then only signals stop us
  assign_roles();
  return (options->listen == 0 || listen_for_peers(options->listen)) &&
         (options->tracker == 0 || tracker_listen(epoll, options->tracker));
}

int swarm_run(const struct swarm_options *options, struct torrent *torrent) {
  swarm.options = options;
  swarm.torrent = torrent;
  swarm.going = !options->waits;
  double started = swarm.now = monotonic(), next_tick = 0;
  if (!start()) {
    perror("perf-load");
    return 1;
  }
  say("started");
  bool ready = false, done = false;
  while (!stopped) {
    struct epoll_event events[MAX_EVENTS];
    int count = epoll_wait(epoll, events, MAX_EVENTS, busy_count > 0 ? 0 : 20);
    swarm.now = monotonic();
    for (int i = 0; i < count; i++) {
      uint64_t tag = events[i].data.u64;
      if (tag == listener_tag) accept_peers();
      else if (tag == stdin_tag) read_stdin();
      else if (tracker_owns(tag)) tracker_event(tag, epoll);
      else peer_event(tag, events[i].events);
    }
    if (swarm.now >= next_tick) {
      tick();
      next_tick = swarm.now + 0.02;
      if (!ready && all_ready()) say("ready"), ready = true;
    }
    flush_busy();
    if (!done && satisfied()) {
      say("done"), done = true;
      if (options->leech) break;
    }
  }
  report(started);
  return counters.bad_blocks > 0 ? 3 : options->leech && !done ? 4 : 0;
}
