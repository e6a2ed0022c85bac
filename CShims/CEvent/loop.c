#include "stage.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_LOOPS 1024

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
/// A slot is written before its loop's thread starts and cleared after it ended; in between only that thread reads it.
static cev_loop *table[MAX_LOOPS];
/// The loop that holds signals, under `table_lock`.
static cev_loop *signal_loop;
static unsigned signal_count;

uint64_t cev_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *cev_libevent_version(void) { return event_get_version(); }

void cev_grow(void **array, size_t *capacity, size_t needed, size_t element_size) {
  if (needed <= *capacity) return;
  size_t wanted = *capacity ? *capacity : 64;
  while (wanted < needed) {
    if (wanted > SIZE_MAX / 2 / element_size) abort();
    wanted *= 2;
  }
  void *grown = realloc(*array, wanted * element_size);
  if (!grown) abort();
  *array = grown;
  *capacity = wanted;
}

cev_record *cev_loop_append(cev_loop *loop, cev_record_kind kind, uint64_t token) {
  cev_grow((void **)&loop->records, &loop->record_capacity, loop->record_count + 1, sizeof(cev_record));
  cev_record *record = &loop->records[loop->record_count++];
  *record = (cev_record){.kind = kind, .token = token};
  return record;
}

void cev_loop_return_block(uint32_t loop_index, uint32_t block) {
  cev_loop *loop = table[loop_index];
  cev_grow((void **)&loop->blocks, &loop->block_capacity, loop->block_count + 1, sizeof(uint32_t));
  loop->blocks[loop->block_count++] = block;
}

static void on_log(int severity, const char *message) {
  // libevent would write warnings (a name server that timed out) to stderr, which is the user's. What matters
  // reaches callers as errors; only what it is about to die of is worth printing.
  if (severity == EVENT_LOG_ERR) fprintf(stderr, "libevent: %s\n", message);
}

static void set_up_process(void) { event_set_log_callback(on_log); }

static void on_wake(evutil_socket_t descriptor, short what, void *context) {
  // Edge-triggered: every write is an edge, so the counter is never read back. It would take 2^64 wakes to fill it.
  (void)descriptor, (void)what, (void)context;
}

static void on_timer(evutil_socket_t descriptor, short what, void *context) {
  // Edge-triggered as well: setting it anew starts its count over.
  (void)descriptor, (void)what;
  ((cev_loop *)context)->armed_deadline = CEV_NO_DEADLINE;
}

static bool table_insert(cev_loop *loop) {
  bool inserted = false;
  pthread_mutex_lock(&table_lock);
  for (uint32_t index = 0; index < MAX_LOOPS; index++) {
    if (table[index]) continue;
    table[index] = loop;
    loop->index = index;
    inserted = true;
    break;
  }
  pthread_mutex_unlock(&table_lock);
  return inserted;
}

cev_loop *cev_loop_of_base(const struct event_base *base) {
  cev_loop *found = NULL;
  pthread_mutex_lock(&table_lock);
  for (uint32_t index = 0; index < MAX_LOOPS && !found; index++) {
    if (table[index] && table[index]->base == base) found = table[index];
  }
  pthread_mutex_unlock(&table_lock);
  return found;
}

cev_loop *cev_loop_new(int *error) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, set_up_process);
  cev_loop *loop = calloc(1, sizeof *loop);
  if (!loop) {
    *error = ENOMEM;
    return NULL;
  }
  loop->armed_deadline = CEV_NO_DEADLINE;
  loop->index = MAX_LOOPS;
  loop->wake_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  loop->timer_descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (loop->wake_descriptor < 0 || loop->timer_descriptor < 0) {
    *error = errno;
    cev_loop_free(loop);
    return NULL;
  }
  errno = 0;
  struct event_config *config = event_config_new();
  if (config) {
    // One thread only: no lock may be made even if somebody in this process switched libevent's locking on.
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
  }
  if (loop->base) {
    loop->wake_event =
        event_new(loop->base, loop->wake_descriptor, EV_READ | EV_PERSIST | EV_ET, on_wake, loop);
    loop->timer_event =
        event_new(loop->base, loop->timer_descriptor, EV_READ | EV_PERSIST | EV_ET, on_timer, loop);
  }
  if (!loop->wake_event || !loop->timer_event || event_add(loop->wake_event, NULL) < 0 ||
      event_add(loop->timer_event, NULL) < 0) {
    *error = errno ? errno : ENOMEM;
    cev_loop_free(loop);
    return NULL;
  }
  if (!table_insert(loop)) {
    *error = EMFILE;
    cev_loop_free(loop);
    return NULL;
  }
  return loop;
}

void cev_loop_free(cev_loop *loop) {
  if (loop->wake_event) event_free(loop->wake_event);
  if (loop->timer_event) event_free(loop->timer_event);
  // Finalizers of freed bufferevents that no turn has run yet run here.
  if (loop->base) event_base_free(loop->base);
  if (loop->wake_descriptor >= 0) close(loop->wake_descriptor);
  if (loop->timer_descriptor >= 0) close(loop->timer_descriptor);
  pthread_mutex_lock(&table_lock);
  if (loop->index < MAX_LOOPS) table[loop->index] = NULL;
  pthread_mutex_unlock(&table_lock);
  cev_receive_batch_free(loop->receive_batch);
  cev_stages_free(loop);
  free(loop->records);
  free(loop->taken_records);
  free(loop->blocks);
  free(loop->taken_blocks);
  free(loop->dirty);
  free(loop->dirty_datagrams);
  free(loop);
}

/// One timer descriptor stands for all timers of the loop. libevent's own timeouts go by a clock that ticks every 4 ms
/// and fire up to two ticks late; this one is exact, and is set only when the earliest deadline moves forward: a
/// deadline that was cancelled costs one turn for nothing, which is less than a system call for each.
static void arm(cev_loop *loop, uint64_t deadline) {
  if (deadline >= loop->armed_deadline) return;
  struct itimerspec when = {
      .it_value = {.tv_sec = (time_t)(deadline / 1000000000), .tv_nsec = (long)(deadline % 1000000000)}};
  if (timerfd_settime(loop->timer_descriptor, TFD_TIMER_ABSTIME, &when, NULL) < 0) abort();
  loop->armed_deadline = deadline;
}

int cev_loop_turn(cev_loop *loop, uint64_t deadline) {
  int flags = EVLOOP_ONCE;
  loop->turn++;
  if (deadline == 0) {
    flags |= EVLOOP_NONBLOCK;
  } else {
    // Times beyond what the kernel takes (292 years) are as good as none.
    if (deadline < INT64_MAX) arm(loop, deadline);
  }
  errno = 0;
  return event_base_loop(loop->base, flags) < 0 ? (errno ? errno : EIO) : 0;
}

const cev_record *cev_loop_take_records(cev_loop *loop, size_t *count) {
  cev_record *records = loop->records;
  size_t capacity = loop->record_capacity;
  *count = loop->record_count;
  loop->records = loop->taken_records;
  loop->record_capacity = loop->taken_record_capacity;
  loop->record_count = 0;
  loop->taken_records = records;
  loop->taken_record_capacity = capacity;
  return records;
}

bool cev_loop_has_work(const cev_loop *loop) {
  return loop->record_count > 0 || loop->block_count > 0 || loop->dirty_count > 0 ||
         loop->dirty_datagram_count > 0;
}

const uint32_t *cev_loop_take_blocks(cev_loop *loop, size_t *count) {
  uint32_t *blocks = loop->blocks;
  size_t capacity = loop->block_capacity;
  *count = loop->block_count;
  loop->blocks = loop->taken_blocks;
  loop->block_capacity = loop->taken_block_capacity;
  loop->block_count = 0;
  loop->taken_blocks = blocks;
  loop->taken_block_capacity = capacity;
  return blocks;
}

void cev_loop_flush(cev_loop *loop) {
  for (size_t index = 0; index < loop->dirty_count; index++) {
    if (loop->dirty[index]) cev_connection_flush(loop->dirty[index]);
  }
  loop->dirty_count = 0;
  for (size_t index = 0; index < loop->dirty_datagram_count; index++) {
    if (loop->dirty_datagrams[index]) cev_datagram_flush(loop->dirty_datagrams[index]);
  }
  loop->dirty_datagram_count = 0;
}

void cev_loop_wake(cev_loop *loop) {
  uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake.
  ssize_t written = write(loop->wake_descriptor, &one, sizeof one);
  (void)written;
}

struct cev_signal {
  cev_loop *loop;
  uint64_t token;
  struct event *event;
};

static void on_signal(evutil_socket_t number, short what, void *context) {
  (void)what;
  cev_signal *signal = context;
  cev_loop_append(signal->loop, CEV_RECORD_SIGNAL, signal->token)->detail = (int32_t)number;
}

static void release_signal_loop(void) {
  pthread_mutex_lock(&table_lock);
  if (--signal_count == 0) signal_loop = NULL;
  pthread_mutex_unlock(&table_lock);
}

cev_signal *cev_signal_new(cev_loop *loop, uint64_t token, int number, int *error) {
  pthread_mutex_lock(&table_lock);
  bool taken = signal_loop && signal_loop != loop;
  if (!taken) {
    signal_loop = loop;
    signal_count++;
  }
  pthread_mutex_unlock(&table_lock);
  if (taken) {
    *error = EBUSY;
    return NULL;
  }
  cev_signal *signal = calloc(1, sizeof *signal);
  if (signal) {
    *signal = (cev_signal){.loop = loop, .token = token};
    signal->event = evsignal_new(loop->base, number, on_signal, signal);
  }
  if (!signal || !signal->event || event_add(signal->event, NULL) < 0) {
    *error = EINVAL;
    if (signal && signal->event) event_free(signal->event);
    free(signal);
    release_signal_loop();
    return NULL;
  }
  return signal;
}

void cev_signal_free(cev_signal *signal) {
  event_free(signal->event);
  free(signal);
  release_signal_loop();
}

void cev_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }
