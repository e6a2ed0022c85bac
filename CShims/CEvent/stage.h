#pragma once

#include "internal.h"

#include <sys/uio.h>

/// What a connection is given in a turn, until the end of it: copied bytes and references to blocks, laid out for one
/// writev. Output that the kernel takes at once, which is nearly all of it, never becomes a chain of an evbuffer: that
/// costs two allocations a block. Only what the socket has no room for moves on to the bufferevent.
typedef struct cev_stage cev_stage;

/// An empty stage, or null when the loop has enough of them in use; then output goes to the bufferevent.
cev_stage *cev_stage_take(cev_loop *loop);
/// Takes back an empty one.
void cev_stage_release(cev_loop *loop, cev_stage *stage);
void cev_stages_free(cev_loop *loop);

/// False when there is no room.
bool cev_stage_add_bytes(cev_stage *stage, const void *bytes, size_t count);
/// Refers to the bytes until they are sent. False when there is no room.
bool cev_stage_add_block(cev_stage *stage, const void *bytes, size_t count, uint32_t block);
size_t cev_stage_length(const cev_stage *stage);

/// Writes with one call. Blocks that went out whole come back through the loop.
/// Returns what was sent, or -1 and errno.
ssize_t cev_stage_write(cev_loop *loop, cev_stage *stage, int descriptor);

/// Moves what is left behind whatever the output holds, and empties the stage. False without memory.
bool cev_stage_spill(cev_loop *loop, cev_stage *stage, struct evbuffer *output);
/// Gives the blocks back unsent, and empties the stage.
void cev_stage_drop(cev_loop *loop, cev_stage *stage);

bool cev_output_add_bytes(struct evbuffer *output, const void *bytes, size_t count);
bool cev_output_add_block(
    cev_loop *loop, struct evbuffer *output, const void *bytes, size_t count, uint32_t block);
