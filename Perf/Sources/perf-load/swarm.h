// N peers of one torrent, driven by one epoll loop on one thread.
//
// Peers speak BEP 3, and where the other side's reserved bits ask for it the fast extension (BEP 6) and a minimal
// extension handshake (BEP 10). They may hold all, half or none of the torrent, may want what they lack, and may
// listen or connect out. They never hold data: see content.h.
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "torrent.h"

enum holding {
  HOLDS_ALL,
  HOLDS_NONE,
  HOLDS_EVEN, // pieces 0, 2, 4, …
  HOLDS_ODD,
};

struct request {
  uint32_t piece, begin, length;
};

/// A growing ring of requests.
struct requests {
  struct request *ring;
  uint32_t first, count, room; // room is a power of two or 0
};

/// What the peers of a group want in common: each piece is fetched once (times `repeat`), by whoever asks first.
struct wish_list {
  uint32_t *pieces; // announced by the other side, in the order to fetch them
  uint32_t count, next;
  uint8_t *announced; // bit set: already in `pieces`
  struct request *returned; // blocks taken but not delivered: choked, rejected, or the connection was lost
  uint32_t returned_count, returned_room;
  uint64_t bytes_wanted, bytes_got;
  uint32_t repeats_left;
};

enum phase { PEER_ABSENT, PEER_CONNECTING, PEER_SHAKING, PEER_OPEN };

struct peer {
  int fd;
  uint32_t index;
  enum phase phase;
  enum holding holds;
  struct wish_list *wishes; // NULL: wants nothing
  bool initiated, fast, extended, introduced; // introduced: its bitfield was sent
  bool choking;                               // this peer chokes the client
  bool choked, interested_sent;               // the client chokes this peer
  bool blocked;                               // the socket buffer is full
  bool busy;                                  // on the list of peers with something to send
  double due;                                 // when to connect again, or to introduce itself unasked

  // Receiving: the head of a message split between two reads, then a body that is consumed as it comes.
  uint8_t head[80];
  uint32_t head_count;
  enum { BODY_NONE, BODY_SKIP, BODY_BLOCK, BODY_BITFIELD } body;
  uint32_t body_left, body_at;
  uint64_t body_offset; // BODY_BLOCK: where in the torrent the next byte belongs
  bool body_sampled;
  struct request body_request;

  // Sending: control messages first, then blocks in the order of their requests.
  uint8_t *control;
  uint32_t control_count, control_room;
  struct requests queue;   // blocks to send
  uint32_t sent_of_first;  // bytes of the first queued piece message that are on their way
  struct requests pending; // blocks asked for
  uint32_t piece, piece_next, piece_left; // the piece being asked for: next begin, bytes left to ask for
  uint8_t *has;            // what the client announced to this peer (wishes only)
};

struct counters {
  uint64_t bytes_sent, bytes_received, blocks_sent, blocks_received, bad_blocks, unasked_blocks;
  uint64_t requests_refused, cancels, accepted, disconnects, send_calls, receive_calls, announces;
  double first_request, last_sent, first_received, last_received;
};

struct swarm_options {
  uint32_t peers;
  bool both;          // half the peers hold even pieces, half odd ones, and each wants the other half
  bool leech;         // peers hold nothing and want everything
  bool idle;          // peers hold half and want nothing
  uint16_t listen;    // 0: do not listen
  uint16_t tracker;   // 0: no tracker
  struct sockaddr_in target;
  bool connects;
  uint32_t depth;     // requests a leeching peer keeps outstanding
  uint32_t batch;     // blocks per send call
  uint32_t reqq;
  bool random_order, fast, waits;
  uint32_t repeat, sample;
  uint32_t limit_seconds;
};

extern struct counters counters;

/// Runs until everything wanted has arrived, or stdin closes, or a SIGTERM or SIGINT comes. Prints events to stdout, one JSON object
/// a line. Returns an exit code.
int swarm_run(const struct swarm_options *options, struct torrent *torrent);

// Between swarm.c (the loop) and peer.c (the protocol).
struct swarm {
  const struct swarm_options *options;
  struct torrent *torrent;
  struct peer *peers;
  uint32_t open_peers;
  struct wish_list wishes[2];
  bool going; // leechers may ask
  double now;
};
extern struct swarm swarm;

void peer_start(struct peer *peer, int fd, bool initiated);
void peer_connected(struct peer *peer);
void peer_readable(struct peer *peer);
/// Sends what is queued. True while there is more to send and the socket takes it.
bool peer_flush(struct peer *peer);
void peer_close(struct peer *peer, const char *why);
void peer_introduce(struct peer *peer);
/// Tells interest and asks for blocks, as far as the state allows.
void peer_ask(struct peer *peer);

void swarm_mark_busy(struct peer *peer);
void swarm_forget(struct peer *peer);

// tracker.c: answers every announce with the addresses of all peers.
bool tracker_listen(int epoll, uint16_t port);
bool tracker_owns(uint64_t tag);
void tracker_event(uint64_t tag, int epoll);

/// The address of peer `index` on the loopback interface: 10.77.(1 + index / 250).(1 + index % 250).
struct in_addr peer_address(uint32_t index);
