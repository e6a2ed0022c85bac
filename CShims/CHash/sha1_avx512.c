// SHA-1 with AVX-512, sixteen streams.
#if defined(__x86_64__)
#include "vector_avx512.h"

#define KERNEL spate_sha1_avx512_x16
#include "sha1_vector.h"
#endif
