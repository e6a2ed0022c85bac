// The smallest tracker that serves: HTTP GET of anything is answered with the compact list of all peers (BEP 23).
// Clients that take no peers on their command line (aria2, transmission) find the generator through it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "swarm.h"

enum { MAX_LISTED = 400 };

static const uint64_t listener_tag = 1ull << 40, connection_tag = 1ull << 41;
static int listener = -1;

bool tracker_listen(int epoll, uint16_t port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = listener_tag};
  return listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
         listen(listener, 64) == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0;
}

bool tracker_owns(uint64_t tag) { return (tag & (listener_tag | connection_tag)) != 0; }

static void answer(int fd) {
  char request[4096];
  ssize_t got = recv(fd, request, sizeof request - 1, MSG_DONTWAIT);
  if (got <= 0) return;
  counters.announces++;
  uint32_t listed = swarm.options->peers < MAX_LISTED ? swarm.options->peers : MAX_LISTED;
  // A generator that connects out, and a client that says goodbye, get an empty list.
  request[got] = 0;
  if (swarm.options->connects || strstr(request, "event=stopped")) listed = 0;
  char body[64 + MAX_LISTED * 6], head[160];
  int body_bytes = snprintf(body, sizeof body, "d8:completei%ue10:incompletei0e8:intervali1800e5:peers%u:", listed,
                            listed * 6);
  for (uint32_t i = 0; i < listed; i++) {
    struct in_addr address = peer_address(i);
    uint16_t port = htons(swarm.options->listen);
    memcpy(body + body_bytes, &address, 4);
    memcpy(body + body_bytes + 4, &port, 2);
    body_bytes += 6;
  }
  body[body_bytes++] = 'e';
  int head_bytes = snprintf(head, sizeof head,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
                            "Connection: close\r\n\r\n", body_bytes);
  send(fd, head, (size_t)head_bytes, MSG_NOSIGNAL | MSG_MORE);
  send(fd, body, (size_t)body_bytes, MSG_NOSIGNAL);
  shutdown(fd, SHUT_WR);
}

void tracker_event(uint64_t tag, int epoll) {
  if (tag == listener_tag) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) return;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = connection_tag | (uint64_t)(uint32_t)fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    return;
  }
  int fd = (int)(uint32_t)tag;
  answer(fd);
  close(fd);
}
