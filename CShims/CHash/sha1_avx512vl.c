// SHA-1 with AVX-512VL, eight streams.
#if defined(__x86_64__)
#include "vector_avx512vl.h"

#define KERNEL spate_sha1_avx512_x8
#include "sha1_vector.h"
#endif
