// Nodes of a DHT that ask one node as fast as it answers (BEP 5).
//
// All nodes share one socket: what they send leaves from an address of each. They answer what they are asked, so that
// the node under test gets to know them and fills its table; they name each other.
#pragma once
#include <netinet/in.h>
#include <stdint.h>

struct dht_options {
  uint32_t nodes;
  uint16_t listen;
  struct sockaddr_in target;
  uint32_t window; // queries under way at once
  uint32_t limit_seconds;
};

/// Serves until stdin ends. A line `ping S`, `find_node S` or `get_peers S` asks that for S seconds and then prints an
/// event with the counts.
int dht_run(const struct dht_options *options);
