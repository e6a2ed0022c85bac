#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define CEV_SWIFT_NAME(name) __attribute__((swift_name(#name)))

/// An IPv4 or IPv6 socket address. `high` and `low` are the address as a big-endian number; IPv4 uses the low 32 bits
/// of `low` only. `family` is 4 or 6, or 0 for "none".
typedef struct {
  uint64_t high;
  uint64_t low;
  uint32_t scope;
  uint16_t port;
  uint16_t family;
} cev_address;

/// What happened.
typedef enum __attribute__((enum_extensibility(closed))) : uint32_t {
  /// A connection attempt succeeded.
  CEV_RECORD_OPENED CEV_SWIFT_NAME(opened) = 1,
  /// The socket has bytes, an end of stream or an error to be read.
  CEV_RECORD_READABLE CEV_SWIFT_NAME(readable),
  /// The output fell to the low watermark after having been above it.
  CEV_RECORD_WRITABLE CEV_SWIFT_NAME(writable),
  /// The connection failed. `detail`: a `cev_close_cause`; `value`: errno.
  CEV_RECORD_FAILED CEV_SWIFT_NAME(failed),
  /// `value`: the accepted descriptor, which the receiver owns; `address`: its peer.
  CEV_RECORD_ACCEPTED CEV_SWIFT_NAME(accepted),
  /// Accepting stopped. `value`: errno. The listener is disabled until it is told to go on.
  CEV_RECORD_ACCEPT_FAILED CEV_SWIFT_NAME(acceptFailed),
  CEV_RECORD_DATAGRAM_READABLE CEV_SWIFT_NAME(datagramReadable),
  /// `detail`: an evutil_gai error or 0.
  CEV_RECORD_RESOLVED CEV_SWIFT_NAME(resolved),
  /// An HTTP exchange ended, well or not.
  CEV_RECORD_HTTP_DONE CEV_SWIFT_NAME(httpDone),
  /// A server received a request. `value`: the `cev_http_exchange *`.
  CEV_RECORD_HTTP_REQUEST CEV_SWIFT_NAME(httpRequest),
  /// `detail`: the signal's number.
  CEV_RECORD_SIGNAL CEV_SWIFT_NAME(signal),
} cev_record_kind;

typedef struct {
  cev_record_kind kind;
  int32_t detail;
  uint64_t token;
  int64_t value;
  cev_address address;
} cev_record;

typedef struct cev_loop cev_loop;
typedef struct cev_signal cev_signal;

#define CEV_NO_DEADLINE UINT64_MAX

/// Monotonic time in nanoseconds.
uint64_t cev_now(void);

/// The libevent version linked at run time, for diagnostics.
const char *_Nonnull cev_libevent_version(void);

/// Null with `errno` in `error` when there are no descriptors or no memory, or 1,024 loops exist already.
cev_loop *_Nullable cev_loop_new(int *_Nonnull error);
/// Everything made on the loop must have been freed before.
void cev_loop_free(cev_loop *_Nonnull loop);

/// Waits until something happens or `deadline` (in `cev_now` time) has come, and runs libevent's callbacks once.
/// A deadline of 0 only polls. Returns 0, or errno when the poller itself failed.
int cev_loop_turn(cev_loop *_Nonnull loop, uint64_t deadline);

/// The records since the last call. Valid until the next call.
const cev_record *_Nullable cev_loop_take_records(cev_loop *_Nonnull loop, size_t *_Nonnull count);
/// Whether there is something to take or to flush, so that the next turn must not wait.
bool cev_loop_has_work(const cev_loop *_Nonnull loop);

/// Blocks whose last byte left (or whose connection is gone) since the last call, one entry for each reference that
/// was queued. Valid until the next call.
const uint32_t *_Nullable cev_loop_take_blocks(cev_loop *_Nonnull loop, size_t *_Nonnull count);

/// Sends what connections and datagram sockets were given during this turn.
void cev_loop_flush(cev_loop *_Nonnull loop);

/// Makes a waiting turn return. From any thread.
void cev_loop_wake(cev_loop *_Nonnull loop);

/// Records `CEV_RECORD_SIGNAL` whenever `number` arrives. One loop of the process may hold signals (libevent keeps
/// its handler in a global); null and EBUSY otherwise.
cev_signal *_Nullable cev_signal_new(
    cev_loop *_Nonnull loop, uint64_t token, int number, int *_Nonnull error);
void cev_signal_free(cev_signal *_Nonnull signal);

/// SIGPIPE is answered by EPIPE from then on, as a program with sockets wants it.
void cev_ignore_sigpipe(void);

/// Runs `body(context)` on a new thread named `name`. Returns errno; `thread` is for `cev_thread_join`.
int cev_thread_start(
    const char *_Nonnull name, void (*_Nonnull body)(void *_Nullable), void *_Nullable context,
    uint64_t *_Nonnull thread);
void cev_thread_join(uint64_t thread);
/// For a thread nobody will join.
void cev_thread_detach(uint64_t thread);
/// A number that differs between living threads and is never 0.
uint64_t cev_thread_current(void);

/// Text for an errno value, into `buffer`.
void cev_error_text(int error, char *_Nonnull buffer, size_t size);
