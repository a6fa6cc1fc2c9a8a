/* The kernel for processors with AVX-512. */
#include "bank.h"

#ifdef X86_64
#define PATH_AVX512
#include "analysis.h"

const struct inversynth_path inversynth_avx512 = PATH("avx512", "fma");
PATH_END
#endif
