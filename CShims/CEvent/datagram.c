#include "internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_COUNT 32
/// The longest datagrams expected: a UDP tracker's answer with a few hundred IPv6 peers.
#define RECEIVE_BYTES 8192
#define SEND_COUNT 64

/// Room for an address of this machine beside a datagram, of either family.
union place {
  struct cmsghdr header;
  uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/// Shared by all sockets of a loop: what was received is looked at before the next call.
struct cev_receive_batch {
  struct mmsghdr messages[RECEIVE_COUNT];
  struct iovec vectors[RECEIVE_COUNT];
  struct sockaddr_in6 addresses[RECEIVE_COUNT];
  cev_received received[RECEIVE_COUNT];
  union place places[RECEIVE_COUNT];
  uint8_t bytes[RECEIVE_COUNT][RECEIVE_BYTES];
};

struct queued {
  size_t offset;
  uint32_t length;
  cev_address to;
  /// Family 0: the kernel chooses.
  cev_address from;
};

struct cev_datagram {
  cev_loop *loop;
  uint64_t token;
  struct event read_event;
  struct event write_event;
  int descriptor;
  int family;
  bool report_unreachable : 1;
  bool dirty : 1;
  bool waiting : 1;
  uint64_t readable_turn;
  size_t dirty_index;
  /// Unsent datagrams are `queue[head ..< count]`, their bytes lie in `arena`; both start over when all went out.
  struct queued *queue;
  size_t head, count, capacity;
  uint8_t *arena;
  size_t arena_used, arena_capacity;
  size_t max_bytes, max_count;
  uint64_t dropped;
};

void cev_receive_batch_free(struct cev_receive_batch *batch) { free(batch); }

static void on_readable(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_datagram *socket = context;
  if (socket->readable_turn == socket->loop->turn) return;
  socket->readable_turn = socket->loop->turn;
  cev_loop_append(socket->loop, CEV_RECORD_DATAGRAM_READABLE, socket->token);
}

static void on_writable(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_datagram *socket = context;
  event_del(&socket->write_event);
  socket->waiting = false;
  cev_datagram_flush(socket);
}

cev_datagram *cev_datagram_open(
    cev_loop *loop, uint64_t token, const cev_binding *binding, bool reuse_port, bool report_unreachable,
    size_t queue_bytes, size_t queue_count, int *error) {
  unsigned flags = reuse_port ? CEV_SOCKET_REUSE_ADDRESS | CEV_SOCKET_REUSE_PORT : 0;
  int descriptor = cev_socket_open(binding->address.family, SOCK_DGRAM, binding, flags, error);
  if (descriptor < 0) return NULL;
  int on = 1;
  if (report_unreachable &&
      (binding->address.family == 4
           ? setsockopt(descriptor, IPPROTO_IP, IP_RECVERR, &on, sizeof on)
           : setsockopt(descriptor, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on)) < 0) {
    *error = errno;
    close(descriptor);
    return NULL;
  }
  // A socket that is bound to no address hears all of them. Whoever asked one of these takes an answer from no other.
  // Where the kernel refuses to tell, it chooses, as it would without this.
  if (binding->address.family == 4 && binding->address.low == 0) {
    (void)setsockopt(descriptor, IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  } else if (binding->address.family == 6 && binding->address.low == 0 && binding->address.high == 0) {
    (void)setsockopt(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  }
  if (reuse_port) {
    // Otherwise groups that others on this machine joined, on whatever interface, would be heard too.
    int off = 0;
    (void)(binding->address.family == 4
               ? setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off)
               : setsockopt(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off));
  }
  cev_datagram *socket = calloc(1, sizeof *socket);
  if (!socket) {
    *error = ENOMEM;
    close(descriptor);
    return NULL;
  }
  socket->loop = loop;
  socket->token = token;
  socket->descriptor = descriptor;
  socket->family = binding->address.family;
  socket->report_unreachable = report_unreachable;
  socket->max_bytes = queue_bytes;
  socket->max_count = queue_count;
  event_assign(&socket->read_event, loop->base, descriptor, EV_READ | EV_PERSIST, on_readable, socket);
  event_assign(&socket->write_event, loop->base, descriptor, EV_WRITE | EV_PERSIST, on_writable, socket);
  if (event_add(&socket->read_event, NULL) < 0) {
    *error = errno;
    close(descriptor);
    free(socket);
    return NULL;
  }
  return socket;
}

void cev_datagram_free(cev_datagram *socket) {
  if (socket->dirty) socket->loop->dirty_datagrams[socket->dirty_index] = NULL;
  event_del(&socket->read_event);
  event_del(&socket->write_event);
  close(socket->descriptor);
  free(socket->queue);
  free(socket->arena);
  free(socket);
}

int cev_datagram_descriptor(const cev_datagram *socket) { return socket->descriptor; }

/// Reads which address of ours a datagram came to.
static void read_place(struct msghdr *message, cev_address *at) {
  *at = (cev_address){0};
  for (struct cmsghdr *item = CMSG_FIRSTHDR(message); item; item = CMSG_NXTHDR(message, item)) {
    struct sockaddr_in6 storage = {0};
    if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo info;
      memcpy(&info, CMSG_DATA(item), sizeof info);
      struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
      v4->sin_family = AF_INET;
      // Of a datagram to a group or to everybody, this is the address of the interface.
      v4->sin_addr = info.ipi_spec_dst;
    } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo info;
      memcpy(&info, CMSG_DATA(item), sizeof info);
      // Nobody answers from a group.
      if (IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) return;
      storage.sin6_family = AF_INET6;
      storage.sin6_addr = info.ipi6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) storage.sin6_scope_id = info.ipi6_ifindex;
    } else {
      continue;
    }
    (void)cev_from_sockaddr((struct sockaddr *)&storage, at);
    return;
  }
}

/// Says which address of ours a datagram should leave from.
static void write_place(const cev_address *from, union place *place, struct msghdr *message) {
  if (from->family == 0) return;
  struct sockaddr_in6 storage;
  (void)cev_to_sockaddr(from, &storage);
  memset(place, 0, sizeof *place);
  message->msg_control = place;
  if (from->family == 4) {
    struct in_pktinfo info = {.ipi_spec_dst = ((struct sockaddr_in *)&storage)->sin_addr};
    place->header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(&place->header), &info, sizeof info);
    message->msg_controllen = CMSG_SPACE(sizeof info);
  } else {
    struct in6_pktinfo info = {.ipi6_addr = storage.sin6_addr, .ipi6_ifindex = storage.sin6_scope_id};
    place->header = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof info), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
    memcpy(CMSG_DATA(&place->header), &info, sizeof info);
    message->msg_controllen = CMSG_SPACE(sizeof info);
  }
}

size_t cev_datagram_receive(cev_datagram *socket, const cev_received **received) {
  struct cev_receive_batch *batch = socket->loop->receive_batch;
  *received = NULL;
  if (!batch) {
    batch = malloc(sizeof *batch);
    if (!batch) abort();
    socket->loop->receive_batch = batch;
  }
  for (size_t index = 0; index < RECEIVE_COUNT; index++) {
    batch->vectors[index] = (struct iovec){batch->bytes[index], RECEIVE_BYTES};
    batch->messages[index].msg_hdr = (struct msghdr){
        .msg_name = &batch->addresses[index],
        .msg_namelen = sizeof batch->addresses[index],
        .msg_iov = &batch->vectors[index],
        .msg_iovlen = 1,
        .msg_control = &batch->places[index],
        .msg_controllen = sizeof batch->places[index],
    };
  }
  int count;
  int attempts = 0;
  do {
    count = recvmmsg(socket->descriptor, batch->messages, RECEIVE_COUNT, MSG_DONTWAIT, NULL);
    // An ICMP error is reported in place of a datagram, once; what follows it is still to be read.
  } while (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && ++attempts < RECEIVE_COUNT);
  size_t kept = 0;
  for (int index = 0; index < count; index++) {
    struct mmsghdr *message = &batch->messages[index];
    cev_received *entry = &batch->received[kept];
    if (!cev_from_sockaddr((struct sockaddr *)&batch->addresses[index], &entry->from)) continue;
    read_place(&message->msg_hdr, &entry->at);
    entry->bytes = batch->bytes[index];
    entry->length = message->msg_len;
    entry->truncated = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    kept++;
  }
  *received = batch->received;
  return kept;
}

bool cev_datagram_next_unreachable(cev_datagram *socket, cev_unreachable *unreachable) {
  if (!socket->report_unreachable) return false;
  for (;;) {
    struct sockaddr_in6 to;
    uint8_t byte;
    struct iovec vector = {&byte, 1};
    union {
      struct cmsghdr header;
      uint8_t bytes[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6))];
    } control;
    struct msghdr message = {
        .msg_name = &to,
        .msg_namelen = sizeof to,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    ssize_t result = recvmsg(socket->descriptor, &message, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (result < 0 && errno == EINTR) continue;
    if (result < 0) return false;
    if (!cev_from_sockaddr((struct sockaddr *)&to, &unreachable->to)) continue;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
      bool is_error = (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_RECVERR) ||
                      (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_RECVERR);
      if (!is_error) continue;
      struct sock_extended_err details;
      memcpy(&details, CMSG_DATA(item), sizeof details);
      unreachable->error = (int)details.ee_errno;
      return true;
    }
  }
}

bool cev_datagram_send(
    cev_datagram *socket, const void *bytes, size_t count, const cev_address *to, const cev_address *from) {
  if (to->family != socket->family || count > 65507 || socket->count - socket->head >= socket->max_count ||
      count > socket->max_bytes || socket->arena_used > socket->max_bytes - count) {
    socket->dropped++;
    return false;
  }
  cev_grow((void **)&socket->queue, &socket->capacity, socket->count + 1, sizeof *socket->queue);
  cev_grow((void **)&socket->arena, &socket->arena_capacity, socket->arena_used + count, 1);
  socket->queue[socket->count++] =
      (struct queued){.offset = socket->arena_used, .length = (uint32_t)count, .to = *to};
  if (from && from->family == to->family) socket->queue[socket->count - 1].from = *from;
  if (count > 0) memcpy(socket->arena + socket->arena_used, bytes, count);
  socket->arena_used += count;
  if (!socket->dirty && !socket->waiting) {
    cev_loop *loop = socket->loop;
    cev_grow(
        (void **)&loop->dirty_datagrams, &loop->dirty_datagram_capacity, loop->dirty_datagram_count + 1,
        sizeof *loop->dirty_datagrams);
    socket->dirty = true;
    socket->dirty_index = loop->dirty_datagram_count;
    loop->dirty_datagrams[loop->dirty_datagram_count++] = socket;
  }
  return true;
}

void cev_datagram_flush(cev_datagram *socket) {
  struct mmsghdr messages[SEND_COUNT];
  struct iovec vectors[SEND_COUNT];
  struct sockaddr_in6 addresses[SEND_COUNT];
  union place places[SEND_COUNT];
  socket->dirty = false;
  while (socket->head < socket->count && !socket->waiting) {
    size_t left = socket->count - socket->head;
    unsigned batch = left < SEND_COUNT ? (unsigned)left : SEND_COUNT;
    for (unsigned index = 0; index < batch; index++) {
      const struct queued *entry = &socket->queue[socket->head + index];
      vectors[index] = (struct iovec){socket->arena + entry->offset, entry->length};
      messages[index] = (struct mmsghdr){0};
      messages[index].msg_hdr = (struct msghdr){
          .msg_name = &addresses[index],
          .msg_namelen = cev_to_sockaddr(&entry->to, &addresses[index]),
          .msg_iov = &vectors[index],
          .msg_iovlen = 1,
      };
      write_place(&entry->from, &places[index], &messages[index].msg_hdr);
    }
    int sent = sendmmsg(socket->descriptor, messages, batch, MSG_DONTWAIT);
    if (sent > 0) {
      socket->head += (size_t)sent;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      socket->waiting = event_add(&socket->write_event, NULL) == 0;
      if (!socket->waiting) socket->head = socket->count;
    } else if (errno != EINTR && errno != ECONNREFUSED) {
      // No route, too long, forbidden: this datagram will never leave, the next one may.
      socket->head++;
      socket->dropped++;
    } else if (errno == ECONNREFUSED) {
      // An earlier datagram's ICMP error, reported here once and cleared by that: the same datagram may leave now.
      continue;
    }
  }
  if (socket->head == socket->count) {
    socket->head = socket->count = socket->arena_used = 0;
  }
}

size_t cev_datagram_queue_count(const cev_datagram *socket) { return socket->count - socket->head; }

uint64_t cev_datagram_dropped(const cev_datagram *socket) { return socket->dropped; }

static int change_membership(
    cev_datagram *socket, const cev_address *group, uint32_t interface_index, int option) {
  struct group_req request = {.gr_interface = interface_index};
  struct sockaddr_in6 storage;
  socklen_t length = cev_to_sockaddr(group, &storage);
  if (group->family != socket->family) return EAFNOSUPPORT;
  memcpy(&request.gr_group, &storage, length);
  int level = group->family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
  return setsockopt(socket->descriptor, level, option, &request, sizeof request) < 0 ? errno : 0;
}

static int set(int descriptor, int level, int option, const void *value, socklen_t length) {
  return setsockopt(descriptor, level, option, value, length) < 0 ? errno : 0;
}

int cev_datagram_join(
    cev_datagram *socket, const cev_address *group, uint32_t interface_index, int hop_limit, bool loopback) {
  int error = change_membership(socket, group, interface_index, MCAST_JOIN_GROUP);
  if (error) return error;
  int descriptor = socket->descriptor;
  int on = loopback;
  if (group->family == 4) {
    struct ip_mreqn interface = {.imr_ifindex = (int)interface_index};
    error = set(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface);
    if (!error) error = set(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, &on, sizeof on);
    if (!error) error = set(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, &hop_limit, sizeof hop_limit);
  } else {
    int index = (int)interface_index;
    error = set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
    if (!error) error = set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &on, sizeof on);
    if (!error) error = set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hop_limit, sizeof hop_limit);
  }
  if (error) (void)change_membership(socket, group, interface_index, MCAST_LEAVE_GROUP);
  return error;
}

int cev_datagram_leave(cev_datagram *socket, const cev_address *group, uint32_t interface_index) {
  return change_membership(socket, group, interface_index, MCAST_LEAVE_GROUP);
}
