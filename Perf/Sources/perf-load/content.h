// The bytes of every torrent the harness uses are a function of their position: no disk is read to serve them,
// and a receiver can tell at once whether what it got belongs where it was asked for.
//
// Position is counted in blocks of 16 KiB from the start of the torrent, whatever its piece length or file layout.
// Block b is a 16-byte stamp (b, and a mix of b) followed by a stretch of one small random pattern; the stretch
// begins on one of 16 page boundaries chosen by b. Every block of a torrent differs from every other one.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_BYTES = 16384, STAMP_BYTES = 16 };

/// Fills the pattern. Call once before anything else.
void content_start(void);

/// Writes the stamp of block `block`.
void content_stamp(uint64_t block, uint8_t out[STAMP_BYTES]);

/// The block's BLOCK_BYTES of pattern, page-aligned; the first STAMP_BYTES of them are what the stamp replaces.
const uint8_t *content_pattern(uint64_t block);

/// Copies the torrent's bytes [offset, offset + count) to `out`.
void content_read(uint64_t offset, uint8_t *out, size_t count);

/// Whether `bytes` are the torrent's bytes [offset, offset + count).
bool content_matches(uint64_t offset, const uint8_t *bytes, size_t count);
