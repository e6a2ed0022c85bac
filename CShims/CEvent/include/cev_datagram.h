#pragma once

#include "cev_connection.h"

typedef struct cev_datagram cev_datagram;

typedef struct {
  const uint8_t *_Nonnull bytes;
  uint32_t length;
  /// The datagram was longer than the buffer; only its start is here.
  bool truncated;
  cev_address from;
  /// The address of this machine that the datagram came to; family 0 where the kernel did not say.
  cev_address at;
} cev_received;

typedef struct {
  /// The address the failed datagram was sent to.
  cev_address to;
  int error;
} cev_unreachable;

/// A bound UDP socket. With `reuse_port` others may share the port, and of groups only those are heard that this socket
/// joined. `report_unreachable` turns ICMP errors into `cev_datagram_next_unreachable` entries.
/// The queue of unsent datagrams holds at most `queue_bytes` and `queue_count`.
cev_datagram *_Nullable cev_datagram_open(
    cev_loop *_Nonnull loop, uint64_t token, const cev_binding *_Nonnull binding, bool reuse_port,
    bool report_unreachable, size_t queue_bytes, size_t queue_count, int *_Nonnull error);
void cev_datagram_free(cev_datagram *_Nonnull socket);
int cev_datagram_descriptor(const cev_datagram *_Nonnull socket);

/// Receives up to 32 datagrams of up to 8,192 bytes into buffers shared by the loop; valid until the next call on any
/// socket of the loop. Returns their count, 0 when there are none.
size_t cev_datagram_receive(
    cev_datagram *_Nonnull socket, const cev_received *_Nullable *_Nonnull received);
/// The next queued ICMP error, false when there is none.
bool cev_datagram_next_unreachable(
    cev_datagram *_Nonnull socket, cev_unreachable *_Nonnull unreachable);

/// Queues a copy, sent at the end of the turn. False when the queue is full (the datagram is dropped).
/// `from`: the `at` of the datagram that this one answers; null or family 0 leaves the choice to the kernel.
bool cev_datagram_send(
    cev_datagram *_Nonnull socket, const void *_Nonnull bytes, size_t count,
    const cev_address *_Nonnull to, const cev_address *_Nullable from);
size_t cev_datagram_queue_count(const cev_datagram *_Nonnull socket);
/// Datagrams that were refused by a full queue or by the kernel.
uint64_t cev_datagram_dropped(const cev_datagram *_Nonnull socket);

/// Joins `group` on the interface of that index (0: the kernel's choice). What is sent to groups leaves there, goes
/// `hop_limit` routers far and, with `loopback`, also to the listeners of this machine. errno or 0.
int cev_datagram_join(
    cev_datagram *_Nonnull socket, const cev_address *_Nonnull group, uint32_t interface_index,
    int hop_limit, bool loopback);
int cev_datagram_leave(
    cev_datagram *_Nonnull socket, const cev_address *_Nonnull group, uint32_t interface_index);
