// perf-load: the load generator of the harness.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content.h"
#include "dht.h"
#include "swarm.h"
#include "torrent.h"

static const char usage[] =
    "perf-load make --out FILE --size N --piece N [--files N] [--name NAME] [--announce URL]\n"
    "perf-load many --out DIR --dir DIR --items N --size N --piece N    many torrents of one file, and their data\n"
    "perf-load write --torrent FILE --dir DIR          write the torrent's data\n"
    "perf-load verify --torrent FILE --dir DIR         compare it, byte for byte\n"
    "perf-load seed|leech|both|idle --torrent FILE --peers N (--listen PORT | --connect ADDRESS:PORT)\n"
    "          [--tracker PORT] [--depth N] [--batch N] [--reqq N] [--order random|listed] [--repeat N]\n"
    "          [--sample N] [--no-fast] [--wait] [--limit SECONDS]\n"
    "perf-load dht --peers N --listen PORT --connect ADDRESS:PORT [--depth N] [--limit SECONDS]\n"
    "                                                  nodes of a DHT that ask one node; see dht.h\n"
    "\n"
    "  seed   peers that hold everything        leech  peers that fetch everything once between them\n"
    "  both   half hold even pieces, half odd ones, and each half fetches what it lacks\n"
    "  idle   peers that hold half the pieces, want nothing and stay\n"
    "\n"
    "Peers have the addresses 10.77.1.1 and up, and listen on one port. Sizes take K, M and G. Events and the final\n"
    "report go to stdout, one JSON object a line. A line on stdin releases --wait; its end stops the run.\n";

static bool parse_size(const char *text, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, 10);
  int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  if (shift) end++;
  if (errno || end == text || *end || *value > UINT64_MAX >> shift >> 1) return false;
  *value <<= shift;
  return true;
}

static bool parse_target(const char *text, struct sockaddr_in *target) {
  char host[64];
  const char *colon = strchr(text, ':');
  if (!colon || (size_t)(colon - text) >= sizeof host) return false;
  memcpy(host, text, (size_t)(colon - text));
  host[colon - text] = 0;
  *target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
  return inet_pton(AF_INET, host, &target->sin_addr) == 1;
}

enum flag {
  OUT = 256, SIZE, PIECE, FILES, NAME, ANNOUNCE, TORRENT, DIR, PEERS, LISTEN, CONNECT, TRACKER, DEPTH, BATCH,
  REQQ, ORDER, REPEAT, SAMPLE, NO_FAST, WAIT, LIMIT, ITEMS,
};

static const struct option options[] = {
    {"out", 1, 0, OUT},         {"size", 1, 0, SIZE},       {"piece", 1, 0, PIECE},     {"files", 1, 0, FILES},
    {"name", 1, 0, NAME},       {"announce", 1, 0, ANNOUNCE}, {"torrent", 1, 0, TORRENT}, {"dir", 1, 0, DIR},
    {"peers", 1, 0, PEERS},     {"listen", 1, 0, LISTEN},   {"connect", 1, 0, CONNECT}, {"tracker", 1, 0, TRACKER},
    {"depth", 1, 0, DEPTH},     {"batch", 1, 0, BATCH},     {"reqq", 1, 0, REQQ},       {"order", 1, 0, ORDER},
    {"repeat", 1, 0, REPEAT},   {"sample", 1, 0, SAMPLE},   {"no-fast", 0, 0, NO_FAST}, {"wait", 0, 0, WAIT},
    {"limit", 1, 0, LIMIT},     {"items", 1, 0, ITEMS},     {0},
};

static int fail(const char *what) {
  fprintf(stderr, "perf-load: %s\n%s", what, usage);
  return 64;
}

static int print_made(const char *path) {
  struct torrent torrent;
  if (!torrent_load(&torrent, path)) return 1;
  printf("{\"event\": \"torrent\", \"info_hash\": \"");
  for (int i = 0; i < 20; i++) printf("%02x", torrent.info_hash[i]);
  printf("\", \"total\": %" PRIu64 ", \"pieces\": %u, \"files\": %u}\n", torrent.total, torrent.pieces,
         torrent.file_count);
  return 0;
}

/// Torrents that differ by their names alone, `folder`/t0.torrent and up.
static int make_many(struct torrent_plan plan, uint32_t items, const char *folder, const char *data) {
  for (uint32_t i = 0; i < items; i++) {
    char path[4096], name[32];
    struct torrent torrent;
    snprintf(path, sizeof path, "%s/t%u.torrent", folder, i);
    snprintf(name, sizeof name, "small-%u", i);
    plan.name = name;
    if (!torrent_make(&plan, path) || !torrent_load(&torrent, path) || !torrent_write_data(&torrent, data)) {
      return perror("perf-load: many"), 1;
    }
    torrent_free(&torrent);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 2) return fail("what to do?");
  const char *mode = argv[1], *out = NULL, *torrent_path = NULL, *dir = NULL;
  struct torrent_plan plan = {.files = 1, .piece_length = 1 << 20, .name = "data"};
  struct swarm_options run = {.peers = 1, .depth = 128, .batch = 32, .reqq = 2000, .random_order = true,
                              .fast = true, .repeat = 1, .sample = 64, .limit_seconds = 600};
  uint64_t value;
  uint32_t items = 1;
  for (int option; (option = getopt_long(argc - 1, argv + 1, "", options, NULL)) != -1;) {
    bool number = option == SIZE || option == PIECE || option == FILES || option == PEERS || option == LISTEN ||
                  option == TRACKER || option == DEPTH || option == BATCH || option == REQQ || option == REPEAT ||
                  option == SAMPLE || option == LIMIT || option == ITEMS;
    if (number && (!parse_size(optarg, &value) || (option != SIZE && value > 1u << 30))) return fail("bad number");
    switch (option) {
      case OUT: out = optarg; break;
      case ITEMS: items = (uint32_t)value; break;
      case SIZE: plan.total = value; break;
      case PIECE: plan.piece_length = (uint32_t)value; break;
      case FILES: plan.files = (uint32_t)value; break;
      case NAME: plan.name = optarg; break;
      case ANNOUNCE: plan.announce = optarg; break;
      case TORRENT: torrent_path = optarg; break;
      case DIR: dir = optarg; break;
      case PEERS: run.peers = (uint32_t)value; break;
      case LISTEN: run.listen = (uint16_t)value; break;
      case CONNECT:
        if (!parse_target(optarg, &run.target)) return fail("bad address");
        run.connects = true;
        break;
      case TRACKER: run.tracker = (uint16_t)value; break;
      case DEPTH: run.depth = (uint32_t)value; break;
      case BATCH: run.batch = (uint32_t)value; break;
      case REQQ: run.reqq = (uint32_t)value; break;
      case ORDER: run.random_order = strcmp(optarg, "listed") != 0; break;
      case REPEAT: run.repeat = (uint32_t)value; break;
      case SAMPLE: run.sample = (uint32_t)value; break;
      case NO_FAST: run.fast = false; break;
      case WAIT: run.waits = true; break;
      case LIMIT: run.limit_seconds = (uint32_t)value; break;
      default: return fail("unknown option");
    }
  }
  content_start();
  if (strcmp(mode, "make") == 0) {
    if (!out) return fail("--out?");
    if (!torrent_make(&plan, out)) return perror("perf-load: make"), 1;
    return print_made(out);
  }
  if (strcmp(mode, "many") == 0) return out && dir ? make_many(plan, items, out, dir) : fail("--out and --dir?");
  if (strcmp(mode, "dht") == 0) {
    if (!run.listen || !run.connects || run.peers == 0 || run.peers > 50000 || run.depth < 4) return fail("out of range");
    struct dht_options dht = {.nodes = run.peers, .listen = run.listen, .target = run.target, .window = run.depth,
                              .limit_seconds = run.limit_seconds};
    return dht_run(&dht);
  }
  struct torrent torrent;
  if (!torrent_path || !torrent_load(&torrent, torrent_path)) return fail("--torrent?");
  if (strcmp(mode, "write") == 0 || strcmp(mode, "verify") == 0) {
    if (!dir) return fail("--dir?");
    if (mode[0] == 'v') return torrent_check_data(&torrent, dir) ? 3 : 0;
    return torrent_write_data(&torrent, dir) ? 0 : (perror("perf-load: write"), 1);
  }
  run.leech = strcmp(mode, "leech") == 0;
  run.both = strcmp(mode, "both") == 0;
  run.idle = strcmp(mode, "idle") == 0;
  if (!run.leech && !run.both && !run.idle && strcmp(mode, "seed") != 0) return fail("what to do?");
  if (run.peers == 0 || run.peers > 50000 || run.depth == 0 || run.batch == 0 || run.repeat == 0) {
    return fail("number out of range");
  }
  if (!run.listen && !run.connects) return fail("--listen or --connect?");
  return swarm_run(&run, &torrent);
}
