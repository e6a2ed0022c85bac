#include "internal.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static uint64_t read_big_endian(const uint8_t *bytes) {
  uint64_t value = 0;
  for (int index = 0; index < 8; index++) value = value << 8 | bytes[index];
  return value;
}

static void write_big_endian(uint8_t *bytes, uint64_t value) {
  for (int index = 7; index >= 0; index--, value >>= 8) bytes[index] = (uint8_t)value;
}

socklen_t cev_to_sockaddr(const cev_address *address, struct sockaddr_in6 *storage) {
  memset(storage, 0, sizeof *storage);
  if (address->family == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)storage;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    v4->sin_addr.s_addr = htonl((uint32_t)address->low);
    return sizeof *v4;
  }
  if (address->family == 6) {
    storage->sin6_family = AF_INET6;
    storage->sin6_port = htons(address->port);
    storage->sin6_scope_id = address->scope;
    write_big_endian(storage->sin6_addr.s6_addr, address->high);
    write_big_endian(storage->sin6_addr.s6_addr + 8, address->low);
    return sizeof *storage;
  }
  return 0;
}

bool cev_from_sockaddr(const struct sockaddr *storage, cev_address *address) {
  *address = (cev_address){0};
  if (storage->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)storage;
    address->family = 4;
    address->port = ntohs(v4->sin_port);
    address->low = ntohl(v4->sin_addr.s_addr);
    return true;
  }
  if (storage->sa_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)storage;
    address->family = 6;
    address->port = ntohs(v6->sin6_port);
    address->scope = v6->sin6_scope_id;
    address->high = read_big_endian(v6->sin6_addr.s6_addr);
    address->low = read_big_endian(v6->sin6_addr.s6_addr + 8);
    return true;
  }
  return false;
}

static bool set_flag(int descriptor, int level, int option) {
  int on = 1;
  return setsockopt(descriptor, level, option, &on, sizeof on) == 0;
}

int cev_socket_open(int family, int type, const cev_binding *binding, unsigned flags, int *error) {
  if (binding->address.family) family = binding->address.family;
  int descriptor =
      socket(family == 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    *error = errno;
    return -1;
  }
  bool good = true;
  // The two families listen apart, so that an IPv4 peer never shows up as ::ffff:a.b.c.d.
  if (family == 6) good = set_flag(descriptor, IPPROTO_IPV6, IPV6_V6ONLY);
  if (good && flags & CEV_SOCKET_REUSE_ADDRESS) good = set_flag(descriptor, SOL_SOCKET, SO_REUSEADDR);
  if (good && flags & CEV_SOCKET_REUSE_PORT) good = set_flag(descriptor, SOL_SOCKET, SO_REUSEPORT);
  if (good && binding->device) {
    good = setsockopt(
               descriptor, SOL_SOCKET, SO_BINDTODEVICE, binding->device,
               (socklen_t)strlen(binding->device) + 1) == 0;
  }
  if (good && binding->address.family) {
    struct sockaddr_in6 storage;
    socklen_t length = cev_to_sockaddr(&binding->address, &storage);
    // Without this, bind would reserve a port although any port does until connect knows the peer.
    if (flags & CEV_SOCKET_LATE_PORT) (void)set_flag(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    good = bind(descriptor, (struct sockaddr *)&storage, length) == 0;
  }
  if (!good) {
    *error = errno;
    close(descriptor);
    return -1;
  }
  return descriptor;
}

int cev_socket_set_receive_low_watermark(int descriptor, int bytes) {
  return setsockopt(descriptor, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0 ? 0 : errno;
}

int cev_socket_set_buffers(int descriptor, int receive_buffer, int send_buffer) {
  if (receive_buffer > 0 &&
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer) < 0) {
    return errno;
  }
  if (send_buffer > 0 &&
      setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer) < 0) {
    return errno;
  }
  return 0;
}

int cev_socket_local_address(int descriptor, cev_address *address) {
  struct sockaddr_in6 storage = {0};
  socklen_t length = sizeof storage;
  if (getsockname(descriptor, (struct sockaddr *)&storage, &length) < 0) return errno;
  return cev_from_sockaddr((struct sockaddr *)&storage, address) ? 0 : EAFNOSUPPORT;
}

int cev_socket_peer_address(int descriptor, cev_address *address) {
  struct sockaddr_in6 storage = {0};
  socklen_t length = sizeof storage;
  if (getpeername(descriptor, (struct sockaddr *)&storage, &length) < 0) return errno;
  return cev_from_sockaddr((struct sockaddr *)&storage, address) ? 0 : EAFNOSUPPORT;
}

void cev_socket_close(int descriptor) { close(descriptor); }

void cev_socket_reset(int descriptor) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
  close(descriptor);
}

int cev_interface_probe(const char *name) {
  if (strlen(name) >= IFNAMSIZ || if_nametoindex(name) == 0) return ENODEV;
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return errno;
  int result = 0;
  if (setsockopt(descriptor, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) < 0) {
    result = errno;
  }
  close(descriptor);
  return result;
}

/// How well an address serves for binding: global before link-local.
static int rank(const struct sockaddr *storage) {
  if (storage->sa_family == AF_INET) return 2;
  return IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)storage)->sin6_addr) ? 1 : 2;
}

int cev_interface_address(const char *name, int family, cev_address *address) {
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) < 0) return errno;
  int wanted = family == 4 ? AF_INET : AF_INET6;
  int best = 0;
  for (struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != wanted || strcmp(entry->ifa_name, name)) continue;
    if (rank(entry->ifa_addr) <= best) continue;
    best = rank(entry->ifa_addr);
    cev_from_sockaddr(entry->ifa_addr, address);
  }
  freeifaddrs(list);
  return best ? 0 : EADDRNOTAVAIL;
}

uint32_t cev_interface_index(const char *name) { return if_nametoindex(name); }

int cev_interface_list(cev_interface *entries, int capacity) {
  struct ifaddrs *list = NULL;
  if (getifaddrs(&list) < 0) return -errno;
  int count = 0;
  for (struct ifaddrs *entry = list; entry; entry = entry->ifa_next) {
    if (count < capacity) {
      cev_interface *interface = &entries[count];
      memset(interface, 0, sizeof *interface);
      strncpy(interface->name, entry->ifa_name, sizeof interface->name - 1);
      interface->index = if_nametoindex(entry->ifa_name);
      interface->is_up = (entry->ifa_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
      interface->is_loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0;
      interface->has_multicast = (entry->ifa_flags & IFF_MULTICAST) != 0;
      // Entries of other families tell that the interface is there.
      if (entry->ifa_addr) (void)cev_from_sockaddr(entry->ifa_addr, &interface->address);
    }
    count++;
  }
  freeifaddrs(list);
  return count;
}
