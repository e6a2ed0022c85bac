#include "internal.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <unistd.h>

struct cev_listener {
  cev_loop *loop;
  uint64_t token;
  struct evconnlistener *listener;
};

static void on_accept(
    struct evconnlistener *inner, evutil_socket_t descriptor, struct sockaddr *peer, int length,
    void *context) {
  (void)inner, (void)length;
  cev_listener *listener = context;
  cev_address address;
  if (!cev_from_sockaddr(peer, &address)) {
    close(descriptor);
    return;
  }
  cev_socket_pace(descriptor);
  cev_record *record = cev_loop_append(listener->loop, CEV_RECORD_ACCEPTED, listener->token);
  record->value = descriptor;
  record->address = address;
}

static void on_accept_error(struct evconnlistener *inner, void *context) {
  int error = errno;
  cev_listener *listener = context;
  // A connection given up before it was accepted concerns only itself.
  if (error == EPERM || error == EPROTO || error == ENETDOWN || error == EHOSTDOWN ||
      error == EHOSTUNREACH || error == ENETUNREACH || error == ENOPROTOOPT || error == EOPNOTSUPP) {
    return;
  }
  // EMFILE, ENFILE, ENOBUFS, ENOMEM: the pending connection stays and would wake the loop without end.
  evconnlistener_disable(inner);
  cev_loop_append(listener->loop, CEV_RECORD_ACCEPT_FAILED, listener->token)->value = error;
}

cev_listener *cev_listen(
    cev_loop *loop, uint64_t token, const cev_binding *binding, int backlog, int *error) {
  int descriptor =
      cev_socket_open(binding->address.family, SOCK_STREAM, binding, CEV_SOCKET_REUSE_ADDRESS, error);
  if (descriptor < 0) return NULL;
  cev_socket_begin_unpaced(descriptor);
  cev_listener *listener = calloc(1, sizeof *listener);
  errno = 0;
  if (listener) {
    *listener = (cev_listener){.loop = loop, .token = token};
    listener->listener = evconnlistener_new(
        loop->base, on_accept, listener, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, backlog,
        descriptor);
  }
  if (!listener || !listener->listener) {
    *error = errno ? errno : ENOMEM;
    close(descriptor);
    free(listener);
    return NULL;
  }
  evconnlistener_set_error_cb(listener->listener, on_accept_error);
  return listener;
}

void cev_listener_free(cev_listener *listener) {
  evconnlistener_free(listener->listener);
  free(listener);
}

void cev_listener_set_enabled(cev_listener *listener, bool enabled) {
  if (enabled) {
    evconnlistener_enable(listener->listener);
  } else {
    evconnlistener_disable(listener->listener);
  }
}

int cev_listener_descriptor(const cev_listener *listener) {
  return evconnlistener_get_fd(listener->listener);
}
