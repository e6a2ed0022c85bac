#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct start {
  void (*body)(void *);
  void *context;
  char name[16];
};

static void *run(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
  pthread_setname_np(pthread_self(), start.name);
  start.body(start.context);
  return NULL;
}

int cev_thread_start(const char *name, void (*body)(void *), void *context, uint64_t *thread) {
  struct start *start = calloc(1, sizeof *start);
  if (!start) return ENOMEM;
  start->body = body;
  start->context = context;
  // The kernel keeps 15 bytes of a thread's name.
  strncpy(start->name, name, sizeof start->name - 1);
  pthread_t handle;
  int error = pthread_create(&handle, NULL, run, start);
  if (error) {
    free(start);
    return error;
  }
  *thread = (uint64_t)handle;
  return 0;
}

void cev_thread_join(uint64_t thread) { pthread_join((pthread_t)thread, NULL); }

void cev_thread_detach(uint64_t thread) { pthread_detach((pthread_t)thread); }

uint64_t cev_thread_current(void) { return (uint64_t)pthread_self(); }

void cev_error_text(int error, char *buffer, size_t size) {
  // The GNU variant may answer with a constant instead of using the buffer.
  const char *text = strerror_r(error, buffer, size);
  if (text != buffer && size > 0) {
    strncpy(buffer, text, size - 1);
    buffer[size - 1] = 0;
  }
}
