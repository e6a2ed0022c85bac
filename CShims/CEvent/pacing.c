#include "internal.h"

#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum {
  NAME_LENGTH = 16,
  /// Longer segments than networks have: 65,483 bytes on the loopback interface, half of that until the window grew, where
  /// the longest Ethernet frames hold about 9,000.
  LOCAL_SEGMENT = 16 * 1024,
};

static const char UNPACED[] = "reno";
/// The system's own algorithm when it is one that paces, otherwise empty.
static char paced[NAME_LENGTH];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_paced(void) {
  int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  char name[NAME_LENGTH] = {0};
  socklen_t length = sizeof name - 1;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, name, &length) == 0 && strncmp(name, "bbr", 3) == 0)
    memcpy(paced, name, sizeof paced);
  close(descriptor);
}

void cev_socket_begin_unpaced(int descriptor) {
  pthread_once(&once, find_paced);
  if (paced[0]) setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, UNPACED, sizeof UNPACED - 1);
}

void cev_socket_pace(int descriptor) {
  if (!paced[0]) return;
  int segment = 0;
  socklen_t length = sizeof segment;
  if (getsockopt(descriptor, IPPROTO_TCP, TCP_MAXSEG, &segment, &length) == 0 && segment >= LOCAL_SEGMENT) return;
  setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, paced, (socklen_t)strlen(paced));
}
