/* The SIMD target for processors with AVX2 and FMA. */
#include "simd/processor.h"

#ifdef X86_64
#define SIMD_AVX2
#define SIMD_TARGET inversynth_avx2
#include "simd/target.h"

const struct inversynth_simd inversynth_avx2 = SIMD("avx2", "fma");
SIMD_END
#endif
