// SHA-1 with AVX2, eight streams.
#if defined(__x86_64__)
#include "vector_avx2.h"

#define KERNEL spate_sha1_avx2_x8
#include "sha1_vector.h"
#endif
