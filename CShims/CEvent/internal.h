#pragma once

#include "include/CEvent.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct cev_receive_batch;

struct cev_loop {
  struct event_base *base;
  struct event *wake_event;
  struct event *timer_event;
  int wake_descriptor;
  int timer_descriptor;
  /// Place in the table of loops, so that a block reference fits a pointer-sized argument.
  uint32_t index;
  uint64_t turn;
  uint64_t armed_deadline;

  /// Double-buffered: callbacks append to one array while Swift walks the other.
  cev_record *records;
  size_t record_count, record_capacity;
  cev_record *taken_records;
  size_t taken_record_capacity;

  uint32_t *blocks;
  size_t block_count, block_capacity;
  uint32_t *taken_blocks;
  size_t taken_block_capacity;

  /// Connections with output added in this turn. Entries of freed ones are null.
  struct cev_connection **dirty;
  size_t dirty_count, dirty_capacity;
  struct cev_datagram **dirty_datagrams;
  size_t dirty_datagram_count, dirty_datagram_capacity;

  /// Stages that no connection has, and how many there are in all. See stage.h.
  struct cev_stage *spare_stages;
  size_t stage_count;

  struct cev_receive_batch *receive_batch;
  cev_http_server *http_servers;
};

/// Appends a zeroed record. Running out of memory here would lose an event that is never repeated, so it ends the
/// process, as it does in Swift.
cev_record *cev_loop_append(cev_loop *loop, cev_record_kind kind, uint64_t token);

/// The loop that runs on `base`, or null.
cev_loop *cev_loop_of_base(const struct event_base *base);

/// Where the system's congestion control is one that paces (BBR), a socket begins without it, because pacing, once begun, stays:
/// a peer on this machine is spared a timer for each 64 KiB, there being nothing to control. To be called before the socket
/// listens or connects; those who accept inherit it.
void cev_socket_begin_unpaced(int descriptor);
/// The socket is connected: unless the peer is on this machine, the system's own algorithm takes over.
void cev_socket_pace(int descriptor);

void cev_loop_return_block(uint32_t loop_index, uint32_t block);

/// Doubles `*array` until it holds `needed` elements; ends the process when memory ran out.
void cev_grow(void **array, size_t *capacity, size_t needed, size_t element_size);

static inline void cev_milliseconds(uint64_t milliseconds, struct timeval *result) {
  result->tv_sec = (time_t)(milliseconds / 1000);
  result->tv_usec = (suseconds_t)(milliseconds % 1000 * 1000);
}

/// Length of the result, 0 for an address without family.
socklen_t cev_to_sockaddr(const cev_address *address, struct sockaddr_in6 *storage);
/// False for a family other than IPv4 and IPv6.
bool cev_from_sockaddr(const struct sockaddr *storage, cev_address *address);

enum cev_socket_flag {
  CEV_SOCKET_REUSE_ADDRESS = 1,
  CEV_SOCKET_REUSE_PORT = 2,
  CEV_SOCKET_LATE_PORT = 4,
};

/// A non-blocking socket of the binding's (or, without one, the given) family (4 or 6), bound as told. -1 and `error`.
int cev_socket_open(int family, int type, const cev_binding *binding, unsigned flags, int *error);

void cev_connection_flush(struct cev_connection *connection);
void cev_datagram_flush(struct cev_datagram *socket);
void cev_receive_batch_free(struct cev_receive_batch *batch);
