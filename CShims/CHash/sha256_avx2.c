// SHA-256 with AVX2, eight streams.
#if defined(__x86_64__)
#include "vector_avx2.h"

#define KERNEL spate_sha256_avx2_x8
#include "sha256_vector.h"
#endif
