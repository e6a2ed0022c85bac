#include <limits.h>
#include <openssl/rand.h>

#include "CCrypto.h"

bool spate_random_bytes(uint8_t *bytes, size_t count) {
  if (count > INT_MAX) return false;
  return RAND_bytes(bytes, (int)count) == 1;
}
