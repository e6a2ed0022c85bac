#pragma once

#include "internal.h"

#include <openssl/ssl.h>

/// A client session that checks the server's certificate against `server_name`. Null when memory ran out or the name
/// cannot be one.
SSL *cev_tls_session(cev_tls *tls, const char *server_name, bool is_address);
