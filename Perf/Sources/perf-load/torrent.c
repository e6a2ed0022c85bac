#include "torrent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "content.h"

enum { IO_BYTES = 1 << 20, MAX_THREADS = 16 };

static const uint64_t max_torrent_bytes = 256u << 20;

// Making

struct hashing {
  const struct torrent_plan *plan;
  uint32_t pieces, first, step;
  uint8_t *digests;
};

static void *hash_pieces(void *argument) {
  struct hashing *job = argument;
  uint8_t *buffer = malloc(IO_BYTES);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  if (!buffer || !context) abort();
  for (uint32_t piece = job->first; piece < job->pieces; piece += job->step) {
    uint64_t at = (uint64_t)piece * job->plan->piece_length;
    uint64_t end = at + job->plan->piece_length < job->plan->total ? at + job->plan->piece_length : job->plan->total;
    EVP_DigestInit_ex(context, EVP_sha1(), NULL);
    while (at < end) {
      size_t count = end - at < IO_BYTES ? end - at : IO_BYTES;
      content_read(at, buffer, count);
      EVP_DigestUpdate(context, buffer, count);
      at += count;
    }
    EVP_DigestFinal_ex(context, job->digests + (size_t)piece * 20, NULL);
  }
  EVP_MD_CTX_free(context);
  free(buffer);
  return NULL;
}

static void hash_all(const struct torrent_plan *plan, uint32_t pieces, uint8_t *digests) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  uint32_t threads = cores < 1 || pieces < 64 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (uint32_t)cores;
  pthread_t ids[MAX_THREADS];
  struct hashing jobs[MAX_THREADS];
  for (uint32_t i = 0; i < threads; i++) {
    jobs[i] = (struct hashing){.plan = plan, .pieces = pieces, .first = i, .step = threads, .digests = digests};
    if (i + 1 == threads || pthread_create(&ids[i], NULL, hash_pieces, &jobs[i]) != 0) {
      // The last share, or one that got no thread, is done here.
      ids[i] = 0;
      hash_pieces(&jobs[i]);
    }
  }
  for (uint32_t i = 0; i < threads; i++) {
    if (ids[i]) pthread_join(ids[i], NULL);
  }
}

static uint64_t file_length(const struct torrent_plan *plan, uint32_t file) {
  uint64_t each = plan->total / plan->files;
  return file + 1 == plan->files ? plan->total - each * (plan->files - 1) : each;
}

bool torrent_make(const struct torrent_plan *plan, const char *path) {
  if (plan->piece_length == 0 || plan->total == 0 || plan->files == 0) return errno = EINVAL, false;
  uint64_t count = (plan->total + plan->piece_length - 1) / plan->piece_length;
  if (count > 1u << 22) return errno = EFBIG, false;
  uint8_t *digests = malloc(count * 20);
  if (!digests) return false;
  hash_all(plan, (uint32_t)count, digests);

  char temporary[4096];
  snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
  FILE *out = fopen(temporary, "w");
  if (!out) return free(digests), false;
  fputc('d', out);
  if (plan->announce) fprintf(out, "8:announce%zu:%s", strlen(plan->announce), plan->announce);
  fputs("4:infod", out);
  if (plan->files > 1) {
    fputs("5:filesl", out);
    for (uint32_t i = 0; i < plan->files; i++) {
      // Folders of a thousand files each: no client is slowed by one giant directory.
      fprintf(out, "d6:lengthi%" PRIu64 "e4:pathl4:d%03u9:f%08uee", file_length(plan, i), i / 1000, i);
    }
    fputc('e', out);
  } else {
    fprintf(out, "6:lengthi%" PRIu64 "e", plan->total);
  }
  fprintf(out, "4:name%zu:%s12:piece lengthi%ue6:pieces%" PRIu64 ":", strlen(plan->name), plan->name,
          plan->piece_length, count * 20);
  fwrite(digests, 20, count, out);
  fputs("ee", out);
  free(digests);
  bool written = !ferror(out);
  if (fclose(out) != 0 || !written || rename(temporary, path) != 0) {
    int reason = errno;
    unlink(temporary);
    return errno = reason, false;
  }
  return true;
}

// Reading back: a cursor over bencode, bounded by the text's end everywhere.

struct cursor {
  const char *at, *end;
};

static bool read_string(struct cursor *in, const char **bytes, size_t *count) {
  size_t length = 0;
  if (in->at >= in->end || *in->at < '0' || *in->at > '9') return false;
  while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
    if (length > max_torrent_bytes) return false;
    length = length * 10 + (size_t)(*in->at++ - '0');
  }
  if (in->at >= in->end || *in->at++ != ':' || (size_t)(in->end - in->at) < length) return false;
  *bytes = in->at, *count = length;
  in->at += length;
  return true;
}

static bool read_integer(struct cursor *in, uint64_t *value) {
  if (in->at >= in->end || *in->at++ != 'i') return false;
  *value = 0;
  while (in->at < in->end && *in->at >= '0' && *in->at <= '9') {
    if (*value > UINT64_MAX / 20) return false;
    *value = *value * 10 + (uint64_t)(*in->at++ - '0');
  }
  return in->at < in->end && *in->at++ == 'e';
}

static bool skip_value(struct cursor *in, int depth) {
  const char *bytes;
  size_t count;
  if (depth > 16 || in->at >= in->end) return false;
  if (*in->at != 'd' && *in->at != 'l' && *in->at != 'i') return read_string(in, &bytes, &count);
  if (*in->at == 'i') {
    const char *stop = memchr(in->at, 'e', (size_t)(in->end - in->at));
    if (!stop) return false;
    in->at = stop + 1;
    return true;
  }
  in->at++;
  while (in->at < in->end && *in->at != 'e') {
    if (!skip_value(in, depth + 1)) return false;
  }
  return in->at < in->end && *in->at++ == 'e';
}

static bool key_is(const char *bytes, size_t count, const char *key) {
  return count == strlen(key) && memcmp(bytes, key, count) == 0;
}

/// Enters a dictionary and calls for each key; the caller's switch must consume the value.
#define EACH_KEY(in, key, count)                                                                                   \
  for (const char *key = NULL; (in)->at < (in)->end && *(in)->at != 'e';)                                          \
    for (size_t count = 0, once = 1; once; once = 0)                                                               \
      if (!read_string((in), &key, &count)) return false;                                                          \
      else

static bool add_file(struct torrent *torrent, const char *path, uint64_t length) {
  if ((torrent->file_count & (torrent->file_count - 1)) == 0) {
    size_t room = torrent->file_count ? torrent->file_count * 2 : 1;
    struct file *grown = realloc(torrent->files, room * sizeof *grown);
    if (!grown) return false;
    torrent->files = grown;
  }
  torrent->files[torrent->file_count++] = (struct file){.path = strdup(path), .length = length};
  torrent->total += length;
  return true;
}

static bool read_file_entry(struct torrent *torrent, struct cursor *in) {
  char path[1024] = "";
  uint64_t length = 0;
  if (in->at >= in->end || *in->at++ != 'd') return false;
  EACH_KEY(in, key, count) {
    if (key_is(key, count, "length")) {
      if (!read_integer(in, &length)) return false;
    } else if (key_is(key, count, "path")) {
      if (in->at >= in->end || *in->at++ != 'l') return false;
      while (in->at < in->end && *in->at != 'e') {
        const char *part;
        size_t part_count;
        if (!read_string(in, &part, &part_count) || strlen(path) + part_count + 2 > sizeof path) return false;
        strcat(path, "/");
        strncat(path, part, part_count);
      }
      in->at++;
    } else if (!skip_value(in, 0)) {
      return false;
    }
  }
  in->at++;
  return add_file(torrent, path, length);
}

static bool read_info(struct torrent *torrent, struct cursor *in) {
  const char *bytes;
  size_t byte_count;
  uint64_t number, length = 0, pieces = 0;
  const char *from = in->at;
  if (in->at >= in->end || *in->at++ != 'd') return false;
  EACH_KEY(in, key, count) {
    if (key_is(key, count, "files")) {
      if (in->at >= in->end || *in->at++ != 'l') return false;
      while (in->at < in->end && *in->at != 'e') {
        if (!read_file_entry(torrent, in)) return false;
      }
      in->at++;
    } else if (key_is(key, count, "length")) {
      if (!read_integer(in, &length)) return false;
    } else if (key_is(key, count, "name")) {
      if (!read_string(in, &bytes, &byte_count) || byte_count >= sizeof torrent->name) return false;
      memcpy(torrent->name, bytes, byte_count);
    } else if (key_is(key, count, "piece length")) {
      if (!read_integer(in, &number) || number == 0 || number > 1u << 30) return false;
      torrent->piece_length = (uint32_t)number;
    } else if (key_is(key, count, "pieces")) {
      if (!read_string(in, &bytes, &byte_count)) return false;
      pieces = byte_count / 20;
    } else if (!skip_value(in, 0)) {
      return false;
    }
  }
  in->at++;
  EVP_Digest(from, (size_t)(in->at - from), torrent->info_hash, NULL, EVP_sha1(), NULL);
  if (torrent->file_count == 0 && !add_file(torrent, "", length)) return false;
  if (torrent->piece_length == 0 || torrent->total == 0) return false;
  torrent->pieces = (uint32_t)pieces;
  return pieces == (torrent->total + torrent->piece_length - 1) / torrent->piece_length;
}

static bool read_torrent(struct torrent *torrent, struct cursor *in) {
  bool found = false;
  if (in->at >= in->end || *in->at++ != 'd') return false;
  EACH_KEY(in, key, count) {
    if (key_is(key, count, "info")) {
      if (!read_info(torrent, in)) return false;
      found = true;
    } else if (!skip_value(in, 0)) {
      return false;
    }
  }
  return found;
}

bool torrent_load(struct torrent *torrent, const char *path) {
  memset(torrent, 0, sizeof *torrent);
  FILE *file = fopen(path, "r");
  struct stat status;
  if (!file || fstat(fileno(file), &status) != 0 || (uint64_t)status.st_size > max_torrent_bytes) {
    fprintf(stderr, "perf-load: %s: %s\n", path, file ? "too large for a torrent" : strerror(errno));
    if (file) fclose(file);
    return false;
  }
  size_t size = (size_t)status.st_size;
  char *text = malloc(size + 1);
  if (!text) abort();
  struct cursor in = {text, text + fread(text, 1, size, file)};
  fclose(file);
  bool good = read_torrent(torrent, &in);
  free(text);
  if (!good) {
    fprintf(stderr, "perf-load: %s: not a v1 torrent\n", path);
    return false;
  }
  for (uint32_t i = 0; i < torrent->file_count; i++) {
    char *full = NULL;
    if (asprintf(&full, "%s%s", torrent->name, torrent->files[i].path) < 0) abort();
    free(torrent->files[i].path);
    torrent->files[i].path = full;
  }
  return true;
}

void torrent_free(struct torrent *torrent) {
  for (uint32_t i = 0; i < torrent->file_count; i++) free(torrent->files[i].path);
  free(torrent->files);
}

uint32_t torrent_piece_length(const struct torrent *torrent, uint32_t piece) {
  uint64_t at = (uint64_t)piece * torrent->piece_length;
  uint64_t left = torrent->total - at;
  return left < torrent->piece_length ? (uint32_t)left : torrent->piece_length;
}

// Data on disk

static bool make_parents(char *path) {
  for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
    *slash = '/';
    if (!made) return false;
  }
  return true;
}

bool torrent_write_data(const struct torrent *torrent, const char *folder) {
  uint8_t *buffer = malloc(IO_BYTES);
  if (!buffer) return false;
  uint64_t offset = 0;
  for (uint32_t i = 0; i < torrent->file_count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, torrent->files[i].path);
    if (!make_parents(path)) return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    for (uint64_t left = torrent->files[i].length; left > 0;) {
      size_t count = left < IO_BYTES ? left : IO_BYTES;
      content_read(offset, buffer, count);
      if (write(fd, buffer, count) != (ssize_t)count) return close(fd), false;
      offset += count, left -= count;
    }
    if (close(fd) != 0) return false;
  }
  free(buffer);
  return true;
}

uint64_t torrent_check_data(const struct torrent *torrent, const char *folder) {
  uint8_t *buffer = malloc(IO_BYTES);
  if (!buffer) abort();
  uint64_t offset = 0, wrong = 0;
  int named = 0;
  for (uint32_t i = 0; i < torrent->file_count; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, torrent->files[i].path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t at = 0;
    while (at < torrent->files[i].length) {
      size_t count = torrent->files[i].length - at < IO_BYTES ? torrent->files[i].length - at : IO_BYTES;
      bool good = fd >= 0 && pread(fd, buffer, count, (off_t)at) == (ssize_t)count &&
                  content_matches(offset + at, buffer, count);
      if (!good) {
        wrong += count;
        if (named++ < 8) fprintf(stderr, "perf-load: wrong data in %s at %" PRIu64 "\n", path, at);
      }
      at += count;
    }
    offset += torrent->files[i].length;
    if (fd >= 0) close(fd);
  }
  free(buffer);
  return wrong;
}
