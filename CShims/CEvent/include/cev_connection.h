#pragma once

#include "cev_base.h"

/// Where a socket is bound before it is used. All parts are optional.
typedef struct {
  /// The address to bind; family 0 for none.
  cev_address address;
  /// The interface to bind to (SO_BINDTODEVICE), or null.
  const char *_Nullable device;
} cev_binding;

typedef enum __attribute__((enum_extensibility(closed))) : int32_t {
  CEV_CLOSE_CONNECT_FAILED CEV_SWIFT_NAME(connectFailed) = 1,
  CEV_CLOSE_CONNECT_TIMED_OUT CEV_SWIFT_NAME(connectTimedOut),
  CEV_CLOSE_WRITE_FAILED CEV_SWIFT_NAME(writeFailed),
  /// Everything queued before `cev_connection_close_after_flush` was handed to the kernel.
  CEV_CLOSE_FLUSHED CEV_SWIFT_NAME(flushed),
} cev_close_cause;

typedef struct cev_connection cev_connection;
typedef struct cev_listener cev_listener;

/// Starts connecting. Null with `error` when the attempt fails at once; otherwise OPENED or FAILED follows.
/// `receive_buffer` and `send_buffer` are SO_RCVBUF and SO_SNDBUF, 0 leaves the kernel's automatic sizing.
cev_connection *_Nullable cev_connect(
    cev_loop *_Nonnull loop, uint64_t token, const cev_address *_Nonnull remote,
    const cev_binding *_Nonnull binding, uint64_t timeout_milliseconds, int receive_buffer, int send_buffer,
    int *_Nonnull error);

/// Takes over a connected socket, which is made non-blocking. On failure the descriptor stays the caller's.
cev_connection *_Nullable cev_adopt(
    cev_loop *_Nonnull loop, uint64_t token, int descriptor, int *_Nonnull error);

/// Ends the connection at once; unsent blocks come back. No record of it is made afterwards.
void cev_connection_free(cev_connection *_Nonnull connection);
/// As `cev_connection_free`, but leaves the descriptor open and returns it.
int cev_connection_detach(cev_connection *_Nonnull connection);

/// readv(2): bytes read, 0 at the end of the stream, or a negated errno (-EAGAIN when there is nothing).
ssize_t cev_connection_readv(
    cev_connection *_Nonnull connection, const struct iovec *_Nonnull vectors, int count);
void cev_connection_set_reading(cev_connection *_Nonnull connection, bool reading);

/// Queues a copy. False when memory ran out.
bool cev_connection_write(
    cev_connection *_Nonnull connection, const void *_Nonnull bytes, size_t count);
/// Queues bytes that stay where they are until `block` is returned by `cev_loop_take_blocks`.
/// False when memory ran out: then the block is not returned.
bool cev_connection_write_block(
    cev_connection *_Nonnull connection, const void *_Nonnull bytes, size_t count, uint32_t block);
enum {
  /// Most blocks of a run.
  CEV_RUN_BLOCKS = 64,
};

/// Sends what is queued, and then with one writev as much of a run as the socket has room for, past the queue: `length` bytes
/// cut into blocks of `block_length`, each behind its header; the headers lie end to end. Nothing refers to their memory
/// afterwards. Returns the bytes taken: none when older output is left over, or the connection failed.
ssize_t cev_connection_write_run(
    cev_connection *_Nonnull connection, const uint8_t *_Nonnull headers, size_t header_length,
    const void *_Nonnull bytes, size_t length, size_t block_length);
size_t cev_connection_output_length(const cev_connection *_Nonnull connection);
/// Bytes handed to the kernel so far.
uint64_t cev_connection_bytes_sent(const cev_connection *_Nonnull connection);
void cev_connection_set_low_watermark(cev_connection *_Nonnull connection, size_t bytes);
/// Hands what is queued to the kernel at once instead of at the end of the turn, as far as the socket has room.
void cev_connection_flush_now(cev_connection *_Nonnull connection);
/// FAILED with CEV_CLOSE_FLUSHED follows when nothing is left to send.
void cev_connection_close_after_flush(cev_connection *_Nonnull connection);
int cev_connection_descriptor(const cev_connection *_Nonnull connection);

/// errno or 0.
int cev_socket_set_receive_low_watermark(int descriptor, int bytes);
int cev_socket_set_buffers(int descriptor, int receive_buffer, int send_buffer);
int cev_socket_local_address(int descriptor, cev_address *_Nonnull address);
int cev_socket_peer_address(int descriptor, cev_address *_Nonnull address);
void cev_socket_close(int descriptor);
/// Closes with an RST instead of a FIN.
void cev_socket_reset(int descriptor);

/// 0 when this process may bind sockets to the interface, otherwise errno.
int cev_interface_probe(const char *_Nonnull name);
/// The interface's first usable address of a family (4 or 6). errno or 0.
int cev_interface_address(const char *_Nonnull name, int family, cev_address *_Nonnull address);
/// The interface's number for scoped addresses, 0 when it does not exist.
uint32_t cev_interface_index(const char *_Nonnull name);

/// One address of a network interface, or an interface without any (family 0).
typedef struct {
  char name[16];
  uint32_t index;
  bool is_up, is_loopback, has_multicast;
  cev_address address;
} cev_interface;

/// Fills in up to `capacity` entries; returns how many there are, which may be more, or a negative errno.
int cev_interface_list(cev_interface *_Nullable entries, int capacity);

/// Listens on `binding.address`. Null with `error` on failure.
cev_listener *_Nullable cev_listen(
    cev_loop *_Nonnull loop, uint64_t token, const cev_binding *_Nonnull binding, int backlog,
    int *_Nonnull error);
void cev_listener_free(cev_listener *_Nonnull listener);
void cev_listener_set_enabled(cev_listener *_Nonnull listener, bool enabled);
int cev_listener_descriptor(const cev_listener *_Nonnull listener);
