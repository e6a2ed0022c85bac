#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// What one write call may take. libevent's default of 16 KiB splits every header from its block.
#define MAX_SINGLE_WRITE (256 * 1024)
/// What one connection may send at the end of one turn before others get their chance.
#define MAX_TURN_WRITE (1024 * 1024)

/// Half a bufferevent: connecting, the output buffer, waiting for the socket to take more and the low watermark are
/// the bufferevent's. Its reading stays disabled; `read_event` beside it only says "readable".
///
/// The bufferevent's write event is enabled only while the socket has no room. The normal case, output queued in a
/// turn and taken by the kernel at its end, is staged and written from `cev_connection_flush`: one writev, no epoll_ctl
/// pair, no allocation.
struct cev_connection {
  cev_loop *loop;
  uint64_t token;
  struct bufferevent *bufferevent;
  struct event read_event;
  /// Output of this turn, when there is no older one.
  cev_stage *stage;
  uint64_t readable_turn;
  uint64_t bytes_queued;
  size_t low_watermark;
  size_t dirty_index;
  int descriptor;
  bool open : 1;
  bool failed : 1;
  bool reading : 1;
  bool dirty : 1;
  /// The bufferevent waits for the socket to become writable.
  bool waiting : 1;
  bool above_watermark : 1;
  bool close_after_flush : 1;
};

static void fail(cev_connection *connection, cev_close_cause cause, int error) {
  if (connection->failed) return;
  connection->failed = true;
  event_del(&connection->read_event);
  bufferevent_disable(connection->bufferevent, EV_WRITE);
  cev_record *record = cev_loop_append(connection->loop, CEV_RECORD_FAILED, connection->token);
  record->detail = cause;
  record->value = error;
}

static void on_readable(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_connection *connection = context;
  // libevent may poll twice within a turn; one record a turn is enough.
  if (connection->readable_turn == connection->loop->turn) return;
  connection->readable_turn = connection->loop->turn;
  cev_loop_append(connection->loop, CEV_RECORD_READABLE, connection->token);
}

static void output_shrank(cev_connection *connection, size_t left) {
  if (connection->above_watermark && left <= connection->low_watermark) {
    connection->above_watermark = false;
    cev_loop_append(connection->loop, CEV_RECORD_WRITABLE, connection->token);
  }
  if (left == 0 && connection->close_after_flush) fail(connection, CEV_CLOSE_FLUSHED, 0);
}

/// The bufferevent wrote and what is left is at or below the low watermark.
static void on_drained(struct bufferevent *bufferevent, void *context) {
  cev_connection *connection = context;
  size_t left = evbuffer_get_length(bufferevent_get_output(bufferevent));
  if (left == 0 && connection->waiting) {
    connection->waiting = false;
    bufferevent_disable(bufferevent, EV_WRITE);
  }
  output_shrank(connection, left);
}

static void mark_dirty(cev_connection *connection) {
  if (connection->dirty || connection->waiting || !connection->open) return;
  cev_loop *loop = connection->loop;
  cev_grow((void **)&loop->dirty, &loop->dirty_capacity, loop->dirty_count + 1, sizeof *loop->dirty);
  connection->dirty = true;
  connection->dirty_index = loop->dirty_count;
  loop->dirty[loop->dirty_count++] = connection;
}

static void on_event(struct bufferevent *bufferevent, short what, void *context) {
  int error = errno;
  cev_connection *connection = context;
  if (what & BEV_EVENT_CONNECTED) {
    connection->open = true;
    cev_socket_pace(connection->descriptor);
    bufferevent_set_timeouts(bufferevent, NULL, NULL);
    bufferevent_disable(bufferevent, EV_WRITE);
    if (connection->reading && event_add(&connection->read_event, NULL) < 0) {
      fail(connection, CEV_CLOSE_CONNECT_FAILED, errno);
      return;
    }
    cev_loop_append(connection->loop, CEV_RECORD_OPENED, connection->token);
    if (evbuffer_get_length(bufferevent_get_output(bufferevent)) > 0) mark_dirty(connection);
  } else if (what & BEV_EVENT_TIMEOUT) {
    fail(connection, CEV_CLOSE_CONNECT_TIMED_OUT, ETIMEDOUT);
  } else if (!connection->open) {
    fail(connection, CEV_CLOSE_CONNECT_FAILED, error);
  } else {
    fail(connection, CEV_CLOSE_WRITE_FAILED, what & BEV_EVENT_EOF ? EPIPE : error);
  }
}

static cev_connection *create(cev_loop *loop, uint64_t token, int descriptor, int *error) {
  cev_connection *connection = calloc(1, sizeof *connection);
  if (connection) connection->bufferevent = bufferevent_socket_new(loop->base, descriptor, 0);
  if (!connection || !connection->bufferevent) {
    free(connection);
    *error = ENOMEM;
    return NULL;
  }
  connection->loop = loop;
  connection->token = token;
  connection->descriptor = descriptor;
  connection->reading = true;
  event_assign(
      &connection->read_event, loop->base, descriptor, EV_READ | EV_PERSIST, on_readable, connection);
  bufferevent_setcb(connection->bufferevent, NULL, on_drained, on_event, connection);
  bufferevent_set_max_single_write(connection->bufferevent, MAX_SINGLE_WRITE);
  int on = 1;
  // Fails for a stream socket that is not TCP, which has no such delay.
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return connection;
}

static void destroy(cev_connection *connection) {
  if (connection->dirty) connection->loop->dirty[connection->dirty_index] = NULL;
  event_del(&connection->read_event);
  if (connection->stage) {
    cev_stage_drop(connection->loop, connection->stage);
    cev_stage_release(connection->loop, connection->stage);
  }
  struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
  // Freed bufferevents are finalized in a later turn; draining gives the blocks back in this one.
  evbuffer_unfreeze(output, 1);
  evbuffer_drain(output, evbuffer_get_length(output));
  bufferevent_free(connection->bufferevent);
  free(connection);
}

cev_connection *cev_connect(
    cev_loop *loop, uint64_t token, const cev_address *remote, const cev_binding *binding,
    uint64_t timeout_milliseconds, int receive_buffer, int send_buffer, int *error) {
  if (binding->address.family && binding->address.family != remote->family) {
    *error = EAFNOSUPPORT;
    return NULL;
  }
  int descriptor = cev_socket_open(remote->family, SOCK_STREAM, binding, CEV_SOCKET_LATE_PORT, error);
  if (descriptor < 0) return NULL;
  cev_connection *connection = create(loop, token, descriptor, error);
  if (!connection) {
    close(descriptor);
    return NULL;
  }
  cev_socket_begin_unpaced(descriptor);
  // Before connecting, so that the window scale fits. A refused size is no reason to give up a peer.
  cev_socket_set_buffers(descriptor, receive_buffer, send_buffer);
  struct timeval timeout;
  cev_milliseconds(timeout_milliseconds, &timeout);
  bufferevent_set_timeouts(connection->bufferevent, NULL, &timeout);
  struct sockaddr_in6 storage;
  socklen_t length = cev_to_sockaddr(remote, &storage);
  errno = 0;
  if (bufferevent_socket_connect(
          connection->bufferevent, (struct sockaddr *)&storage, (int)length) < 0) {
    *error = errno ? errno : ENOMEM;
    destroy(connection);
    close(descriptor);
    return NULL;
  }
  return connection;
}

cev_connection *cev_adopt(cev_loop *loop, uint64_t token, int descriptor, int *error) {
  if (evutil_make_socket_nonblocking(descriptor) < 0) {
    *error = errno;
    return NULL;
  }
  cev_connection *connection = create(loop, token, descriptor, error);
  if (!connection) return NULL;
  connection->open = true;
  bufferevent_disable(connection->bufferevent, EV_WRITE);
  if (event_add(&connection->read_event, NULL) < 0) {
    *error = errno;
    destroy(connection);
    return NULL;
  }
  return connection;
}

void cev_connection_free(cev_connection *connection) {
  int descriptor = cev_connection_detach(connection);
  close(descriptor);
}

int cev_connection_detach(cev_connection *connection) {
  int descriptor = connection->descriptor;
  destroy(connection);
  return descriptor;
}

ssize_t cev_connection_readv(cev_connection *connection, const struct iovec *vectors, int count) {
  ssize_t result;
  do {
    result = readv(connection->descriptor, vectors, count);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -(ssize_t)errno : result;
}

void cev_connection_set_reading(cev_connection *connection, bool reading) {
  if (connection->reading == reading || connection->failed) return;
  connection->reading = reading;
  if (!connection->open) return;
  if (reading) {
    if (event_add(&connection->read_event, NULL) < 0) fail(connection, CEV_CLOSE_WRITE_FAILED, errno);
  } else {
    event_del(&connection->read_event);
  }
}

static void output_grew(cev_connection *connection, size_t count) {
  connection->bytes_queued += count;
  if (cev_connection_output_length(connection) > connection->low_watermark) connection->above_watermark = true;
  mark_dirty(connection);
}

/// The stage for more output, or null when that has to go to the bufferevent: behind what it holds, or for want of one.
static cev_stage *stage_of(cev_connection *connection) {
  if (!connection->stage && connection->open && !connection->waiting &&
      evbuffer_get_length(bufferevent_get_output(connection->bufferevent)) == 0)
    connection->stage = cev_stage_take(connection->loop);
  return connection->stage;
}

/// What was staged goes to the bufferevent, and what comes next behind it.
static bool spill(cev_connection *connection) {
  if (!connection->stage) return true;
  struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
  if (!cev_stage_spill(connection->loop, connection->stage, output)) return false;
  cev_stage_release(connection->loop, connection->stage);
  connection->stage = NULL;
  return true;
}

bool cev_connection_write(cev_connection *connection, const void *bytes, size_t count) {
  cev_stage *stage = stage_of(connection);
  if (!stage || !cev_stage_add_bytes(stage, bytes, count)) {
    struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
    if (!spill(connection) || !cev_output_add_bytes(output, bytes, count)) return false;
  }
  output_grew(connection, count);
  return true;
}

bool cev_connection_write_block(
    cev_connection *connection, const void *bytes, size_t count, uint32_t block) {
  cev_stage *stage = stage_of(connection);
  if (!stage || !cev_stage_add_block(stage, bytes, count, block)) {
    struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
    if (!spill(connection) || !cev_output_add_block(connection->loop, output, bytes, count, block)) return false;
  }
  output_grew(connection, count);
  return true;
}

/// Writes what is staged; what the socket has no room for moves to the bufferevent. False when the connection failed.
static bool flush_stage(cev_connection *connection) {
  cev_stage *stage = connection->stage;
  if (cev_stage_write(connection->loop, stage, connection->descriptor) < 0 && errno != EAGAIN &&
      errno != EWOULDBLOCK) {
    fail(connection, CEV_CLOSE_WRITE_FAILED, errno);
    return false;
  }
  if (!spill(connection)) {
    fail(connection, CEV_CLOSE_WRITE_FAILED, ENOMEM);
    return false;
  }
  return true;
}

void cev_connection_flush(cev_connection *connection) {
  connection->dirty = false;
  if (!connection->open || connection->failed || connection->waiting) return;
  struct evbuffer *output = bufferevent_get_output(connection->bufferevent);
  size_t sent = 0;
  int error = 0;
  if (connection->stage) {
    if (!flush_stage(connection)) return;
    // What is left did not fit.
    sent = MAX_TURN_WRITE;
  }
  size_t left = evbuffer_get_length(output);
  evbuffer_unfreeze(output, 1);
  while (left > 0 && sent < MAX_TURN_WRITE) {
    int written = evbuffer_write_atmost(output, connection->descriptor, MAX_SINGLE_WRITE);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) error = errno;
      break;
    }
    sent += (size_t)written;
    size_t now_left = evbuffer_get_length(output);
    // A short write means the socket is full; asking again would only earn EAGAIN. (Or that more than 128 small pieces
    // were queued, libevent's limit for a call: then the bufferevent finds the socket writable at once.)
    bool was_full_call = (size_t)written >= MAX_SINGLE_WRITE || (size_t)written >= left;
    left = now_left;
    if (!was_full_call) break;
  }
  evbuffer_freeze(output, 1);
  if (error) {
    fail(connection, CEV_CLOSE_WRITE_FAILED, error);
    return;
  }
  if (left > 0) {
    connection->waiting = true;
    bufferevent_enable(connection->bufferevent, EV_WRITE);
  }
  output_shrank(connection, left);
}

void cev_connection_flush_now(cev_connection *connection) {
  if (connection->dirty) connection->loop->dirty[connection->dirty_index] = NULL;
  cev_connection_flush(connection);
}

ssize_t cev_connection_write_run(
    cev_connection *connection, const uint8_t *headers, size_t header_length, const void *bytes, size_t length,
    size_t block_length) {
  if (connection->stage && !connection->waiting && !connection->failed) cev_connection_flush_now(connection);
  if (!connection->open || connection->failed || connection->waiting || connection->close_after_flush ||
      cev_connection_output_length(connection) > 0)
    return 0;
  struct iovec vectors[2 * CEV_RUN_BLOCKS];
  int count = 0;
  for (size_t offset = 0; offset < length && count < 2 * CEV_RUN_BLOCKS; offset += block_length) {
    size_t left = length - offset;
    vectors[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)headers, .iov_len = header_length};
    vectors[count++] = (struct iovec){
        .iov_base = (char *)(uintptr_t)bytes + offset, .iov_len = left < block_length ? left : block_length};
    headers += header_length;
  }
  ssize_t written;
  do {
    written = writev(connection->descriptor, vectors, count);
  } while (written < 0 && errno == EINTR);
  if (written < 0) {
    // Bytes that are not there (EFAULT) are no fault of the connection.
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EFAULT) fail(connection, CEV_CLOSE_WRITE_FAILED, errno);
    return 0;
  }
  connection->bytes_queued += (uint64_t)written;
  return written;
}

size_t cev_connection_output_length(const cev_connection *connection) {
  size_t staged = connection->stage ? cev_stage_length(connection->stage) : 0;
  return staged + evbuffer_get_length(bufferevent_get_output(connection->bufferevent));
}

uint64_t cev_connection_bytes_sent(const cev_connection *connection) {
  return connection->bytes_queued - cev_connection_output_length(connection);
}

void cev_connection_set_low_watermark(cev_connection *connection, size_t bytes) {
  connection->low_watermark = bytes;
  bufferevent_setwatermark(connection->bufferevent, EV_WRITE, bytes, 0);
  size_t length = cev_connection_output_length(connection);
  if (length > bytes) connection->above_watermark = true;
  output_shrank(connection, length);
}

void cev_connection_close_after_flush(cev_connection *connection) {
  if (connection->close_after_flush) return;
  connection->close_after_flush = true;
  cev_connection_set_reading(connection, false);
  if (connection->open) output_shrank(connection, cev_connection_output_length(connection));
}

int cev_connection_descriptor(const cev_connection *connection) { return connection->descriptor; }
