/* The kernel for processors with AVX2 and FMA. */
#include "bank.h"

#ifdef X86_64
#define PATH_AVX2
#include "analysis.h"

const struct inversynth_path inversynth_avx2 = PATH("avx2", "fma");
PATH_END
#endif
