/* What a core can do at most with the vectors of one SIMD target: vector instructions a second, in the kernel's
 * own proportions and with nothing to wait for, and bytes stored a second. x86-64 alone; -DVECTOR=256 or 512.
 * Prints the instructions that the kernel takes for a vector of samples, instructions/s, bytes/s. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A quarter of what `paper_begin` and `paper_finish` of ext/engines/paper.h take: of 20 multiplications (with an
 * addition or without), 16 additions and conversions, 12 instructions of integers and logic. The rest is `transpose`:
 * shuffles. */
#if VECTOR == 512
#define R(n) "%%zmm" #n
#define AND "vpandd"
#define SHUFFLES V("vunpcklps", 8) V("vunpcklps", 9) V("vunpcklps", 10) V("vunpcklps", 11)
enum { SHUFFLED = 4 };
#else
#define R(n) "%%ymm" #n
#define AND "vpand"
#define SHUFFLES V("vunpcklps", 8) V("vunpcklps", 9) V("vunpcklps", 10)
enum { SHUFFLED = 3 };
#endif
/* clang-format off */
#define V(name, n) name " " R(14) "," R(15) "," R(n) "\n"
#define C(n) "vcvtdq2ps " R(14) "," R(n) "\n"
#define QUARTER                                                                                              \
    V("vmulps", 0) V("vaddps", 1) V("vpaddd", 2) V("vmulps", 3) C(4) V("vmulps", 5) V("vaddps", 6)           \
    V("vpaddd", 7) V("vmulps", 8) C(9) V("vmulps", 10) V(AND, 11)
enum { INSTRUCTIONS = 4 * 12 + SHUFFLED };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double instructions(void)
{
    enum { LOOPS = 100000 };
    const double start = now();
    for (int i = 0; i < LOOPS; i++)
        __asm__ volatile(QUARTER QUARTER QUARTER QUARTER SHUFFLES ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
                         "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11");
    return (double)LOOPS * INSTRUCTIONS / (now() - start);
}
/* clang-format on */

static double stored(char *memory, size_t bytes, int stream)
{
    const double start = now();
    if (stream) {
        for (size_t at = 0; at < bytes; at += VECTOR / 8)
            __asm__ volatile("vmovntps " R(14) ",(%0)" ::"r"(memory + at) : "memory");
        __asm__ volatile("sfence" ::: "memory");
    } else {
        for (size_t at = 0; at < bytes; at += VECTOR / 8)
            __asm__ volatile("vmovaps " R(14) ",(%0)" ::"r"(memory + at) : "memory");
    }
    return (double)bytes / (now() - start);
}

int main(void)
{
    enum { REPEATS = 30 };
    const size_t bytes = 64 << 20;
    char *memory = aligned_alloc(4096, bytes);
    double rate = 0.0, store = 0.0;
    if (!memory)
        return 1;
    memset(memory, 1, bytes);
    for (int i = 0; i < REPEATS; i++) {
        const double a = instructions(), b = stored(memory, bytes, i % 2);
        rate = a > rate ? a : rate;
        store = b > store ? b : store;
    }
    printf("%d %.6g %.6g\n", INSTRUCTIONS, rate, store);
    free(memory);
    return 0;
}
