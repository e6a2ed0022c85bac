// SHA-1 and SHA-256 (FIPS 180-4) over many independent streams at once.
//
// The unit of work is a job: a stream's chaining state and a run of whole 64-byte message blocks to fold into it.
// Jobs of different length share a batch. Padding is the caller's (`spate_hash_pad`), so a stream may be hashed a
// piece at a time, its state kept between calls. Nothing here allocates or locks; calls on different threads are
// independent of each other.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum spate_hash_algorithm {
  SPATE_SHA1 = 0,    // 5 state words, 20-byte digest
  SPATE_SHA256 = 1,  // 8 state words, 32-byte digest
};

enum {
  SPATE_HASH_ALGORITHMS = 2,
  SPATE_HASH_BLOCK_BYTES = 64,
  SPATE_HASH_MAX_LANES = 16,
  // What `spate_hash_pad` may write: a carried tail and its padding are one or two message blocks.
  SPATE_HASH_TAIL_BYTES = 2 * SPATE_HASH_BLOCK_BYTES,
};

// Whole message blocks of one stream. `state` holds 5 or 8 words in host order and is updated in place; `data` needs no
// alignment. Two jobs of one batch must not share a state.
struct spate_hash_job {
  uint32_t *state;
  const uint8_t *data;
  size_t blocks;
};

// A rule that says which kernel serves how many waiting streams. Engines are built once and live for ever.
typedef struct spate_hash_engine spate_hash_engine;

// How the wish in SPATE_HASH was met.
enum spate_hash_wish {
  SPATE_HASH_WISH_NONE,         // not set, or empty
  SPATE_HASH_WISH_GRANTED,
  SPATE_HASH_WISH_UNKNOWN,      // no engine has this name: automatic choice instead
  SPATE_HASH_WISH_UNSUPPORTED,  // this processor (or its self-test) rules it out: automatic choice instead
};

struct spate_hash_kernel_info {
  const char *name;
  enum spate_hash_algorithm algorithm;
  unsigned lanes;       // streams a pass takes
  bool supported;       // the processor and the operating system allow it
  bool agrees;          // the self-test at start found it equal to OpenSSL; false if it could not run
};

// The engine of this process: SPATE_HASH if it can be granted, else "auto" ("openssl" where CHash was compiled without
// optimization).
const spate_hash_engine *spate_hash_engine_current(void);
// "auto", "openssl", "shani", "avx2" or "avx512"; NULL if unknown or not usable here.
const spate_hash_engine *spate_hash_engine_named(const char *name);
// Serves every stream of the kernel's algorithm with that kernel alone; NULL if not usable here.
const spate_hash_engine *spate_hash_engine_of_kernel(int kernel);
const char *spate_hash_engine_name(const spate_hash_engine *engine);
// The kernel that the engine takes for a pass over `streams` waiting streams (1...SPATE_HASH_MAX_LANES).
int spate_hash_engine_kernel(const spate_hash_engine *engine, enum spate_hash_algorithm algorithm, unsigned streams);

// How SPATE_HASH was taken, and the first bytes of what it said ("" if not set).
enum spate_hash_wish spate_hash_wish(void);
const char *spate_hash_wished(void);

int spate_hash_kernel_count(void);
struct spate_hash_kernel_info spate_hash_kernel_at(int kernel);
// The self-test that runs at start, run again. With `fault_lane` >= 0 one bit of that lane's result is flipped before
// the comparison, which must then fail: this is how the test is tested.
bool spate_hash_self_test(int kernel, int fault_lane);

// A message's digest (20 or 32 bytes) by OpenSSL's EVP interface: what kernels are held against. False if OpenSSL's
// configuration forbids the function.
bool spate_hash_reference(enum spate_hash_algorithm algorithm, const uint8_t *data, size_t count, uint8_t *digest);

// The initial hash value (FIPS 180-4, 5.3).
void spate_hash_start(enum spate_hash_algorithm algorithm, uint32_t *state);
// Pads `tail`, whose first `carried` (< 64) bytes are the end of a message of `total_bytes`, in place (FIPS 180-4,
// 5.1.1). Returns the number of 64-byte blocks to hash: 1 or 2.
size_t spate_hash_pad(uint8_t *tail, size_t carried, uint64_t total_bytes);

// Folds every job's blocks into its state, as many streams at a time as the engine's kernels hold.
void spate_hash_update_many(const spate_hash_engine *engine, enum spate_hash_algorithm algorithm,
                            const struct spate_hash_job *jobs, size_t count);
