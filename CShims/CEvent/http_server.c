#include "internal.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Bytes beyond headers and body that may wait unparsed.
#define PARSE_SLACK (16 * 1024)
/// How often connections are looked over for slow ones while there are any, in milliseconds.
#define SWEEP_MILLISECONDS 1000
/// How long accepting rests when descriptors or memory ran out.
#define PAUSE_MILLISECONDS 100

/// One accepted connection, from `on_connection` until evhttp frees it and calls `on_close`.
struct client {
  cev_http_server *server;
  struct evhttp_connection *connection;
  struct bufferevent *bufferevent;
  size_t index;
  int descriptor;
  /// When it is closed unless a complete request came before. `CEV_NO_DEADLINE` while a request is being answered.
  uint64_t deadline;
  bool too_much;
};

struct cev_http_exchange {
  cev_http_server *server;
  /// evhttp's, until the answer: null when evhttp freed it with its connection, and ours to free (by answering) when
  /// its connection went without it.
  struct evhttp_request *request;
  cev_http_exchange *previous, *next;
};

struct cev_http_server {
  cev_loop *loop;
  uint64_t token;
  struct evhttp *http;
  struct event *sweep_event;
  struct event *resume_event;
  struct event *adopt_event;
  size_t max_waiting;
  size_t max_connections;
  uint64_t request_nanoseconds;
  struct client **clients;
  size_t client_count, client_capacity;
  /// Clients evhttp has not told its connection of yet, see `on_adopt`.
  struct client **fresh;
  size_t fresh_count, fresh_capacity;
  struct client **by_descriptor;
  size_t descriptor_capacity;
  struct evconnlistener **listeners;
  size_t listener_count, listener_capacity;
  cev_http_exchange *exchanges;
  cev_http_server *next;
  /// Listeners are off: the server is full, or accepting failed for want of descriptors.
  bool full;
  bool exhausted;
};

static void update_listeners(cev_http_server *server) {
  for (size_t index = 0; index < server->listener_count; index++) {
    if (server->full || server->exhausted) {
      evconnlistener_disable(server->listeners[index]);
    } else {
      evconnlistener_enable(server->listeners[index]);
    }
  }
}

static void set_full(cev_http_server *server, bool full) {
  if (server->full == full) return;
  server->full = full;
  update_listeners(server);
}

/// Makes evhttp see the end of the stream, so that it cleans up in its own way.
static void hang_up(struct client *client) {
  client->deadline = CEV_NO_DEADLINE;
  shutdown(bufferevent_getfd(client->bufferevent), SHUT_RDWR);
}

static void on_input(
    struct evbuffer *input, const struct evbuffer_cb_info *change, void *context) {
  struct client *client = context;
  // evhttp goes on reading while it writes, without a limit, and a chunk line has none either.
  if (change->n_added == 0 || client->too_much) return;
  if (evbuffer_get_length(input) <= client->server->max_waiting) return;
  client->too_much = true;
  hang_up(client);
}

static void forget(struct client *client) {
  cev_http_server *server = client->server;
  struct client *last = server->clients[--server->client_count];
  server->clients[client->index] = last;
  last->index = client->index;
  if (client->descriptor >= 0) server->by_descriptor[client->descriptor] = NULL;
  evbuffer_remove_cb(bufferevent_get_input(client->bufferevent), on_input, client);
  free(client);
  if (server->client_count < server->max_connections) set_full(server, false);
}

static void on_close(struct evhttp_connection *connection, void *context) {
  struct client *client = context;
  for (cev_http_exchange *exchange = client->server->exchanges; exchange; exchange = exchange->next) {
    if (exchange->request && evhttp_request_get_connection(exchange->request) == connection) {
      exchange->request = NULL;
    }
  }
  forget(client);
}

/// evhttp offers no word of new connections, only of its need of a bufferevent for one. It makes itself the argument
/// of that bufferevent's callbacks right after `on_connection`, and this runs before anything else can happen to it.
static void on_adopt(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_http_server *server = context;
  for (size_t index = 0; index < server->fresh_count; index++) {
    struct client *client = server->fresh[index];
    struct bufferevent *bufferevent = client->bufferevent;
    bufferevent_event_cb callback = NULL;
    void *connection = NULL;
    bufferevent_getcb(bufferevent, NULL, NULL, &callback, &connection);
    client->descriptor = bufferevent_getfd(bufferevent);
    if (callback && client->descriptor >= 0) {
      client->connection = connection;
      evhttp_connection_set_closecb(client->connection, on_close, client);
      size_t former = server->descriptor_capacity;
      cev_grow(
          (void **)&server->by_descriptor, &server->descriptor_capacity, (size_t)client->descriptor + 1,
          sizeof *server->by_descriptor);
      for (size_t slot = former; slot < server->descriptor_capacity; slot++) server->by_descriptor[slot] = NULL;
      server->by_descriptor[client->descriptor] = client;
    } else {
      // evhttp gave it up at once.
      client->descriptor = -1;
      forget(client);
    }
    bufferevent_decref(bufferevent);
  }
  server->fresh_count = 0;
}

static void on_sweep(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_http_server *server = context;
  uint64_t now = cev_now();
  for (size_t index = 0; index < server->client_count; index++) {
    if (server->clients[index]->deadline <= now) hang_up(server->clients[index]);
  }
  if (server->client_count == 0) event_del(server->sweep_event);
}

static void on_resume(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_http_server *server = context;
  server->exhausted = false;
  update_listeners(server);
}

static struct bufferevent *on_connection(struct event_base *base, void *context) {
  cev_http_server *server = context;
  struct bufferevent *bufferevent = bufferevent_socket_new(base, -1, 0);
  struct client *client = calloc(1, sizeof *client);
  if (!bufferevent || !client) {
    if (bufferevent) bufferevent_free(bufferevent);
    free(client);
    // evhttp then makes a bufferevent of its own, or drops the connection.
    return NULL;
  }
  *client = (struct client){
      .server = server,
      .bufferevent = bufferevent,
      .index = server->client_count,
      .descriptor = -1,
      .deadline = cev_now() + server->request_nanoseconds,
  };
  evbuffer_add_cb(bufferevent_get_input(bufferevent), on_input, client);
  cev_grow(
      (void **)&server->clients, &server->client_capacity, server->client_count + 1,
      sizeof *server->clients);
  server->clients[server->client_count++] = client;
  cev_grow((void **)&server->fresh, &server->fresh_capacity, server->fresh_count + 1, sizeof *server->fresh);
  server->fresh[server->fresh_count++] = client;
  bufferevent_incref(bufferevent);
  event_active(server->adopt_event, EV_TIMEOUT, 0);
  if (!event_pending(server->sweep_event, EV_TIMEOUT, NULL)) {
    struct timeval interval;
    cev_milliseconds(SWEEP_MILLISECONDS, &interval);
    event_add(server->sweep_event, &interval);
  }
  if (server->client_count >= server->max_connections) set_full(server, true);
  return bufferevent;
}

static void on_accept_error(struct evconnlistener *listener, void *context) {
  // libevent has one argument for both callbacks of a listener, and it is evhttp's.
  cev_loop *loop = cev_loop_of_base(evconnlistener_get_base(listener));
  cev_http_server *server = loop ? loop->http_servers : NULL;
  while (server && server->http != context) server = server->next;
  if (!server) return;
  // No descriptors or no memory: the pending connection would wake the loop without end.
  server->exhausted = true;
  update_listeners(server);
  struct timeval interval;
  cev_milliseconds(PAUSE_MILLISECONDS, &interval);
  event_add(server->resume_event, &interval);
}

static void set_deadline(cev_http_server *server, struct evhttp_request *request, uint64_t deadline) {
  struct evhttp_connection *connection = evhttp_request_get_connection(request);
  if (!connection) return;
  int descriptor = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
  if (descriptor < 0 || (size_t)descriptor >= server->descriptor_capacity) return;
  struct client *client = server->by_descriptor[descriptor];
  if (client && client->connection == connection) client->deadline = deadline;
}

static void on_request(struct evhttp_request *request, void *context) {
  cev_http_server *server = context;
  cev_http_exchange *exchange = calloc(1, sizeof *exchange);
  if (!exchange) {
    evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
    return;
  }
  exchange->server = server;
  exchange->request = request;
  exchange->next = server->exchanges;
  if (exchange->next) exchange->next->previous = exchange;
  server->exchanges = exchange;
  set_deadline(server, request, CEV_NO_DEADLINE);
  cev_record *record = cev_loop_append(server->loop, CEV_RECORD_HTTP_REQUEST, server->token);
  record->value = (int64_t)(intptr_t)exchange;
}

cev_http_server *cev_http_server_new(
    cev_loop *loop, uint64_t token, const cev_http_server_options *options) {
  cev_http_server *server = calloc(1, sizeof *server);
  if (!server) return NULL;
  server->loop = loop;
  server->token = token;
  server->max_waiting = options->max_header_bytes + options->max_body_bytes + PARSE_SLACK;
  server->max_connections = options->max_connections;
  server->request_nanoseconds = options->request_milliseconds * 1000000;
  server->http = evhttp_new(loop->base);
  server->sweep_event = event_new(loop->base, -1, EV_PERSIST, on_sweep, server);
  server->resume_event = evtimer_new(loop->base, on_resume, server);
  server->adopt_event = event_new(loop->base, -1, 0, on_adopt, server);
  if (!server->http || !server->sweep_event || !server->resume_event || !server->adopt_event) {
    cev_http_server_free(server);
    return NULL;
  }
  struct timeval idle;
  cev_milliseconds(options->idle_milliseconds, &idle);
  evhttp_set_timeout_tv(server->http, &idle);
  evhttp_set_max_headers_size(server->http, (ev_ssize_t)options->max_header_bytes);
  evhttp_set_max_body_size(server->http, (ev_ssize_t)options->max_body_bytes);
  evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
  evhttp_set_default_content_type(server->http, NULL);
  evhttp_set_bevcb(server->http, on_connection, server);
  evhttp_set_gencb(server->http, on_request, server);
  server->next = loop->http_servers;
  loop->http_servers = server;
  return server;
}

int cev_http_server_listen(
    cev_http_server *server, const cev_binding *binding, int backlog, uint16_t *port) {
  int error = 0;
  int descriptor =
      cev_socket_open(binding->address.family, SOCK_STREAM, binding, CEV_SOCKET_REUSE_ADDRESS, &error);
  if (descriptor < 0) return error;
  cev_address bound;
  error = cev_socket_local_address(descriptor, &bound);
  errno = 0;
  struct evconnlistener *listener = NULL;
  if (!error) {
    listener = evconnlistener_new(
        server->loop->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, backlog,
        descriptor);
  }
  if (!listener) {
    if (!error) error = errno ? errno : ENOMEM;
    close(descriptor);
    return error;
  }
  if (!evhttp_bind_listener(server->http, listener)) {
    evconnlistener_free(listener);
    return ENOMEM;
  }
  evconnlistener_set_error_cb(listener, on_accept_error);
  cev_grow(
      (void **)&server->listeners, &server->listener_capacity, server->listener_count + 1,
      sizeof *server->listeners);
  server->listeners[server->listener_count++] = listener;
  *port = bound.port;
  return 0;
}

void cev_http_server_free(cev_http_server *server) {
  // Connections accepted a moment ago must be known before evhttp frees them.
  if (server->fresh_count > 0) on_adopt(-1, 0, server);
  // evhttp_free ends the listeners first.
  server->listener_count = 0;
  cev_http_server **link = &server->loop->http_servers;
  while (*link && *link != server) link = &(*link)->next;
  if (*link) *link = server->next;
  if (server->http) evhttp_free(server->http);
  while (server->exchanges) {
    cev_http_exchange *exchange = server->exchanges;
    server->exchanges = exchange->next;
    if (exchange->request) evhttp_request_free(exchange->request);
    free(exchange);
  }
  if (server->sweep_event) event_free(server->sweep_event);
  if (server->resume_event) event_free(server->resume_event);
  if (server->adopt_event) event_free(server->adopt_event);
  free(server->clients);
  free(server->fresh);
  free(server->by_descriptor);
  free(server->listeners);
  free(server);
}

size_t cev_http_server_connection_count(const cev_http_server *server) {
  return server->client_count;
}

const char *cev_http_exchange_method(const cev_http_exchange *exchange) {
  if (!exchange->request) return "GET";
  switch (evhttp_request_get_command(exchange->request)) {
  case EVHTTP_REQ_HEAD: return "HEAD";
  case EVHTTP_REQ_POST: return "POST";
  default: return "GET";
  }
}

const char *cev_http_exchange_target(const cev_http_exchange *exchange) {
  const char *target = exchange->request ? evhttp_request_get_uri(exchange->request) : NULL;
  return target ? target : "";
}

cev_address cev_http_exchange_peer(const cev_http_exchange *exchange) {
  cev_address address = {0};
  if (!exchange->request) return address;
  struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);
  const struct sockaddr *peer = connection ? evhttp_connection_get_addr(connection) : NULL;
  if (peer) cev_from_sockaddr(peer, &address);
  return address;
}

const char *cev_http_exchange_header(const cev_http_exchange *exchange, const char *name) {
  if (!exchange->request) return NULL;
  return evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name);
}

size_t cev_http_exchange_body_length(const cev_http_exchange *exchange) {
  if (!exchange->request) return 0;
  return evbuffer_get_length(evhttp_request_get_input_buffer(exchange->request));
}

size_t cev_http_exchange_copy_body(const cev_http_exchange *exchange, void *bytes, size_t count) {
  if (!exchange->request) return 0;
  ev_ssize_t copied =
      evbuffer_copyout(evhttp_request_get_input_buffer(exchange->request), bytes, count);
  return copied < 0 ? 0 : (size_t)copied;
}

bool cev_http_exchange_add_header(
    cev_http_exchange *exchange, const char *name, const char *value) {
  if (!exchange->request) return false;
  return evhttp_add_header(evhttp_request_get_output_headers(exchange->request), name, value) == 0;
}

void cev_http_exchange_reply(
    cev_http_exchange *exchange, int status, const char *reason, const void *body,
    size_t body_length) {
  cev_http_server *server = exchange->server;
  struct evhttp_request *request = exchange->request;
  if (exchange->next) exchange->next->previous = exchange->previous;
  if (exchange->previous) {
    exchange->previous->next = exchange->next;
  } else {
    server->exchanges = exchange->next;
  }
  free(exchange);
  if (!request) return;
  set_deadline(server, request, cev_now() + server->request_nanoseconds);
  // evhttp sends what it is given after the headers, also to HEAD.
  if (body_length > 0 && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
    evbuffer_add(evhttp_request_get_output_buffer(request), body, body_length);
  }
  // Also the right call when the connection is gone: then it only frees the request.
  evhttp_send_reply(request, status, reason, NULL);
}
