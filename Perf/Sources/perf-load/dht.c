#include "dht.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ID 20
#define COMPACT 26
#define NAMED 8
/// A query that has no answer after so long has got lost, in seconds.
#define LOST 0.05

struct node {
  uint32_t address; // network order
  uint8_t id[ID];
};

struct counts {
  uint64_t sent, answered, errors, wrong, lost, asked;
};

union place {
  struct cmsghdr header;
  uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct batch {
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  struct sockaddr_in addresses[BATCH];
  union place places[BATCH];
  uint8_t bytes[BATCH][2048];
};

static const struct dht_options *options;
static struct node *nodes;
static int fd;
static struct counts counts;
static struct batch received, queries, replies;
static uint64_t random_state = 0x9e3779b97f4a7c15;
static uint32_t next_node;
/// The transaction of all queries of one load: what comes later than that is of no interest.
static char transaction[] = "1:t2:aa";

static double monotonic(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

static uint64_t random_number(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

static void random_id(uint8_t *id) {
  for (int at = 0; at < ID; at += 4) {
    uint32_t part = (uint32_t)random_number();
    memcpy(id + at, &part, 4);
  }
}

static uint8_t *put(uint8_t *at, const void *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}

static uint8_t *text(uint8_t *at, const char *text) { return put(at, text, strlen(text)); }

/// Makes entry `index` of a batch leave from an address of ours.
static void address(struct batch *batch, unsigned index, uint32_t from, size_t length) {
  union place *place = &batch->places[index];
  struct in_pktinfo info = {.ipi_spec_dst.s_addr = from};
  memset(place, 0, sizeof *place);
  place->header =
      (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
  memcpy(CMSG_DATA(&place->header), &info, sizeof info);
  batch->vectors[index] = (struct iovec){batch->bytes[index], length};
  batch->messages[index].msg_hdr = (struct msghdr){
      .msg_name = &batch->addresses[index],
      .msg_namelen = sizeof batch->addresses[index],
      .msg_iov = &batch->vectors[index],
      .msg_iovlen = 1,
      .msg_control = place,
      .msg_controllen = sizeof *place,
  };
}

/// Sends `count` datagrams. Returns how many left.
static unsigned transmit(struct batch *batch, unsigned count) {
  unsigned sent = 0;
  while (sent < count) {
    int more = sendmmsg(fd, batch->messages + sent, count - sent, 0);
    if (more > 0) sent += (unsigned)more;
    else if (errno != EINTR && errno != ECONNREFUSED) break;
  }
  return sent;
}

/// Asks `count` times, each time as another node.
static unsigned ask(const char *method, const char *key, unsigned count) {
  for (unsigned index = 0; index < count; index++) {
    const struct node *node = &nodes[next_node];
    next_node = next_node + 1 == options->nodes ? 0 : next_node + 1;
    uint8_t *start = queries.bytes[index], *at = put(text(start, "d1:ad2:id20:"), node->id, ID);
    if (key) {
      at = text(at, key);
      random_id(at);
      at += ID;
    }
    at = text(text(text(text(at, "e1:q"), method), transaction), "1:v4:LT201:y1:qe");
    queries.addresses[index] = options->target;
    address(&queries, index, node->address, (size_t)(at - start));
  }
  return transmit(&queries, count);
}

static int distance(const uint8_t *a, const uint8_t *b, const uint8_t *target) {
  for (int at = 0; at < ID; at++) {
    uint8_t left = a[at] ^ target[at], right = b[at] ^ target[at];
    if (left != right) return left < right ? -1 : 1;
  }
  return 0;
}

/// Appends the nodes closest to `target`.
static uint8_t *name_nodes(uint8_t *at, const uint8_t *target) {
  const struct node *closest[NAMED + 1];
  unsigned count = 0;
  for (uint32_t index = 0; index < options->nodes; index++) {
    unsigned place = count;
    while (place > 0 && distance(nodes[index].id, closest[place - 1]->id, target) < 0) {
      closest[place] = closest[place - 1];
      place--;
    }
    if (place < NAMED) closest[place] = &nodes[index];
    if (count < NAMED) count++;
  }
  char header[32];
  snprintf(header, sizeof header, "5:nodes%u:", count * COMPACT);
  at = text(at, header);
  uint16_t port = htons(options->listen);
  for (unsigned index = 0; index < count; index++) {
    at = put(put(put(at, closest[index]->id, ID), &closest[index]->address, 4), &port, 2);
  }
  return at;
}

/// Answers a query. Returns whether it could be read.
static bool answer(unsigned index, const uint8_t *bytes, size_t length, const struct sockaddr_in *from,
                   uint32_t to) {
  const struct node *node = NULL;
  uint32_t host = ntohl(to), number = ((host >> 8 & 255) - 1) * 250 + (host & 255) - 1;
  if (number < options->nodes) node = &nodes[number];
  // The transaction is the last key but for the version and the kind.
  const uint8_t *echo = NULL;
  for (const uint8_t *at = bytes + length - 8; at > bytes && !echo; at--) {
    if (memcmp(at, "1:t", 3) == 0 && at[3] >= '1' && at[3] <= '8' && at[4] == ':') echo = at;
  }
  if (!node || !echo) return false;
  uint8_t *start = replies.bytes[index], *at = put(text(start, "d1:rd2:id20:"), node->id, ID);
  const uint8_t *target = memmem(bytes, length, "6:target20:", 11);
  if (target) target += 11;
  const uint8_t *info_hash = memmem(bytes, length, "9:info_hash20:", 14);
  if (info_hash) target = info_hash + 14;
  if (target && target + ID <= bytes + length) at = name_nodes(at, target);
  if (info_hash) at = text(at, "5:token4:perf");
  at = put(text(at, "e"), echo, 5 + (size_t)(echo[3] - '0'));
  at = text(at, "1:y1:re");
  replies.addresses[index] = *from;
  address(&replies, index, node->address, (size_t)(at - start));
  return true;
}

/// Whether a reply is what was asked for: a node's id, and of the larger questions nodes and a token.
static bool is_right(const uint8_t *bytes, size_t length, bool wants_nodes, bool wants_token) {
  if (!memmem(bytes, length, "2:id20:", 7)) return false;
  const uint8_t *named = memmem(bytes, length, "5:nodes", 7);
  if (wants_nodes && (!named || named[7] == '0')) return false;
  return !wants_token || memmem(bytes, length, "5:token", 7);
}

/// Takes what has come, waiting up to `milliseconds`. Returns how many replies and errors to queries there were.
static unsigned take(int milliseconds, bool wants_nodes, bool wants_token) {
  struct pollfd wanted = {.fd = fd, .events = POLLIN};
  if (milliseconds > 0 && poll(&wanted, 1, milliseconds) <= 0) return 0;
  for (unsigned index = 0; index < BATCH; index++) {
    received.vectors[index] = (struct iovec){received.bytes[index], sizeof received.bytes[index]};
    received.messages[index].msg_hdr = (struct msghdr){
        .msg_name = &received.addresses[index],
        .msg_namelen = sizeof received.addresses[index],
        .msg_iov = &received.vectors[index],
        .msg_iovlen = 1,
        .msg_control = &received.places[index],
        .msg_controllen = sizeof received.places[index],
    };
  }
  int count = recvmmsg(fd, received.messages, BATCH, MSG_DONTWAIT, NULL);
  unsigned done = 0, answers = 0;
  for (int index = 0; index < count; index++) {
    const uint8_t *bytes = received.bytes[index];
    size_t length = received.messages[index].msg_len;
    if (length < 20 || bytes[0] != 'd' || received.addresses[index].sin_port != options->target.sin_port) continue;
    // Of a message in canonical form the kind is the last key.
    const uint8_t *kind = bytes + length - 7;
    if (memcmp(kind, "1:y1:qe", 7) == 0) {
      struct cmsghdr *place = CMSG_FIRSTHDR(&received.messages[index].msg_hdr);
      struct in_pktinfo info;
      if (!place || place->cmsg_type != IP_PKTINFO) continue;
      memcpy(&info, CMSG_DATA(place), sizeof info);
      counts.asked++;
      if (answer(answers, bytes, length, &received.addresses[index], info.ipi_addr.s_addr)) answers++;
      continue;
    }
    if (!memmem(bytes, length, transaction, sizeof transaction - 1)) continue;
    done++;
    if (memcmp(kind, "1:y1:re", 7) != 0) counts.errors++;
    else if (!is_right(bytes, length, wants_nodes, wants_token)) counts.wrong++;
    else counts.answered++;
  }
  if (answers > 0) transmit(&replies, answers);
  return done;
}

static void load(const char *name, double seconds) {
  bool finds = strcmp(name, "find_node") == 0, gets = strcmp(name, "get_peers") == 0;
  const char *method = gets ? "9:get_peers" : finds ? "9:find_node" : "4:ping";
  const char *key = gets ? "9:info_hash20:" : finds ? "6:target20:" : NULL;
  counts = (struct counts){0};
  transaction[6] = transaction[6] == 'z' ? 'a' : (char)(transaction[6] + 1);
  double started = monotonic(), now = started, last = started;
  uint32_t under_way = 0;
  while (now - started < seconds) {
    uint32_t room = options->window - under_way;
    if (room >= options->window / 4) {
      unsigned sent = ask(method, key, room < BATCH ? room : BATCH);
      counts.sent += sent;
      under_way += sent;
    }
    // With room left there is something better to do than to wait.
    unsigned done = take(options->window - under_way >= options->window / 4 ? 0 : 5, finds || gets, gets);
    now = monotonic();
    under_way -= done < under_way ? done : under_way;
    if (done > 0) last = now;
    if (now - last > LOST) {
      counts.lost += under_way;
      under_way = 0;
      last = now;
    }
  }
  printf("{\"event\": \"asked\", \"at\": %.6f, \"method\": \"%s\", \"seconds\": %.6f, \"sent\": %llu,"
         " \"answered\": %llu, \"errors\": %llu, \"wrong\": %llu, \"lost\": %llu, \"under_way\": %u,"
         " \"queries\": %llu}\n",
         now, name, now - started, (unsigned long long)counts.sent, (unsigned long long)counts.answered,
         (unsigned long long)counts.errors, (unsigned long long)counts.wrong, (unsigned long long)counts.lost,
         under_way, (unsigned long long)counts.asked);
}

static bool open_socket(void) {
  fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int on = 1, room = 8 << 20;
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(options->listen)};
  if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0) return false;
  // Beyond the limit only for the superuser; without it the window is small enough all the same.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  }
  return bind(fd, (struct sockaddr *)&any, sizeof any) == 0;
}

static int report(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("{\"event\": \"report\", \"bad_blocks\": 0, \"user\": %.6f, \"system\": %.6f}\n",
         (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6,
         (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6);
  return 0;
}

int dht_run(const struct dht_options *wanted) {
  options = wanted;
  nodes = calloc(options->nodes, sizeof *nodes);
  if (!nodes || !open_socket()) return perror("perf-load: dht"), 1;
  for (uint32_t index = 0; index < options->nodes; index++) {
    random_id(nodes[index].id);
    nodes[index].address = htonl(10u << 24 | 77u << 16 | (1 + index / 250) << 8 | (1 + index % 250));
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  double started = monotonic();
  printf("{\"event\": \"started\", \"at\": %.6f}\n", started);
  char line[64];
  size_t length = 0;
  while (monotonic() - started < options->limit_seconds) {
    struct pollfd wanted_fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    if (poll(wanted_fds, 2, 1000) <= 0) continue;
    if (wanted_fds[1].revents) take(0, false, false);
    if (!wanted_fds[0].revents) continue;
    char byte;
    if (read(0, &byte, 1) != 1) break;
    if (byte != '\n') {
      if (length + 1 < sizeof line) line[length++] = byte;
      continue;
    }
    line[length] = 0;
    length = 0;
    char name[16];
    double seconds;
    if (sscanf(line, "%15s %lf", name, &seconds) == 2 && seconds > 0 && seconds <= 60) load(name, seconds);
  }
  return report();
}
