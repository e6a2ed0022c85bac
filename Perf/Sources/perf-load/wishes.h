// Between peer.c, which asks for blocks, and wishes.c, which knows of which.
#pragma once
#include "swarm.h"

/// Whether the peer has the piece.
bool holds_piece(const struct peer *peer, uint32_t piece);
void wishes_shuffle(struct wish_list *list, uint32_t from);
/// The client announced a piece to the peer.
void client_has(struct peer *peer, uint32_t piece);
/// A block was taken but will not come.
void give_back(struct wish_list *list, struct request request);
/// Returns what of the current piece was not asked for yet.
void give_rest_back(struct peer *peer);
/// Returns all that was asked for and has not come, and the rest of the piece.
void give_all_back(struct peer *peer);
/// The next block to ask for. False when there is none for this peer.
bool take_wish(struct peer *peer, struct request *wish);
