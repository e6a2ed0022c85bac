#include "internal_tls.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// OpenSSL takes its tables down in an exit handler, while threads of ours may still hash or shake hands: they would use
// what is gone. Whoever initializes it first decides, so this runs before main.
__attribute__((constructor)) static void keep_openssl_at_exit(void) {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

struct cev_tls {
  SSL_CTX *context;
};

static cev_tls *refuse(SSL_CTX *context, const char *doing, char *text, size_t text_size) {
  unsigned long error = ERR_peek_last_error();
  const char *reason = error ? ERR_reason_error_string(error) : NULL;
  snprintf(text, text_size, "%s: %s", doing, reason ? reason : "unknown OpenSSL error");
  ERR_clear_error();
  SSL_CTX_free(context);
  return NULL;
}

cev_tls *cev_tls_new(const char *extra_ca_file, char *text, size_t text_size) {
  ERR_clear_error();
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  if (!context) return refuse(NULL, "cannot set up TLS", text, text_size);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // Many servers end a response by closing without close_notify. Truncation shows in what is read (a length, or
  // bencode that stops short), so it is not treated as a TLS error.
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
    return refuse(context, "cannot require TLS 1.2", text, text_size);
  }
  // Absent default places are no error here: then every certificate is refused, with a reason that says so.
  if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return refuse(context, "cannot set the default certificate places", text, text_size);
  }
  if (extra_ca_file && SSL_CTX_load_verify_locations(context, extra_ca_file, NULL) != 1) {
    return refuse(context, "cannot read the CA file", text, text_size);
  }
  ERR_clear_error();
  cev_tls *tls = malloc(sizeof *tls);
  if (!tls) {
    SSL_CTX_free(context);
    snprintf(text, text_size, "out of memory");
    return NULL;
  }
  tls->context = context;
  return tls;
}

void cev_tls_free(cev_tls *tls) {
  SSL_CTX_free(tls->context);
  free(tls);
}

SSL *cev_tls_session(cev_tls *tls, const char *server_name, bool is_address) {
  SSL *session = SSL_new(tls->context);
  if (!session) return NULL;
  X509_VERIFY_PARAM *parameters = SSL_get0_param(session);
  bool good;
  if (is_address) {
    good = X509_VERIFY_PARAM_set1_ip_asc(parameters, server_name) == 1;
  } else {
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    good = X509_VERIFY_PARAM_set1_host(parameters, server_name, 0) == 1 &&
           SSL_set_tlsext_host_name(session, server_name) == 1;
  }
  if (!good) {
    ERR_clear_error();
    SSL_free(session);
    return NULL;
  }
  return session;
}
