/* Which SIMD targets this processor can run. */
#include "simd/dispatch.h"

#include "simd/processor.h"

#if defined(X86_64) && defined(_MSC_VER)
#include <intrin.h>
#endif

extern const struct inversynth_simd inversynth_portable;
#ifdef X86_64
extern const struct inversynth_simd inversynth_avx2, inversynth_avx512;

#ifdef _MSC_VER
/* Bits of CPUID leaf 7, and that the system saves the registers, as the Intel manual, volume 1, chapters 14 and 15
 * say. */
static int has(int which)
{
    int info[4];
    __cpuid(info, 1);
    if (!(info[2] & 1 << 27) || !(info[2] & 1 << 12))
        return 0;
    const unsigned long long saved = _xgetbv(0), wanted = which == 512 ? 0xe6 : 0x06;
    if ((saved & wanted) != wanted)
        return 0;
    __cpuidex(info, 7, 0);
    const unsigned bits = which == 512 ? 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31 | 1u << 5 : 1u << 5;
    return ((unsigned)info[1] & bits) == bits;
}
#else
static int has(int which)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    return which != 512 || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"));
}
#endif
#endif

size_t inversynth_simd_targets(const struct inversynth_simd *targets[3])
{
    size_t count = 0;
    targets[count++] = &inversynth_portable;
#ifdef X86_64
    if (has(2))
        targets[count++] = &inversynth_avx2;
    if (has(512))
        targets[count++] = &inversynth_avx512;
#endif
    return count;
}
