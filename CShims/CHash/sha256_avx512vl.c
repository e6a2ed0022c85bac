// SHA-256 with AVX-512VL, eight streams.
#if defined(__x86_64__)
#include "vector_avx512vl.h"

#define KERNEL spate_sha256_avx512_x8
#include "sha256_vector.h"
#endif
