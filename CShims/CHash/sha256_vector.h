// SHA-256 (FIPS 180-4, 6.2.2) over LANES streams, one in each 32-bit lane. Included once by each sha256_avx*.c, after a
// vector header and with KERNEL, the function's name, defined.
#include "sha256_constants.h"

// The sigma functions (FIPS 180-4, 4.1.2): two rotations and a third, or a shift in the schedule's.
#define BIG_SIGMA_A(x) PARITY(ROTR(x, 2), ROTR(x, 13), ROTR(x, 22))
#define BIG_SIGMA_E(x) PARITY(ROTR(x, 6), ROTR(x, 11), ROTR(x, 25))
#define SMALL_SIGMA_0(x) PARITY(ROTR(x, 7), ROTR(x, 18), SHR(x, 3))
#define SMALL_SIGMA_1(x) PARITY(ROTR(x, 17), ROTR(x, 19), SHR(x, 10))

TARGET void KERNEL(struct spate_lanes *lanes, size_t blocks) {
  const uint8_t *data[LANES];
  for (int i = 0; i < LANES; i++) data[i] = lanes->data[i];
  VECTOR a = LOAD(lanes->state[0]), b = LOAD(lanes->state[1]), c = LOAD(lanes->state[2]);
  VECTOR d = LOAD(lanes->state[3]), e = LOAD(lanes->state[4]), f = LOAD(lanes->state[5]);
  VECTOR g = LOAD(lanes->state[6]), h = LOAD(lanes->state[7]);
  VECTOR w[16];
  struct message message;
  for (int i = 0; i < 4; i++) message_gather(&message, data, 0, i);
  for (size_t block = 0; block < blocks; block++) {
    const VECTOR a_before = a, b_before = b, c_before = c, d_before = d;
    const VECTOR e_before = e, f_before = f, g_before = g, h_before = h;
    const size_t offset = block * SPATE_HASH_BLOCK_BYTES;
    // After the last block there is nothing to read ahead; the same block again is harmless.
    const size_t offset_ahead = block + 1 < blocks ? offset + SPATE_HASH_BLOCK_BYTES : offset;
    _Pragma("clang loop unroll(full)") for (int t = 0; t < 64; t++) {
      if (t < 16 && t % 4 == 0) message_words(&message, data, offset, t / 4, &w[t]);
      if (t >= 20 && t < 36 && t % 4 == 0) message_gather(&message, data, offset_ahead, (t - 20) / 4);
      if (t >= 16) {
        const VECTOR near = ADD(SMALL_SIGMA_1(w[(t - 2) & 15]), w[(t - 7) & 15]);
        w[t & 15] = ADD(ADD(w[t & 15], SMALL_SIGMA_0(w[(t - 15) & 15])), near);
      }
      // e changed last: what does not hang on it is summed first, and pinned so that it stays so.
      VECTOR sum = ADD(h, ADD(w[t & 15], ALL(sha256_constants[t])));
      PINNED(sum);
      sum = ADD(ADD(sum, CHOOSE(e, f, g)), BIG_SIGMA_E(e));
      const VECTOR majority = ADD(BIG_SIGMA_A(a), MAJORITY(a, b, c));
      h = g;
      g = f;
      f = e;
      e = ADD(d, sum);
      d = c;
      c = b;
      b = a;
      a = ADD(sum, majority);
    }
    a = ADD(a, a_before);
    b = ADD(b, b_before);
    c = ADD(c, c_before);
    d = ADD(d, d_before);
    e = ADD(e, e_before);
    f = ADD(f, f_before);
    g = ADD(g, g_before);
    h = ADD(h, h_before);
  }
  STORE(lanes->state[0], a);
  STORE(lanes->state[1], b);
  STORE(lanes->state[2], c);
  STORE(lanes->state[3], d);
  STORE(lanes->state[4], e);
  STORE(lanes->state[5], f);
  STORE(lanes->state[6], g);
  STORE(lanes->state[7], h);
  for (int i = 0; i < LANES; i++) lanes->data[i] = data[i] + blocks * SPATE_HASH_BLOCK_BYTES;
}
