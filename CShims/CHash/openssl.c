// OpenSSL's block functions on a chaining state of ours: the kernel for a lone stream where nothing better is known,
// and the only one on processors other than x86-64 (ARMv8 has SHA instructions of its own). And EVP, the reference.
//
// EVP cannot start from a state, the low-level functions can. They are deprecated, not gone, and skip EVP's fetches.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "internal.h"

// OpenSSL takes its tables down in an exit handler, while threads of ours may still hash or shake hands: they would use
// what is gone. Whoever initializes it first decides, so this runs before main.
__attribute__((constructor)) static void keep_openssl_at_exit(void) {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}

void spate_sha1_openssl(struct spate_lanes *lanes, size_t blocks) {
  SHA_CTX context = {
      .h0 = lanes->state[0][0],
      .h1 = lanes->state[1][0],
      .h2 = lanes->state[2][0],
      .h3 = lanes->state[3][0],
      .h4 = lanes->state[4][0],
  };
  SHA1_Update(&context, lanes->data[0], blocks * SPATE_HASH_BLOCK_BYTES);
  lanes->state[0][0] = context.h0;
  lanes->state[1][0] = context.h1;
  lanes->state[2][0] = context.h2;
  lanes->state[3][0] = context.h3;
  lanes->state[4][0] = context.h4;
  lanes->data[0] += blocks * SPATE_HASH_BLOCK_BYTES;
}

void spate_sha256_openssl(struct spate_lanes *lanes, size_t blocks) {
  SHA256_CTX context = {.md_len = SHA256_DIGEST_LENGTH};
  for (int i = 0; i < SHA256_WORDS; i++) context.h[i] = lanes->state[i][0];
  SHA256_Update(&context, lanes->data[0], blocks * SPATE_HASH_BLOCK_BYTES);
  for (int i = 0; i < SHA256_WORDS; i++) lanes->state[i][0] = context.h[i];
  lanes->data[0] += blocks * SPATE_HASH_BLOCK_BYTES;
}

bool spate_hash_reference(enum spate_hash_algorithm algorithm, const uint8_t *data, size_t count, uint8_t *digest) {
  const EVP_MD *function = algorithm == SPATE_SHA1 ? EVP_sha1() : EVP_sha256();
  return EVP_Digest(data, count, digest, NULL, function, NULL) == 1;
}
