// Eight lanes with AVX-512's instructions on 256-bit registers: for 5 to 8 streams. Where 512-bit instructions take
// two cycles (Zen 4), half the lanes in half the time.
#pragma once
#define TARGET __attribute__((target("avx512f,avx512vl,avx512bw")))
#include "vector_256.h"

#define ROTL(x, n) _mm256_rol_epi32(x, n)
#define ROTR(x, n) _mm256_ror_epi32(x, n)
#define PINNED(x) __asm__("" : "+v"(x))
#define CHOOSE(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0xca)
#define MAJORITY(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0xe8)
#define PARITY(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0x96)
#define XOR4(x, y, z, u) XOR(PARITY(x, y, z), u)
