// One peer: its handshake, the messages it reads, the blocks it sends and asks for.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "content.h"
#include "requests.h"
#include "swarm.h"
#include "wishes.h"

enum {
  HANDSHAKE_BYTES = 68,
  PIECE_HEAD_BYTES = 13,
  RECEIVE_BYTES = 256 << 10,
  MAX_BATCH = 64,
  MAX_QUEUE = 4096,
  MAX_REQUEST_BYTES = 128 << 10,
};

enum message {
  CHOKE, UNCHOKE, INTERESTED, NOT_INTERESTED, HAVE, BITFIELD, REQUEST, PIECE, CANCEL, PORT,
  SUGGEST = 13, HAVE_ALL, HAVE_NONE, REJECT, ALLOWED_FAST, EXTENDED = 20,
};

static const char protocol[] = "\x13" "BitTorrent protocol";

static uint32_t load32(const uint8_t *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store32(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 24), at[1] = (uint8_t)(value >> 16), at[2] = (uint8_t)(value >> 8), at[3] = (uint8_t)value;
}

// Sending

static uint8_t *control(struct peer *peer, uint32_t length, uint8_t message) {
  uint32_t bytes = 4 + length;
  if (peer->control_count + bytes > peer->control_room) {
    peer->control_room = (peer->control_count + bytes) * 2;
    peer->control = realloc(peer->control, peer->control_room);
    if (!peer->control) abort();
  }
  uint8_t *at = peer->control + peer->control_count;
  peer->control_count += bytes;
  store32(at, length);
  at[4] = message;
  swarm_mark_busy(peer);
  return at + 5;
}

static void control_request(struct peer *peer, enum message message, struct request request) {
  uint8_t *at = control(peer, 13, (uint8_t)message);
  store32(at, request.piece), store32(at + 4, request.begin), store32(at + 8, request.length);
}

static void send_handshake(struct peer *peer) {
  if (peer->control_room < 256) {
    peer->control_room = 256;
    peer->control = realloc(peer->control, peer->control_room);
    if (!peer->control) abort();
  }
  uint8_t *at = peer->control + peer->control_count;
  memcpy(at, protocol, 20);
  memset(at + 20, 0, 8);
  // Reserved bits: BEP 10 in byte 5, BEP 6 in byte 7.
  if (!peer->initiated ? peer->extended : true) at[25] |= 0x10;
  if (swarm.options->fast && (!peer->initiated ? peer->fast : true)) at[27] |= 0x04;
  memcpy(at + 28, swarm.torrent->info_hash, 20);
  char id[21];
  snprintf(id, sizeof id, "-PL0001-%012u", peer->index);
  memcpy(at + 48, id, 20);
  peer->control_count += HANDSHAKE_BYTES;
  swarm_mark_busy(peer);
}

void peer_introduce(struct peer *peer) {
  if (peer->introduced) return;
  peer->introduced = true;
  peer->due = 0;
  uint32_t pieces = swarm.torrent->pieces;
  if (peer->fast && peer->holds == HOLDS_ALL) {
    control(peer, 1, HAVE_ALL);
  } else if (peer->fast && peer->holds == HOLDS_NONE) {
    control(peer, 1, HAVE_NONE);
  } else if (peer->holds != HOLDS_NONE) {
    uint32_t bytes = (pieces + 7) / 8;
    uint8_t *bits = control(peer, 1 + bytes, BITFIELD);
    memset(bits, 0, bytes);
    for (uint32_t i = 0; i < pieces; i++) {
      if (holds_piece(peer, i)) bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
    }
  }
  if (peer->extended) {
    char text[96];
    int bytes = snprintf(text, sizeof text, "d1:mde4:reqqi%ue1:v9:perf-loade", swarm.options->reqq);
    uint8_t *at = control(peer, 2 + (uint32_t)bytes, EXTENDED);
    at[0] = 0;
    memcpy(at + 1, text, (size_t)bytes);
  }
  peer_ask(peer);
}

void peer_ask(struct peer *peer) {
  if (!peer->wishes || !peer->introduced || !swarm.going || !peer->has) return;
  if (!peer->interested_sent) {
    peer->interested_sent = true;
    control(peer, 1, INTERESTED);
  }
  struct request wish;
  while (!peer->choked && peer->pending.count < swarm.options->depth && take_wish(peer, &wish)) {
    ring_push(&peer->pending, wish);
    control_request(peer, REQUEST, wish);
  }
}

/// Lays out the unsent rest of one piece message as at most `room` vectors; returns how many it took.
static int lay_out(struct request request, uint32_t skip, uint8_t head[PIECE_HEAD_BYTES + STAMP_BYTES],
                   struct iovec *out, int room) {
  uint64_t offset = (uint64_t)request.piece * swarm.torrent->piece_length + request.begin;
  int used = 0;
  store32(head, 9 + request.length);
  head[4] = PIECE;
  store32(head + 5, request.piece), store32(head + 9, request.begin);
  uint32_t head_bytes = PIECE_HEAD_BYTES, body_at = 0;
  if (offset % BLOCK_BYTES == 0 && request.length >= STAMP_BYTES) {
    // The usual case: the head and the stamp in one vector, the pattern in the other.
    content_stamp(offset / BLOCK_BYTES, head + PIECE_HEAD_BYTES);
    head_bytes += STAMP_BYTES, body_at = STAMP_BYTES;
  }
  if (skip < head_bytes) {
    out[used++] = (struct iovec){head + skip, head_bytes - skip};
    skip = 0;
  } else {
    skip -= head_bytes;
  }
  // Where a block of the torrent begins inside the request its stamp has to come from somewhere that stays; few
  // torrents have such pieces (lengths that are no multiple of 16 KiB), so a small ring of them will do.
  static uint8_t stamps[1024][STAMP_BYTES];
  static uint32_t next_stamp;
  while (body_at < request.length && used + 2 <= room) {
    uint64_t block = (offset + body_at) / BLOCK_BYTES;
    uint32_t from = (uint32_t)((offset + body_at) % BLOCK_BYTES), take;
    const uint8_t *bytes;
    if (from < STAMP_BYTES) {
      uint8_t *stamp = stamps[next_stamp++ % 1024];
      content_stamp(block, stamp);
      bytes = stamp + from, take = STAMP_BYTES - from;
    } else {
      bytes = content_pattern(block) + from, take = BLOCK_BYTES - from;
    }
    if (take > request.length - body_at) take = request.length - body_at;
    body_at += take;
    if (skip >= take) {
      skip -= take;
      continue;
    }
    out[used++] = (struct iovec){(void *)(bytes + skip), take - skip};
    skip = 0;
  }
  return used;
}

bool peer_flush(struct peer *peer) {
  if (peer->phase < PEER_SHAKING) return false;
  static uint8_t heads[MAX_BATCH][PIECE_HEAD_BYTES + STAMP_BYTES];
  struct iovec vectors[MAX_BATCH * 4];
  int used = 0;
  uint32_t batch = swarm.options->batch < MAX_BATCH ? swarm.options->batch : MAX_BATCH;
  // Control messages may not cut a piece message in two.
  bool control_first = peer->control_count > 0 && peer->sent_of_first == 0;
  if (control_first) vectors[used++] = (struct iovec){peer->control, peer->control_count};
  for (uint32_t i = 0; i < peer->queue.count && i < batch && used + 18 <= MAX_BATCH * 4; i++) {
    used += lay_out(*ring_at(&peer->queue, i), i == 0 ? peer->sent_of_first : 0, heads[i], vectors + used, 18);
    if (i == 0 && peer->control_count > 0 && !control_first) break;
  }
  if (used == 0) return false;
  struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)used};
  ssize_t sent = sendmsg(peer->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  counters.send_calls++;
  if (sent < 0) {
    if (errno == EAGAIN || errno == EINTR) return peer->blocked = errno == EAGAIN, errno == EINTR;
    peer_close(peer, strerror(errno));
    return false;
  }
  size_t left = (size_t)sent, asked = 0;
  for (int i = 0; i < used; i++) asked += vectors[i].iov_len;
  if (control_first) {
    size_t taken = left < peer->control_count ? left : peer->control_count;
    peer->control_count -= (uint32_t)taken;
    memmove(peer->control, peer->control + taken, peer->control_count);
    left -= taken;
  }
  if (left > 0) counters.last_sent = swarm.now;
  while (left > 0) {
    struct request *first = ring_at(&peer->queue, 0);
    uint32_t rest = PIECE_HEAD_BYTES + first->length - peer->sent_of_first;
    if (left < rest) {
      peer->sent_of_first += (uint32_t)left;
      break;
    }
    left -= rest;
    counters.blocks_sent++;
    counters.bytes_sent += first->length;
    ring_remove(&peer->queue, 0);
    peer->sent_of_first = 0;
  }
  peer->blocked = (size_t)sent < asked;
  return !peer->blocked && (peer->queue.count > 0 || peer->control_count > 0);
}

// Receiving

static bool handle_handshake(struct peer *peer, const uint8_t *at) {
  if (memcmp(at, protocol, 20) != 0) return peer_close(peer, "not plain BitTorrent"), false;
  if (memcmp(at + 28, swarm.torrent->info_hash, 20) != 0) return peer_close(peer, "other info-hash"), false;
  peer->extended = at[25] & 0x10;
  peer->fast = swarm.options->fast && (at[27] & 0x04);
  peer->phase = PEER_OPEN;
  swarm.open_peers++;
  if (peer->initiated) {
    peer_introduce(peer);
  } else {
    // Some clients (aria2 1.36) drop a peer that sends anything right behind its handshake: the bitfield
    // waits for their first message, or for a moment if they send none.
    send_handshake(peer);
    peer->due = swarm.now + 0.02;
  }
  return true;
}

static bool handle_request(struct peer *peer, struct request request) {
  if (request.piece >= swarm.torrent->pieces || request.length == 0 || request.length > MAX_REQUEST_BYTES ||
      !holds_piece(peer, request.piece)) {
    return peer_close(peer, "impossible request"), false;
  }
  uint32_t length = torrent_piece_length(swarm.torrent, request.piece);
  if (request.begin >= length || request.length > length - request.begin) {
    return peer_close(peer, "request beyond its piece"), false;
  }
  if (peer->choking || peer->queue.count >= MAX_QUEUE) {
    counters.requests_refused++;
    if (peer->fast) control_request(peer, REJECT, request);
    return true;
  }
  if (counters.first_request == 0) {
    counters.first_request = swarm.now;
    printf("{\"event\": \"first_request\", \"at\": %.6f}\n", swarm.now);
    fflush(stdout);
  }
  ring_push(&peer->queue, request);
  swarm_mark_busy(peer);
  return true;
}

static void handle_cancel(struct peer *peer, struct request request) {
  counters.cancels++;
  uint32_t at = ring_find(&peer->queue, request);
  if (at == peer->queue.count || (at == 0 && peer->sent_of_first > 0)) return;
  ring_remove(&peer->queue, at);
  if (peer->fast) control_request(peer, REJECT, request);
}

static void handle_rejected(struct peer *peer, struct request request) {
  uint32_t at = ring_find(&peer->pending, request);
  if (at == peer->pending.count) return;
  give_back(peer->wishes, ring_remove(&peer->pending, at));
  counters.requests_refused++;
}

static bool begin_block(struct peer *peer, const uint8_t *at, uint32_t length) {
  struct request block = {load32(at + 5), load32(at + 9), length - 9};
  if (block.piece >= swarm.torrent->pieces) return peer_close(peer, "block of no piece"), false;
  uint32_t found = peer->wishes ? ring_find(&peer->pending, block) : 0;
  peer->body_left = block.length;
  peer->body_request = block;
  if (!peer->wishes || found == peer->pending.count) {
    counters.unasked_blocks++;
    peer->body = BODY_SKIP;
    return true;
  }
  ring_remove(&peer->pending, found);
  peer->body = BODY_BLOCK;
  peer->body_offset = (uint64_t)block.piece * swarm.torrent->piece_length + block.begin;
  peer->body_sampled = swarm.options->sample && counters.blocks_received % swarm.options->sample == 0;
  return true;
}

static void take_body(struct peer *peer, const uint8_t *at, uint32_t count) {
  if (peer->body == BODY_BLOCK) {
    // The stamp of every block, all of the sampled ones.
    bool starts = peer->body_left == peer->body_request.length;
    uint32_t checked = peer->body_sampled ? count : !starts ? 0 : count < STAMP_BYTES ? count : STAMP_BYTES;
    if (checked && !content_matches(peer->body_offset, at, checked)) counters.bad_blocks++;
    peer->body_offset += count;
  } else if (peer->body == BODY_BITFIELD) {
    for (uint32_t i = 0; i < count; i++) {
      for (uint32_t b = 0; b < 8; b++) {
        if (at[i] & (0x80 >> b)) client_has(peer, (peer->body_at + i) * 8 + b);
      }
    }
    peer->body_at += count;
  }
  peer->body_left -= count;
  if (peer->body_left > 0) return;
  if (peer->body == BODY_BLOCK) {
    struct wish_list *list = peer->wishes;
    counters.blocks_received++;
    counters.bytes_received += peer->body_request.length;
    if (counters.first_received == 0) counters.first_received = swarm.now;
    counters.last_received = swarm.now;
    list->bytes_got += peer->body_request.length;
  }
  peer->body = BODY_NONE;
}

/// Handles one message whose head is complete; returns how many bytes of it were taken, 0 when more must come, or
/// -1 when the connection is gone. A long body is left to `take_body`.
static int handle_message(struct peer *peer, const uint8_t *at, size_t count) {
  static const uint8_t whole[] = {1, 1, 1, 1, 5, 0, 13, 0, 13, 3, 0, 0, 0, 5, 1, 1, 13, 5};
  if (count < 4) return 0;
  uint32_t length = load32(at);
  if (length == 0) return 4;
  if (count < 5) return 0;
  uint8_t message = at[4];
  if (message < sizeof whole && whole[message] != 0) {
    if (length != whole[message]) return peer_close(peer, "message of wrong length"), -1;
    if (count < 4 + length) return 0;
  }
  struct wish_list *list = peer->wishes;
  switch (message) {
    case CHOKE:
      peer->choked = true;
      // Without the fast extension a choke drops what is outstanding (BEP 3); with it each is rejected or sent.
      if (!list) break;
      if (!peer->fast) give_all_back(peer);
      else give_rest_back(peer);
      break;
    case UNCHOKE: peer->choked = false; break;
    case INTERESTED:
      if (peer->holds != HOLDS_NONE && !swarm.options->idle && peer->choking) {
        peer->choking = false;
        peer_introduce(peer);
        control(peer, 1, UNCHOKE);
      }
      break;
    case HAVE: client_has(peer, load32(at + 5)); break;
    case HAVE_ALL:
      if (list) {
        uint32_t from = list->count;
        for (uint32_t i = 0; i < swarm.torrent->pieces; i++) client_has(peer, i);
        wishes_shuffle(list, from);
      }
      break;
    case REQUEST:
      if (!handle_request(peer, (struct request){load32(at + 5), load32(at + 9), load32(at + 13)})) return -1;
      break;
    case CANCEL: handle_cancel(peer, (struct request){load32(at + 5), load32(at + 9), load32(at + 13)}); break;
    case REJECT:
      if (list) handle_rejected(peer, (struct request){load32(at + 5), load32(at + 9), load32(at + 13)});
      break;
    case PIECE:
      if (count < PIECE_HEAD_BYTES) return 0;
      if (length < 10) return peer_close(peer, "empty block"), -1;
      return begin_block(peer, at, length) ? PIECE_HEAD_BYTES : -1;
    case BITFIELD:
      if (length != 1 + (swarm.torrent->pieces + 7) / 8) return peer_close(peer, "bitfield of wrong length"), -1;
      peer->body = list ? BODY_BITFIELD : BODY_SKIP;
      peer->body_left = length - 1, peer->body_at = 0;
      return 5;
    case NOT_INTERESTED: case PORT: case SUGGEST: case HAVE_NONE: case ALLOWED_FAST: break;
    default: // the extension protocol and whatever else: not ours to read
      if (length > 1) peer->body = BODY_SKIP, peer->body_left = length - 1;
      return 5;
  }
  return (int)(4 + length);
}

void peer_readable(struct peer *peer) {
  static uint8_t buffer[sizeof peer->head + RECEIVE_BYTES];
  uint32_t known = peer->wishes ? peer->wishes->count : 0;
  for (;;) {
    memcpy(buffer, peer->head, peer->head_count);
    ssize_t got = recv(peer->fd, buffer + peer->head_count, RECEIVE_BYTES, MSG_DONTWAIT);
    counters.receive_calls++;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) {
      peer_close(peer, got == 0 ? "closed by the client" : strerror(errno));
      return;
    }
    const uint8_t *at = buffer, *end = buffer + peer->head_count + got;
    while (at < end) {
      if (peer->body != BODY_NONE) {
        uint32_t take = (size_t)(end - at) < peer->body_left ? (uint32_t)(end - at) : peer->body_left;
        take_body(peer, at, take);
        at += take;
        continue;
      }
      int taken;
      if (peer->phase == PEER_SHAKING) {
        taken = end - at < HANDSHAKE_BYTES ? 0 : handle_handshake(peer, at) ? HANDSHAKE_BYTES : -1;
      } else {
        if (!peer->introduced) peer_introduce(peer);
        taken = handle_message(peer, at, (size_t)(end - at));
      }
      if (taken < 0) return;
      if (taken == 0) break;
      at += taken;
    }
    peer->head_count = (uint32_t)(end - at);
    memcpy(peer->head, at, peer->head_count);
    if (got < RECEIVE_BYTES) break;
  }
  if (peer->wishes && peer->wishes->count > known + 1) wishes_shuffle(peer->wishes, known);
  peer_ask(peer);
}

// Life

void peer_start(struct peer *peer, int fd, bool initiated) {
  struct peer kept = *peer;
  uint8_t *has = kept.has;
  if (has) memset(has, 0, swarm.torrent->pieces / 8 + 1);
  *peer = (struct peer){
      .fd = fd, .index = kept.index, .holds = kept.holds, .wishes = kept.wishes, .initiated = initiated,
      .phase = initiated ? PEER_CONNECTING : PEER_SHAKING, .choking = true, .choked = true,
      .control = kept.control, .control_room = kept.control_room, .queue = kept.queue, .pending = kept.pending,
      .has = has, .busy = kept.busy};
  peer->queue.count = peer->pending.count = 0;
}

void peer_connected(struct peer *peer) {
  peer->phase = PEER_SHAKING;
  send_handshake(peer);
}

void peer_close(struct peer *peer, const char *why) {
  if (peer->phase == PEER_ABSENT) return;
  if (getenv("PERF_LOAD_DEBUG")) fprintf(stderr, "perf-load: peer %u: %s\n", peer->index, why);
  if (peer->phase == PEER_OPEN) {
    swarm.open_peers--;
    counters.disconnects++;
  }
  give_all_back(peer);
  close(peer->fd);
  peer->phase = PEER_ABSENT;
  peer->fd = -1;
  swarm_forget(peer);
}
