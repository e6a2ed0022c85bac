// What is held and wanted.
#include "wishes.h"

#include <stdlib.h>

#include "content.h"
#include "requests.h"

bool holds_piece(const struct peer *peer, uint32_t piece) {
  switch (peer->holds) {
    case HOLDS_ALL: return true;
    case HOLDS_NONE: return false;
    case HOLDS_EVEN: return piece % 2 == 0;
    case HOLDS_ODD: return piece % 2 == 1;
  }
  return false;
}

static bool bit(const uint8_t *bits, uint32_t at) {
  return bits[at / 8] & (0x80 >> at % 8);
}

void wishes_shuffle(struct wish_list *list, uint32_t from) {
  static uint64_t state = 0x5eed;
  if (!swarm.options->random_order) return;
  for (uint32_t left = list->count - from; left > 1; left--) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    uint32_t pick = from + (uint32_t)((state >> 33) % left), last = from + left - 1;
    uint32_t held = list->pieces[pick];
    list->pieces[pick] = list->pieces[last];
    list->pieces[last] = held;
  }
}

void client_has(struct peer *peer, uint32_t piece) {
  struct wish_list *list = peer->wishes;
  if (!list || piece >= swarm.torrent->pieces) return;
  if (!peer->has) peer->has = calloc(1, swarm.torrent->pieces / 8 + 1);
  if (!peer->has) abort();
  peer->has[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
  if (holds_piece(peer, piece) || bit(list->announced, piece)) return;
  list->announced[piece / 8] |= (uint8_t)(0x80 >> piece % 8);
  list->pieces[list->count++] = piece;
}

void give_back(struct wish_list *list, struct request request) {
  if (list->returned_count == list->returned_room) {
    list->returned_room = list->returned_room ? list->returned_room * 2 : 256;
    list->returned = realloc(list->returned, list->returned_room * sizeof *list->returned);
    if (!list->returned) abort();
  }
  list->returned[list->returned_count++] = request;
}

void give_rest_back(struct peer *peer) {
  while (peer->piece_left > 0) {
    uint32_t take = peer->piece_left < BLOCK_BYTES ? peer->piece_left : BLOCK_BYTES;
    give_back(peer->wishes, (struct request){peer->piece, peer->piece_next, take});
    peer->piece_next += take, peer->piece_left -= take;
  }
}

void give_all_back(struct peer *peer) {
  if (!peer->wishes) return;
  if (peer->body == BODY_BLOCK) give_back(peer->wishes, peer->body_request);
  while (peer->pending.count > 0) give_back(peer->wishes, ring_remove(&peer->pending, 0));
  give_rest_back(peer);
}

/// The next piece for this peer, from the front of the list.
static bool take_piece(struct peer *peer) {
  struct wish_list *list = peer->wishes;
  if (list->next == list->count && list->repeats_left > 0 && list->count == swarm.torrent->pieces) {
    list->repeats_left--;
    list->next = 0;
    wishes_shuffle(list, 0);
  }
  // Announcements reach the peers one after the other: look a little ahead for one this peer has seen.
  uint32_t at = list->next;
  while (at < list->count && at < list->next + 16 && !bit(peer->has, list->pieces[at])) at++;
  if (at >= list->count || !bit(peer->has, list->pieces[at])) return false;
  peer->piece = list->pieces[at];
  list->pieces[at] = list->pieces[list->next];
  list->pieces[list->next++] = peer->piece;
  peer->piece_next = 0;
  peer->piece_left = torrent_piece_length(swarm.torrent, peer->piece);
  return true;
}

bool take_wish(struct peer *peer, struct request *wish) {
  struct wish_list *list = peer->wishes;
  if (peer->piece_left == 0 && list->returned_count > 0) {
    *wish = list->returned[list->returned_count - 1];
    if (bit(peer->has, wish->piece)) return list->returned_count--, true;
  }
  if (peer->piece_left == 0 && !take_piece(peer)) return false;
  uint32_t take = peer->piece_left < BLOCK_BYTES ? peer->piece_left : BLOCK_BYTES;
  *wish = (struct request){peer->piece, peer->piece_next, take};
  peer->piece_next += take, peer->piece_left -= take;
  return true;
}
