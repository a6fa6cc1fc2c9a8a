/* The SIMD target for what every processor has. */
#define SIMD_TARGET inversynth_portable
#include "simd/target.h"

#ifdef ARITHMETIC_PLAIN
const struct inversynth_simd inversynth_portable = SIMD("portable", "plain");
#else
const struct inversynth_simd inversynth_portable = SIMD("portable", "fma");
#endif
