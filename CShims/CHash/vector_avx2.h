// Eight lanes with AVX2: no rotate and no three-operand logic, so three or four instructions for each.
#pragma once
#define TARGET __attribute__((target("avx2")))
#include "vector_256.h"

#define ROTL(x, n) _mm256_or_si256(_mm256_slli_epi32(x, n), _mm256_srli_epi32(x, 32 - (n)))
#define ROTR(x, n) ROTL(x, 32 - (n))
#define PINNED(x) __asm__("" : "+x"(x))
#define CHOOSE(x, y, z) XOR(z, _mm256_and_si256(x, XOR(y, z)))
#define MAJORITY(x, y, z) _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
#define PARITY(x, y, z) XOR(x, XOR(y, z))
#define XOR4(x, y, z, u) XOR(XOR(x, y), XOR(z, u))
