// SHA-1 (FIPS 180-4, 6.1.2) over LANES streams, one in each 32-bit lane. Included once by each sha1_avx*.c, after a
// vector header (VECTOR, LANES, ADD, ROTL, ... and the transposed loads) and with KERNEL, the function's name, defined.

TARGET void KERNEL(struct spate_lanes *lanes, size_t blocks) {
  const uint8_t *data[LANES];
  for (int i = 0; i < LANES; i++) data[i] = lanes->data[i];
  VECTOR a = LOAD(lanes->state[0]), b = LOAD(lanes->state[1]), c = LOAD(lanes->state[2]);
  VECTOR d = LOAD(lanes->state[3]), e = LOAD(lanes->state[4]);
  VECTOR w[16];
  struct message message;
  for (int i = 0; i < 4; i++) message_gather(&message, data, 0, i);
  for (size_t block = 0; block < blocks; block++) {
    const VECTOR a_before = a, b_before = b, c_before = c, d_before = d, e_before = e;
    const size_t offset = block * SPATE_HASH_BLOCK_BYTES;
    // After the last block there is nothing to read ahead; the same block again is harmless.
    const size_t offset_ahead = block + 1 < blocks ? offset + SPATE_HASH_BLOCK_BYTES : offset;
    _Pragma("clang loop unroll(full)") for (int t = 0; t < 80; t++) {
      if (t < 16 && t % 4 == 0) message_words(&message, data, offset, t / 4, &w[t]);
      if (t >= 20 && t < 36 && t % 4 == 0) message_gather(&message, data, offset_ahead, (t - 20) / 4);
      if (t >= 16) {
        const VECTOR mixed = XOR4(w[(t - 3) & 15], w[(t - 8) & 15], w[(t - 14) & 15], w[t & 15]);
        w[t & 15] = ROTL(mixed, 1);
      }
      const VECTOR constant = ALL(t < 20 ? 0x5a827999 : t < 40 ? 0x6ed9eba1 : t < 60 ? 0x8f1bbcdc : 0xca62c1d6);
      const VECTOR f = t < 20 ? CHOOSE(b, c, d) : t >= 40 && t < 60 ? MAJORITY(b, c, d) : PARITY(b, c, d);
      // a changed last. Everything else is summed first and pinned, or the compiler would reassociate the sum and
      // make the chain from a to the next a two additions longer.
      VECTOR sum = ADD(ADD(e, ADD(w[t & 15], constant)), f);
      PINNED(sum);
      sum = ADD(sum, ROTL(a, 5));
      e = d;
      d = c;
      c = ROTL(b, 30);
      b = a;
      a = sum;
    }
    a = ADD(a, a_before);
    b = ADD(b, b_before);
    c = ADD(c, c_before);
    d = ADD(d, d_before);
    e = ADD(e, e_before);
  }
  STORE(lanes->state[0], a);
  STORE(lanes->state[1], b);
  STORE(lanes->state[2], c);
  STORE(lanes->state[3], d);
  STORE(lanes->state[4], e);
  for (int i = 0; i < LANES; i++) lanes->data[i] = data[i] + blocks * SPATE_HASH_BLOCK_BYTES;
}
