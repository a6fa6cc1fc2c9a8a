/* The SIMD target for processors with AVX-512. */
#include "simd/processor.h"

#ifdef X86_64
#define SIMD_AVX512
#define SIMD_TARGET inversynth_avx512
#include "simd/target.h"

const struct inversynth_simd inversynth_avx512 = SIMD("avx512", "fma");
SIMD_END
#endif
