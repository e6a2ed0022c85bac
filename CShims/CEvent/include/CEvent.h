#pragma once

/// CEvent: libevent and OpenSSL behind opaque types.
///
/// The event2 headers never appear here: importing them beside Glibc makes Swift reject `fd_set`.
///
/// Rules of the shim:
/// - A loop and everything made on it belongs to one thread. libevent's own locking stays off; the only function
///   another thread may call is `cev_loop_wake`.
/// - Swift is never called from inside libevent. Callbacks append records; Swift takes them once a turn.
/// - Whatever Swift registers carries a `token` chosen by Swift. Records name the token, never a pointer, so that a
///   record about something closed in the meantime is recognised and dropped.

#include "cev_base.h"
#include "cev_connection.h"
#include "cev_datagram.h"
#include "cev_http.h"
#include "cev_resolver.h"
