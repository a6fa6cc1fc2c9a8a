/* The kernel for processors with AVX2 and FMA. */
#include "bank.h"

#if defined(__x86_64__) || defined(_M_X64)
#define PATH_AVX2
#include "kernel.h"

const struct inversynth_path inversynth_avx2 = PATH("avx2", "fma");
PATH_END
#endif
