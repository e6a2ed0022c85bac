#pragma once

#include "cev_connection.h"

/// Client settings for TLS. Immutable once made and safe to use on several threads.
typedef struct cev_tls cev_tls;
typedef struct cev_http_request cev_http_request;
typedef struct cev_http_server cev_http_server;
typedef struct cev_http_exchange cev_http_exchange;

/// Trusts OpenSSL's default places (which SSL_CERT_FILE and SSL_CERT_DIR override) and `extra_ca_file`, if given.
/// Null with a message in `text` on failure.
cev_tls *_Nullable cev_tls_new(
    const char *_Nullable extra_ca_file, char *_Nonnull text, size_t text_size);
void cev_tls_free(cev_tls *_Nonnull tls);

typedef enum __attribute__((enum_extensibility(closed))) : int32_t {
  CEV_HTTP_OK CEV_SWIFT_NAME(ok) = 0,
  /// `cev_http_error_number` tells why.
  CEV_HTTP_CONNECT_FAILED CEV_SWIFT_NAME(connectFailed),
  CEV_HTTP_TIMED_OUT CEV_SWIFT_NAME(timedOut),
  /// `cev_http_failure_text` tells why.
  CEV_HTTP_CERTIFICATE_REFUSED CEV_SWIFT_NAME(certificateRefused),
  CEV_HTTP_TLS_FAILED CEV_SWIFT_NAME(tlsFailed),
  /// The connection ended before the response did.
  CEV_HTTP_CLOSED_EARLY CEV_SWIFT_NAME(closedEarly),
  CEV_HTTP_BAD_RESPONSE CEV_SWIFT_NAME(badResponse),
  CEV_HTTP_TOO_LARGE CEV_SWIFT_NAME(tooLarge),
} cev_http_failure;

typedef struct {
  /// Numeric address to connect to; nothing is resolved.
  cev_address remote;
  /// Local address, family 0 for any.
  cev_address local;
  /// Null for plain HTTP.
  cev_tls *_Nullable tls;
  /// For the certificate check and, unless it is an address, for SNI. Null without TLS.
  const char *_Nullable server_name;
  bool server_name_is_address;
  /// Path and query.
  const char *_Nonnull target;
  size_t max_header_bytes;
  size_t max_body_bytes;
  /// The longest silence.
  uint64_t idle_milliseconds;
} cev_http_options;

/// Prepares a GET; headers are added next, then it is started. Null when memory or descriptors ran out.
cev_http_request *_Nullable cev_http_request_new(
    cev_loop *_Nonnull loop, uint64_t token, const cev_http_options *_Nonnull options);
/// False for a header that would break the message.
bool cev_http_request_add_header(
    cev_http_request *_Nonnull request, const char *_Nonnull name, const char *_Nonnull value);
/// HTTP_DONE follows. False when it could not be started (a local address that cannot be bound).
bool cev_http_request_start(cev_http_request *_Nonnull request);
/// Cancels if need be, and forgets.
void cev_http_request_free(cev_http_request *_Nonnull request);

cev_http_failure cev_http_request_failure(const cev_http_request *_Nonnull request);
int cev_http_request_error_number(const cev_http_request *_Nonnull request);
/// OpenSSL's words, or an empty string.
const char *_Nonnull cev_http_request_failure_text(const cev_http_request *_Nonnull request);
/// Whether the server was reached (TLS included) before the failure.
bool cev_http_request_was_connected(const cev_http_request *_Nonnull request);
int cev_http_request_status(const cev_http_request *_Nonnull request);
/// The header after `previous` (null for the first), or null at the end.
const void *_Nullable cev_http_request_next_header(
    const cev_http_request *_Nonnull request, const void *_Nullable previous,
    const char *_Nullable *_Nonnull name, const char *_Nullable *_Nonnull value);
size_t cev_http_request_body_length(const cev_http_request *_Nonnull request);
size_t cev_http_request_copy_body(
    const cev_http_request *_Nonnull request, void *_Nonnull bytes, size_t count);

typedef struct {
  size_t max_header_bytes;
  size_t max_body_bytes;
  size_t max_connections;
  /// The longest silence on a connection.
  uint64_t idle_milliseconds;
  /// The longest time from accepting, or from the last answer, to a complete request.
  uint64_t request_milliseconds;
} cev_http_server_options;

cev_http_server *_Nullable cev_http_server_new(
    cev_loop *_Nonnull loop, uint64_t token, const cev_http_server_options *_Nonnull options);
/// Listens on one more address. errno or 0; `port` receives the bound port.
int cev_http_server_listen(
    cev_http_server *_Nonnull server, const cev_binding *_Nonnull binding, int backlog,
    uint16_t *_Nonnull port);
/// Closes everything. Exchanges not answered yet are forgotten: their pointers are dead.
void cev_http_server_free(cev_http_server *_Nonnull server);
size_t cev_http_server_connection_count(const cev_http_server *_Nonnull server);

/// "GET", "HEAD" or "POST".
const char *_Nonnull cev_http_exchange_method(const cev_http_exchange *_Nonnull exchange);
/// As sent: path and query, or a whole URL.
const char *_Nonnull cev_http_exchange_target(const cev_http_exchange *_Nonnull exchange);
cev_address cev_http_exchange_peer(const cev_http_exchange *_Nonnull exchange);
const char *_Nullable cev_http_exchange_header(
    const cev_http_exchange *_Nonnull exchange, const char *_Nonnull name);
size_t cev_http_exchange_body_length(const cev_http_exchange *_Nonnull exchange);
size_t cev_http_exchange_copy_body(
    const cev_http_exchange *_Nonnull exchange, void *_Nonnull bytes, size_t count);
bool cev_http_exchange_add_header(
    cev_http_exchange *_Nonnull exchange, const char *_Nonnull name, const char *_Nonnull value);
/// Answers and forgets the exchange. Harmless when the client is gone.
void cev_http_exchange_reply(
    cev_http_exchange *_Nonnull exchange, int status, const char *_Nonnull reason,
    const void *_Nullable body, size_t body_length);
