/* The kernel for processors with AVX-512. */
#include "bank.h"

#if defined(__x86_64__) || defined(_M_X64)
#define PATH_AVX512
#include "kernel.h"

const struct inversynth_path inversynth_avx512 = PATH("avx512", "fma");
PATH_END
#endif
