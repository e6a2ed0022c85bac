// Signatures and secrets, by OpenSSL. Nothing here keeps state, and calls on different threads are independent.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SPATE_ED25519_SEED_BYTES = 32,
  SPATE_ED25519_PUBLIC_KEY_BYTES = 32,
  SPATE_ED25519_SIGNATURE_BYTES = 64,
};

// Ed25519 (RFC 8032). The private key is the 32-byte seed; the 64-byte expanded form that some libraries keep cannot be
// turned back into one.
//
// Writes the public key that belongs to `seed`. False if OpenSSL's configuration forbids the algorithm.
bool spate_ed25519_public_key(const uint8_t *seed, uint8_t *public_key);
// Writes the signature of `count` bytes.
bool spate_ed25519_sign(const uint8_t *seed, const uint8_t *message, size_t count, uint8_t *signature);
// Whether the signature is that of the public key's owner.
bool spate_ed25519_verify(const uint8_t *public_key, const uint8_t *message, size_t count, const uint8_t *signature);

// Fills `bytes` from the system's generator for secrets. False if it has failed: the bytes must not be used then.
bool spate_random_bytes(uint8_t *bytes, size_t count);
