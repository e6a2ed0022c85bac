#include "internal_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <net/if.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/// "100 Continue" and its kin before the response proper.
#define MAX_INTERIM_RESPONSES 8
/// Bytes beyond headers and body that may wait unparsed: chunk lines and what one read brings too much.
#define PARSE_SLACK (64 * 1024)

struct cev_http_request {
  cev_loop *loop;
  uint64_t token;
  struct evhttp_connection *connection;
  /// Ours before the start and after the end, evhttp's in between.
  struct evhttp_request *request;
  char *target;
  /// evhttp's own event callback while the connection is being made, see `on_connection_event`.
  bufferevent_event_cb inner_callback;
  void *inner_context;
  struct bufferevent *bufferevent;
  bool secure;
  bool started;
  bool connected;
  bool done;
  bool response_kept;
  int interim_responses;
  size_t max_waiting;
  uint64_t received;
  uint64_t max_received;
  cev_http_failure failure;
  int error_number;
  char failure_text[256];
};

static void finish(cev_http_request *request) {
  if (request->done) return;
  request->done = true;
  cev_loop_append(request->loop, CEV_RECORD_HTTP_DONE, request->token);
}

static void note_failure(cev_http_request *request, cev_http_failure failure, int error_number) {
  // The first cause is the one worth telling.
  if (request->failure != CEV_HTTP_OK) return;
  request->failure = failure;
  request->error_number = error_number;
}

static bool was_never_connected(struct bufferevent *bufferevent) {
  struct sockaddr_in6 peer;
  socklen_t length = sizeof peer;
  return getpeername(bufferevent_getfd(bufferevent), (struct sockaddr *)&peer, &length) < 0 && errno == ENOTCONN;
}

static void note_tls_failure(cev_http_request *request, int error_number) {
  // OpenSSL meets a refused connection as the end of a stream; the socket knows better. After a reset, which comes
  // later than connecting, it has no peer either.
  bool was_reset = error_number == ECONNRESET || error_number == EPIPE;
  if (!was_reset && was_never_connected(request->bufferevent)) {
    note_failure(request, CEV_HTTP_CONNECT_FAILED, error_number ? error_number : ECONNREFUSED);
    return;
  }
  SSL *session = bufferevent_openssl_get_ssl(request->bufferevent);
  long verification = session ? SSL_get_verify_result(session) : X509_V_OK;
  unsigned long code = 0, next;
  // The first entries are SSL_get_error classes or the outermost error; the last one is the reason.
  while ((next = bufferevent_get_openssl_error(request->bufferevent)) != 0) {
    if (ERR_reason_error_string(next)) code = next;
  }
  if (verification != X509_V_OK) {
    snprintf(
        request->failure_text, sizeof request->failure_text, "%s",
        X509_verify_cert_error_string(verification));
    note_failure(request, CEV_HTTP_CERTIFICATE_REFUSED, 0);
  } else if (code) {
    snprintf(
        request->failure_text, sizeof request->failure_text, "%s", ERR_reason_error_string(code));
    note_failure(request, CEV_HTTP_TLS_FAILED, 0);
  } else {
    snprintf(
        request->failure_text, sizeof request->failure_text,
        "the connection was closed during the handshake");
    note_failure(request, CEV_HTTP_TLS_FAILED, 0);
  }
}

/// evhttp says only that connecting failed. This stands before its callback until the connection is made (evhttp sets
/// its callbacks anew then) and keeps the reason.
static void on_connection_event(struct bufferevent *bufferevent, short what, void *context) {
  int error = errno;
  cev_http_request *request = context;
  if (what & BEV_EVENT_CONNECTED) {
    request->connected = true;
  } else if (what & BEV_EVENT_TIMEOUT) {
    note_failure(request, CEV_HTTP_TIMED_OUT, 0);
  } else if (request->secure) {
    note_tls_failure(request, error);
  } else {
    note_failure(request, CEV_HTTP_CONNECT_FAILED, error);
  }
  errno = error;
  request->inner_callback(bufferevent, what, request->inner_context);
}

static void on_error(enum evhttp_request_error error, void *context) {
  cev_http_request *request = context;
  switch (error) {
  case EVREQ_HTTP_TIMEOUT: note_failure(request, CEV_HTTP_TIMED_OUT, 0); break;
  case EVREQ_HTTP_EOF:
  case EVREQ_HTTP_BUFFER_ERROR: note_failure(request, CEV_HTTP_CLOSED_EARLY, errno); break;
  case EVREQ_HTTP_DATA_TOO_LONG: note_failure(request, CEV_HTTP_TOO_LARGE, 0); break;
  case EVREQ_HTTP_INVALID_HEADER:
  case EVREQ_HTTP_REQUEST_CANCEL: note_failure(request, CEV_HTTP_BAD_RESPONSE, 0); break;
  }
}

static void on_done(struct evhttp_request *response, void *context) {
  cev_http_request *request = context;
  if (!response) {
    note_failure(request, CEV_HTTP_BAD_RESPONSE, 0);
    // evhttp has freed it, or does so when this returns.
    request->request = NULL;
  } else if (request->done) {
    // Given up already; evhttp frees the response when this returns.
    request->request = NULL;
  } else {
    evhttp_request_own(response);
    request->request = response;
    request->response_kept = true;
    int status = evhttp_request_get_response_code(response);
    // A request that never got an answer has status 0.
    if (request->failure == CEV_HTTP_OK && (status < 100 || status > 599)) {
      note_failure(request, CEV_HTTP_BAD_RESPONSE, 0);
    }
  }
  finish(request);
}

static int on_headers(struct evhttp_request *response, void *context) {
  cev_http_request *request = context;
  int status = evhttp_request_get_response_code(response);
  if (status < 100 || status > 599) {
    note_failure(request, CEV_HTTP_BAD_RESPONSE, 0);
    return -1;
  }
  if (status < 200) {
    // evhttp starts over after a 100 and would collect the headers of any number of them.
    if (++request->interim_responses > MAX_INTERIM_RESPONSES) {
      note_failure(request, CEV_HTTP_BAD_RESPONSE, 0);
      return -1;
    }
    evhttp_clear_headers(evhttp_request_get_input_headers(response));
  }
  return 0;
}

/// evhttp limits headers and body, but not a chunk line without an end, nor the sum of everything. This does.
static void on_input(
    struct evbuffer *input, const struct evbuffer_cb_info *change, void *context) {
  cev_http_request *request = context;
  request->received += change->n_added;
  if (request->done || change->n_added == 0) return;
  if (evbuffer_get_length(input) <= request->max_waiting && request->received <= request->max_received) return;
  note_failure(request, CEV_HTTP_TOO_LARGE, 0);
  finish(request);
}

static char *numeric(const cev_address *address, char *text, size_t size) {
  struct sockaddr_in6 storage;
  cev_to_sockaddr(address, &storage);
  if (address->family == 4) {
    inet_ntop(AF_INET, &((struct sockaddr_in *)&storage)->sin_addr, text, (socklen_t)size);
    return text;
  }
  inet_ntop(AF_INET6, &storage.sin6_addr, text, (socklen_t)size);
  char name[IF_NAMESIZE];
  if (address->scope && if_indextoname(address->scope, name)) {
    size_t length = strlen(text);
    snprintf(text + length, size - length, "%%%s", name);
  }
  return text;
}

static struct bufferevent *make_bufferevent(cev_loop *loop, const cev_http_options *options) {
  // Deferred, so that nothing is reported from inside evhttp_make_request.
  int flags = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
  if (!options->tls) return bufferevent_socket_new(loop->base, -1, flags);
  SSL *session = cev_tls_session(options->tls, options->server_name, options->server_name_is_address);
  if (!session) return NULL;
  // Frees the session also when it fails.
  struct bufferevent *bufferevent =
      bufferevent_openssl_socket_new(loop->base, -1, session, BUFFEREVENT_SSL_CONNECTING, flags);
  if (bufferevent) bufferevent_openssl_set_allow_dirty_shutdown(bufferevent, 1);
  return bufferevent;
}

cev_http_request *cev_http_request_new(
    cev_loop *loop, uint64_t token, const cev_http_options *options) {
  cev_http_request *request = calloc(1, sizeof *request);
  if (!request) return NULL;
  request->loop = loop;
  request->token = token;
  request->secure = options->tls != NULL;
  request->max_waiting = options->max_header_bytes + options->max_body_bytes + PARSE_SLACK;
  // A chunk of one byte needs six on the wire.
  request->max_received =
      (uint64_t)options->max_body_bytes * 6 + (uint64_t)options->max_header_bytes * 4 + PARSE_SLACK;
  request->target = strdup(options->target);
  request->request = evhttp_request_new(on_done, request);
  request->bufferevent = make_bufferevent(loop, options);
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
  if (request->bufferevent) {
    request->connection = evhttp_connection_base_bufferevent_new(
        loop->base, NULL, request->bufferevent, numeric(&options->remote, text, sizeof text),
        options->remote.port);
  }
  if (!request->target || !request->request || !request->connection) {
    if (!request->connection && request->bufferevent) bufferevent_free(request->bufferevent);
    cev_http_request_free(request);
    return NULL;
  }
  evbuffer_add_cb(bufferevent_get_input(request->bufferevent), on_input, request);
  evhttp_request_set_error_cb(request->request, on_error);
  evhttp_request_set_header_cb(request->request, on_headers);
  evhttp_connection_set_family(request->connection, options->remote.family == 4 ? AF_INET : AF_INET6);
  evhttp_connection_set_max_headers_size(request->connection, (ev_ssize_t)options->max_header_bytes);
  evhttp_connection_set_max_body_size(request->connection, (ev_ssize_t)options->max_body_bytes);
  struct timeval idle;
  cev_milliseconds(options->idle_milliseconds, &idle);
  evhttp_connection_set_timeout_tv(request->connection, &idle);
  if (options->local.family) {
    evhttp_connection_set_local_address(
        request->connection, numeric(&options->local, text, sizeof text));
  }
  return request;
}

bool cev_http_request_add_header(cev_http_request *request, const char *name, const char *value) {
  return evhttp_add_header(evhttp_request_get_output_headers(request->request), name, value) == 0;
}

bool cev_http_request_start(cev_http_request *request) {
  request->started = true;
  if (evhttp_make_request(request->connection, request->request, EVHTTP_REQ_GET, request->target) < 0) {
    // libevent took it off its list but left it alive, whatever its documentation says.
    request->started = false;
    return false;
  }
  void *context = NULL;
  bufferevent_data_cb read_callback = NULL, write_callback = NULL;
  bufferevent_getcb(
      request->bufferevent, &read_callback, &write_callback, &request->inner_callback,
      &request->inner_context);
  context = request->inner_callback ? request : request->inner_context;
  bufferevent_setcb(
      request->bufferevent, read_callback, write_callback,
      request->inner_callback ? on_connection_event : NULL, context);
  return true;
}

void cev_http_request_free(cev_http_request *request) {
  // Between start and end the request is on evhttp's list and goes with the connection.
  if (request->request && (!request->started || request->response_kept)) {
    evhttp_request_free(request->request);
  }
  if (request->connection) {
    evbuffer_remove_cb(bufferevent_get_input(request->bufferevent), on_input, request);
    evhttp_connection_free(request->connection);
  }
  free(request->target);
  free(request);
}

cev_http_failure cev_http_request_failure(const cev_http_request *request) { return request->failure; }

int cev_http_request_error_number(const cev_http_request *request) { return request->error_number; }

const char *cev_http_request_failure_text(const cev_http_request *request) {
  return request->failure_text;
}

bool cev_http_request_was_connected(const cev_http_request *request) { return request->connected; }

int cev_http_request_status(const cev_http_request *request) {
  return request->response_kept ? evhttp_request_get_response_code(request->request) : 0;
}

const void *cev_http_request_next_header(
    const cev_http_request *request, const void *previous, const char **name, const char **value) {
  if (!request->response_kept) return NULL;
  struct evkeyvalq *headers = evhttp_request_get_input_headers(request->request);
  const struct evkeyval *header =
      previous ? TAILQ_NEXT((const struct evkeyval *)previous, next) : TAILQ_FIRST(headers);
  if (!header) return NULL;
  *name = header->key;
  *value = header->value;
  return header;
}

size_t cev_http_request_body_length(const cev_http_request *request) {
  if (!request->response_kept) return 0;
  return evbuffer_get_length(evhttp_request_get_input_buffer(request->request));
}

size_t cev_http_request_copy_body(const cev_http_request *request, void *bytes, size_t count) {
  if (!request->response_kept) return 0;
  ev_ssize_t copied =
      evbuffer_copyout(evhttp_request_get_input_buffer(request->request), bytes, count);
  return copied < 0 ? 0 : (size_t)copied;
}
