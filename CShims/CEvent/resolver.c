#include "internal.h"

#include <errno.h>
#include <event2/dns.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// Addresses kept of one answer. More than a peer or tracker is ever tried at.
#define MAX_ADDRESSES 32

struct cev_resolver {
  cev_loop *loop;
  struct evdns_base *base;
  /// Questions evdns has not called back about, cancelled ones included: until then it looks at its base.
  size_t outstanding;
  bool closing;
};

/// Lives until both sides are done with it: Swift (`cev_resolution_free`) and evdns (its callback).
struct cev_resolution {
  cev_resolver *resolver;
  uint64_t token;
  struct evdns_getaddrinfo_request *request;
  cev_resolve_result result;
  bool answered;
  bool abandoned;
  /// What to say instead of evdns's own answer when there was no point in asking.
  cev_resolve_result hopeless;
  size_t count;
  cev_address addresses[MAX_ADDRESSES];
};

uint64_t cev_file_stamp(const char *path) {
  struct stat details;
  if (stat(path, &details) < 0) return 0;
  uint64_t stamp = (uint64_t)details.st_mtim.tv_sec * 1000000000u + (uint64_t)details.st_mtim.tv_nsec;
  return (stamp ^ (uint64_t)details.st_ino << 40 ^ (uint64_t)details.st_size << 20) | 1;
}

cev_resolver *cev_resolver_new(cev_loop *loop, const char *resolv_conf, const char *hosts) {
  cev_resolver *resolver = calloc(1, sizeof *resolver);
  if (!resolver) return NULL;
  resolver->loop = loop;
  // An inactive resolver keeps no event, so an idle loop sleeps. No default server: a machine that names none
  // should be told so at once, not after timeouts against an empty port of its own.
  resolver->base = evdns_base_new(
      loop->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE | EVDNS_BASE_NAMESERVERS_NO_DEFAULT);
  if (!resolver->base) {
    free(resolver);
    return NULL;
  }
  if (resolv_conf) {
    evdns_base_resolv_conf_parse(
        resolver->base,
        DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC | DNS_OPTION_NAMESERVERS_NO_DEFAULT,
        resolv_conf);
  }
  if (hosts) evdns_base_load_hosts(resolver->base, hosts);
  // Three tries of two seconds: about what a caller's own limit allows for.
  evdns_base_set_option(resolver->base, "timeout:", "2");
  evdns_base_set_option(resolver->base, "attempts:", "3");
  evdns_base_set_option(resolver->base, "max-timeouts:", "3");
  // How long addresses of one family wait for those of the other.
  evdns_base_set_option(resolver->base, "getaddrinfo-allow-skew:", "1");
  // A server that failed is probed with a query for a foreign name; do so as rarely as libevent allows.
  evdns_base_set_option(resolver->base, "initial-probe-timeout:", "3600");
  return resolver;
}

static void destroy(evutil_socket_t descriptor, short what, void *context) {
  (void)descriptor, (void)what;
  cev_resolver *resolver = context;
  evdns_base_free(resolver->base, 0);
  free(resolver);
}

void cev_resolver_free(cev_resolver *resolver) {
  resolver->closing = true;
  if (resolver->outstanding == 0) destroy(-1, 0, resolver);
}

bool cev_resolver_add_nameserver(cev_resolver *resolver, const cev_address *address) {
  struct sockaddr_in6 storage;
  socklen_t length = cev_to_sockaddr(address, &storage);
  return evdns_base_nameserver_sockaddr_add(
             resolver->base, (struct sockaddr *)&storage, length, 0) == 0;
}

static cev_resolve_result translate(int error) {
  switch (error) {
  case 0: return CEV_RESOLVE_OK;
  case EVUTIL_EAI_NONAME:
#if defined(EVUTIL_EAI_NODATA) && EVUTIL_EAI_NODATA != EVUTIL_EAI_NONAME
  case EVUTIL_EAI_NODATA:
#endif
  case EVUTIL_EAI_ADDRFAMILY: return CEV_RESOLVE_NOT_FOUND;
  case EVUTIL_EAI_AGAIN: return CEV_RESOLVE_TEMPORARY;
  case EVUTIL_EAI_MEMORY: return CEV_RESOLVE_NO_MEMORY;
  default: return CEV_RESOLVE_FAILED;
  }
}

static void on_answer(int error, struct evutil_addrinfo *list, void *context) {
  cev_resolution *resolution = context;
  cev_resolver *resolver = resolution->resolver;
  resolution->answered = true;
  resolution->request = NULL;
  resolution->resolver = NULL;
  if (--resolver->outstanding == 0 && resolver->closing) {
    // Not from inside evdns.
    struct timeval now = {0, 0};
    event_base_once(resolver->loop->base, -1, EV_TIMEOUT, destroy, resolver, &now);
  }
  if (resolution->abandoned) {
    if (list) evutil_freeaddrinfo(list);
    free(resolution);
    return;
  }
  for (struct evutil_addrinfo *entry = list; entry && resolution->count < MAX_ADDRESSES;
       entry = entry->ai_next) {
    if (cev_from_sockaddr(entry->ai_addr, &resolution->addresses[resolution->count])) resolution->count++;
  }
  if (list) evutil_freeaddrinfo(list);
  resolution->result = translate(error);
  if (resolution->hopeless && error) resolution->result = resolution->hopeless;
  // The hosts file knows the name, but not in the family asked for.
  if (!error && resolution->count == 0) resolution->result = CEV_RESOLVE_NOT_FOUND;
  cev_loop_append(resolver->loop, CEV_RECORD_RESOLVED, resolution->token);
}

/// Whether asking is pointless: evdns would only find out after all of its time-outs. Sends nothing.
static cev_resolve_result hopelessness(struct evdns_base *base) {
  int count = evdns_base_count_nameservers(base);
  if (count == 0) return CEV_RESOLVE_NO_NAMESERVER;
  for (int index = 0; index < count; index++) {
    struct sockaddr_storage server;
    int length = evdns_base_get_nameserver_addr(base, index, (struct sockaddr *)&server, sizeof server);
    if (length <= 0) continue;
    int descriptor = socket(server.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    // Out of descriptors: evdns has its own already.
    if (descriptor < 0) return CEV_RESOLVE_OK;
    bool has_route = connect(descriptor, (struct sockaddr *)&server, (socklen_t)length) == 0;
    close(descriptor);
    if (has_route) return CEV_RESOLVE_OK;
  }
  return CEV_RESOLVE_UNREACHABLE;
}

cev_resolution *cev_resolve(
    cev_resolver *resolver, uint64_t token, const char *name, int family) {
  cev_resolution *resolution = calloc(1, sizeof *resolution);
  if (!resolution) return NULL;
  resolution->resolver = resolver;
  resolver->outstanding++;
  resolution->token = token;
  resolution->hopeless = hopelessness(resolver->base);
  struct evutil_addrinfo hints = {0};
  hints.ai_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_protocol = IPPROTO_TCP;
  struct evdns_getaddrinfo_request *request =
      evdns_getaddrinfo(resolver->base, name, NULL, &hints, on_answer, resolution);
  // Without a handle the callback ran already, from the hosts file or with an error.
  if (!resolution->answered) {
    resolution->request = request;
    // Without a server evdns would queue it until one is added.
    if (resolution->hopeless && request) evdns_getaddrinfo_cancel(request);
  }
  return resolution;
}

void cev_resolution_free(cev_resolution *resolution) {
  if (resolution->answered) {
    free(resolution);
    return;
  }
  resolution->abandoned = true;
  if (!resolution->hopeless && resolution->request) {
    evdns_getaddrinfo_cancel(resolution->request);
  }
}

cev_resolve_result cev_resolution_result(const cev_resolution *resolution) { return resolution->result; }

size_t cev_resolution_count(const cev_resolution *resolution) { return resolution->count; }

cev_address cev_resolution_address(const cev_resolution *resolution, size_t index) {
  return index < resolution->count ? resolution->addresses[index] : (cev_address){0};
}
