// The torrents the harness uses: made, written as bencode, and read back.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file {
  char *path; // relative to the download folder, the torrent's name included
  uint64_t length;
};

struct torrent {
  char name[128];
  uint8_t info_hash[20];
  uint64_t total;
  uint32_t piece_length;
  uint32_t pieces;
  struct file *files;
  uint32_t file_count;
};

/// What to make. With `files` > 1 the torrent is a folder of equally long files.
struct torrent_plan {
  const char *name;
  uint64_t total;
  uint32_t piece_length;
  uint32_t files;
  const char *announce; // may be NULL
};

/// Hashes the pieces on all cores and writes the .torrent, by a temporary name and rename. False: errno says why.
bool torrent_make(const struct torrent_plan *plan, const char *path);

/// Reads a .torrent made by `torrent_make` (v1, any layout). False with a reason on stderr.
bool torrent_load(struct torrent *torrent, const char *path);

/// Frees what `torrent_load` took.
void torrent_free(struct torrent *torrent);

/// Length of piece `piece`, which must be below `pieces`.
uint32_t torrent_piece_length(const struct torrent *torrent, uint32_t piece);

/// Writes the torrent's files with their right content below `folder`. False: errno says why.
bool torrent_write_data(const struct torrent *torrent, const char *folder);

/// Compares the files below `folder` with the right content; returns the number of bytes (rounded up to the read
/// unit) that are missing or wrong, and prints the first few to stderr.
uint64_t torrent_check_data(const struct torrent *torrent, const char *folder);
