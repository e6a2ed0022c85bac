// SHA-256 with AVX-512, sixteen streams.
#if defined(__x86_64__)
#include "vector_avx512.h"

#define KERNEL spate_sha256_avx512_x16
#include "sha256_vector.h"
#endif
