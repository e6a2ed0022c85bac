#include <openssl/evp.h>

#include "CCrypto.h"

bool spate_ed25519_public_key(const uint8_t *seed, uint8_t *public_key) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SPATE_ED25519_SEED_BYTES);
  if (!key) return false;
  size_t length = SPATE_ED25519_PUBLIC_KEY_BYTES;
  bool done = EVP_PKEY_get_raw_public_key(key, public_key, &length) == 1;
  EVP_PKEY_free(key);
  return done && length == SPATE_ED25519_PUBLIC_KEY_BYTES;
}

bool spate_ed25519_sign(const uint8_t *seed, const uint8_t *message, size_t count, uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, SPATE_ED25519_SEED_BYTES);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t length = SPATE_ED25519_SIGNATURE_BYTES;
  bool done = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(context, signature, &length, message, count) == 1 &&
              length == SPATE_ED25519_SIGNATURE_BYTES;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return done;
}

bool spate_ed25519_verify(const uint8_t *public_key, const uint8_t *message, size_t count, const uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, SPATE_ED25519_PUBLIC_KEY_BYTES);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool right = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
               EVP_DigestVerify(context, signature, SPATE_ED25519_SIGNATURE_BYTES, message, count) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  return right;
}
