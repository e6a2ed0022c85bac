#pragma once

#include "cev_base.h"

typedef struct cev_resolver cev_resolver;
typedef struct cev_resolution cev_resolution;

typedef enum __attribute__((enum_extensibility(closed))) : int32_t {
  CEV_RESOLVE_OK CEV_SWIFT_NAME(ok) = 0,
  CEV_RESOLVE_NOT_FOUND CEV_SWIFT_NAME(notFound),
  CEV_RESOLVE_TEMPORARY CEV_SWIFT_NAME(temporary),
  CEV_RESOLVE_FAILED CEV_SWIFT_NAME(failed),
  CEV_RESOLVE_NO_NAMESERVER CEV_SWIFT_NAME(noNameserver),
  /// There is no route to any name server.
  CEV_RESOLVE_UNREACHABLE CEV_SWIFT_NAME(unreachable),
  CEV_RESOLVE_NO_MEMORY CEV_SWIFT_NAME(noMemory),
} cev_resolve_result;

/// A number that changes when the file does; 0 when there is none.
uint64_t cev_file_stamp(const char *_Nonnull path);

/// A resolver that reads `resolv_conf` and `hosts`; either may be null. Null when memory ran out.
cev_resolver *_Nullable cev_resolver_new(
    cev_loop *_Nonnull loop, const char *_Nullable resolv_conf, const char *_Nullable hosts);
/// Ends when evdns has let go of the last question; all resolutions must have been freed.
void cev_resolver_free(cev_resolver *_Nonnull resolver);
/// Adds a server beside those of resolv.conf. False when it was refused.
bool cev_resolver_add_nameserver(
    cev_resolver *_Nonnull resolver, const cev_address *_Nonnull address);

/// Asks for addresses of `name`; `family` is 4, 6 or 0 for both. RESOLVED follows, always in a later turn or at the
/// end of this one. Null when memory ran out.
cev_resolution *_Nullable cev_resolve(
    cev_resolver *_Nonnull resolver, uint64_t token, const char *_Nonnull name, int family);
/// Cancels if need be, and forgets.
void cev_resolution_free(cev_resolution *_Nonnull resolution);
cev_resolve_result cev_resolution_result(const cev_resolution *_Nonnull resolution);
size_t cev_resolution_count(const cev_resolution *_Nonnull resolution);
cev_address cev_resolution_address(const cev_resolution *_Nonnull resolution, size_t index);
