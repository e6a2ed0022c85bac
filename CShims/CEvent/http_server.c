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
/// How often connections are looked over while there are any, in milliseconds; more often while the server is full.
#define SWEEP_MILLISECONDS 1000
#define FULL_SWEEP_MILLISECONDS 50

/// One accepted connection. evhttp tells nobody when it lets one go, so an own reference is kept on the bufferevent,
/// and a sweep finds those whose callbacks evhttp has taken away.
struct client {
  cev_http_server *server;
  struct bufferevent *bufferevent;
  /// When it is closed unless a complete request came before. `CEV_NO_DEADLINE` while a request is being answered.
  uint64_t deadline;
  bool too_much;
};

struct cev_http_exchange {
  cev_http_server *server;
  struct evhttp_request *request;
  cev_http_exchange *previous, *next;
};

struct cev_http_server {
  cev_loop *loop;
  uint64_t token;
  struct evhttp *http;
  struct event *sweep_event;
  size_t max_waiting;
  size_t max_connections;
  uint64_t request_nanoseconds;
  struct client **clients;
  size_t client_count, client_capacity;
  struct evconnlistener **listeners;
  size_t listener_count, listener_capacity;
  cev_http_exchange *exchanges;
  cev_http_server *next;
  /// Listeners are off: the server is full, or accepting failed.
  bool paused;
};

static void schedule_sweep(cev_http_server *server) {
  struct timeval interval;
  cev_milliseconds(server->paused ? FULL_SWEEP_MILLISECONDS : SWEEP_MILLISECONDS, &interval);
  if (event_add(server->sweep_event, &interval) < 0) abort();
}

static void set_paused(cev_http_server *server, bool paused) {
  if (server->paused == paused) return;
  server->paused = paused;
  for (size_t index = 0; index < server->listener_count; index++) {
    if (paused) {
      evconnlistener_disable(server->listeners[index]);
    } else {
      evconnlistener_enable(server->listeners[index]);
    }
  }
}

/// Makes evhttp see the end of the stream, so that it cleans up in its own way.
static void hang_up(struct client *client) {
  evutil_socket_t descriptor = bufferevent_getfd(client->bufferevent);
  if (descriptor >= 0) shutdown(descriptor, SHUT_RDWR);
}

static bool was_let_go(const struct client *client) {
  bufferevent_event_cb callback = NULL;
  bufferevent_getcb(client->bufferevent, NULL, NULL, &callback, NULL);
  return callback == NULL;
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

static void sweep(cev_http_server *server) {
  uint64_t now = cev_now();
  size_t kept = 0;
  for (size_t index = 0; index < server->client_count; index++) {
    struct client *client = server->clients[index];
    if (was_let_go(client)) {
      evbuffer_remove_cb(bufferevent_get_input(client->bufferevent), on_input, client);
      bufferevent_decref(client->bufferevent);
      free(client);
      continue;
    }
    if (client->deadline <= now) {
      client->deadline = CEV_NO_DEADLINE;
      hang_up(client);
    }
    server->clients[kept++] = client;
  }
  server->client_count = kept;
}

static void on_sweep(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_http_server *server = context;
  sweep(server);
  if (server->client_count < server->max_connections) set_paused(server, false);
  if (server->client_count > 0) schedule_sweep(server);
}

static struct bufferevent *on_connection(struct event_base *base, void *context) {
  cev_http_server *server = context;
  // Before the new one is listed: it has no callbacks yet and would look as if it had been let go.
  if (server->client_count + 1 >= server->max_connections) sweep(server);
  struct bufferevent *bufferevent = bufferevent_socket_new(base, -1, 0);
  struct client *client = calloc(1, sizeof *client);
  if (!bufferevent || !client) {
    if (bufferevent) bufferevent_free(bufferevent);
    free(client);
    // evhttp then makes a bufferevent of its own, or drops the connection.
    return NULL;
  }
  *client = (struct client){
      .server = server, .bufferevent = bufferevent, .deadline = cev_now() + server->request_nanoseconds};
  bufferevent_incref(bufferevent);
  evbuffer_add_cb(bufferevent_get_input(bufferevent), on_input, client);
  cev_grow(
      (void **)&server->clients, &server->client_capacity, server->client_count + 1,
      sizeof *server->clients);
  server->clients[server->client_count++] = client;
  if (server->client_count >= server->max_connections) set_paused(server, true);
  if (server->paused || !event_pending(server->sweep_event, EV_TIMEOUT, NULL)) schedule_sweep(server);
  return bufferevent;
}

static void on_accept_error(struct evconnlistener *listener, void *context) {
  // libevent has one argument for both callbacks of a listener, and it is evhttp's.
  cev_loop *loop = cev_loop_of_base(evconnlistener_get_base(listener));
  cev_http_server *server = loop ? loop->http_servers : NULL;
  while (server && server->http != context) server = server->next;
  if (!server) return;
  // No descriptors or no memory: the pending connection would wake the loop without end.
  set_paused(server, true);
  schedule_sweep(server);
}

static void set_deadline(cev_http_server *server, struct evhttp_request *request, uint64_t deadline) {
  struct evhttp_connection *connection = evhttp_request_get_connection(request);
  if (!connection) return;
  struct bufferevent *bufferevent = evhttp_connection_get_bufferevent(connection);
  // From the end: a request usually comes on a connection accepted a moment ago.
  for (size_t index = server->client_count; index > 0; index--) {
    if (server->clients[index - 1]->bufferevent != bufferevent) continue;
    server->clients[index - 1]->deadline = deadline;
    return;
  }
}

static void on_request(struct evhttp_request *request, void *context) {
  cev_http_server *server = context;
  cev_http_exchange *exchange = calloc(1, sizeof *exchange);
  if (!exchange) {
    evhttp_send_error(request, HTTP_SERVUNAVAIL, NULL);
    return;
  }
  // Owned, so that it survives its connection; answering frees it.
  evhttp_request_own(request);
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
  server->sweep_event = evtimer_new(loop->base, on_sweep, server);
  if (!server->http || !server->sweep_event) {
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
  cev_http_server **link = &server->loop->http_servers;
  while (*link && *link != server) link = &(*link)->next;
  if (*link) *link = server->next;
  if (server->http) evhttp_free(server->http);
  // evhttp_free closed their connections but left them alive, being ours.
  while (server->exchanges) {
    cev_http_exchange *exchange = server->exchanges;
    server->exchanges = exchange->next;
    evhttp_request_free(exchange->request);
    free(exchange);
  }
  sweep(server);
  if (server->sweep_event) event_free(server->sweep_event);
  free(server->clients);
  free(server->listeners);
  free(server);
}

size_t cev_http_server_connection_count(cev_http_server *server) {
  sweep(server);
  return server->client_count;
}

const char *cev_http_exchange_method(const cev_http_exchange *exchange) {
  switch (evhttp_request_get_command(exchange->request)) {
  case EVHTTP_REQ_HEAD: return "HEAD";
  case EVHTTP_REQ_POST: return "POST";
  default: return "GET";
  }
}

const char *cev_http_exchange_target(const cev_http_exchange *exchange) {
  const char *target = evhttp_request_get_uri(exchange->request);
  return target ? target : "";
}

cev_address cev_http_exchange_peer(const cev_http_exchange *exchange) {
  cev_address address = {0};
  struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);
  const struct sockaddr *peer = connection ? evhttp_connection_get_addr(connection) : NULL;
  if (peer) cev_from_sockaddr(peer, &address);
  return address;
}

const char *cev_http_exchange_header(const cev_http_exchange *exchange, const char *name) {
  return evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name);
}

size_t cev_http_exchange_body_length(const cev_http_exchange *exchange) {
  return evbuffer_get_length(evhttp_request_get_input_buffer(exchange->request));
}

size_t cev_http_exchange_copy_body(const cev_http_exchange *exchange, void *bytes, size_t count) {
  ev_ssize_t copied =
      evbuffer_copyout(evhttp_request_get_input_buffer(exchange->request), bytes, count);
  return copied < 0 ? 0 : (size_t)copied;
}

bool cev_http_exchange_add_header(
    cev_http_exchange *exchange, const char *name, const char *value) {
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
  set_deadline(server, request, cev_now() + server->request_nanoseconds);
  // evhttp sends what it is given after the headers, also to HEAD.
  if (body_length > 0 && evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
    evbuffer_add(evhttp_request_get_output_buffer(request), body, body_length);
  }
  // Also the right call when the connection is gone: then it only frees the request.
  evhttp_send_reply(request, status, reason, NULL);
}
