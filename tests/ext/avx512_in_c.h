/* The AVX-512 instructions that ext/simd/lanes.h uses, in plain C after the Intel 64 manual, volume 2: for processors
 * without them. To be included before everything else, with -DNO_TARGET, by a compiler that may use AVX2 and FMA. */
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef union {
    float f[16];
    double d[8];
    int32_t i[16];
    uint32_t u[16];
    int16_t h[32];
    int8_t b[64];
    __m512 ps;
    __m512d pd;
    __m512i si;
} emulated;

/* clang-format off */
#define EACH for (int n = 0; n < 16; n++)
#define FLOATS(name, result)                                        \
    static inline __m512 name(__m512 x, __m512 y, __m512 z)         \
    {                                                               \
        emulated a = {.ps = x}, b = {.ps = y}, c = {.ps = z}, r;    \
        (void)b, (void)c;                                           \
        EACH r.f[n] = (result);                                     \
        return r.ps;                                                \
    }
FLOATS(e_add, a.f[n] + b.f[n])
FLOATS(e_sub, a.f[n] - b.f[n])
FLOATS(e_mul, a.f[n] * b.f[n])
FLOATS(e_fmadd, fmaf(a.f[n], b.f[n], c.f[n]))
FLOATS(e_fnmadd, fmaf(-a.f[n], b.f[n], c.f[n]))
FLOATS(e_abs, fabsf(a.f[n]))
FLOATS(e_max, a.f[n] > b.f[n] ? a.f[n] : b.f[n])
FLOATS(e_min, a.f[n] < b.f[n] ? a.f[n] : b.f[n])
FLOATS(e_div, a.f[n] / b.f[n])
FLOATS(e_sqrt, sqrtf(a.f[n]))

static inline __m512 e_set1_ps(float x)
{
    emulated r;
    EACH r.f[n] = x;
    return r.ps;
}

static inline __m512 e_loadu(const float *p)
{
    emulated r;
    memcpy(&r, p, sizeof r);
    return r.ps;
}

static inline __m512i e_set1_epi32(int32_t x)
{
    emulated r;
    EACH r.i[n] = x;
    return r.si;
}

static inline __m512i e_add_epi32(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    EACH r.u[n] = a.u[n] + b.u[n];
    return r.si;
}

static inline __m512i e_sub_epi32(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    EACH r.u[n] = a.u[n] - b.u[n];
    return r.si;
}

static inline __m512i e_and(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    EACH r.u[n] = a.u[n] & b.u[n];
    return r.si;
}

static inline __m512i e_or(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    EACH r.u[n] = a.u[n] | b.u[n];
    return r.si;
}

static inline __m512i e_slli(__m512i x, int bits)
{
    emulated a = {.si = x}, r;
    EACH r.u[n] = a.u[n] << bits;
    return r.si;
}

static inline __m512i e_set1_epi16(int16_t x)
{
    return e_set1_epi32((int32_t)((uint32_t)(uint16_t)x << 16 | (uint16_t)x));
}

static inline __m512i e_madd(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    EACH r.i[n] = a.h[2 * n] * b.h[2 * n] + a.h[2 * n + 1] * b.h[2 * n + 1];
    return r.si;
}

static inline __m512i e_maddubs(__m512i x, __m512i y)
{
    emulated a = {.si = x}, b = {.si = y}, r;
    for (int n = 0; n < 32; n++) {
        const int sum = (uint8_t)a.b[2 * n] * b.b[2 * n] + (uint8_t)a.b[2 * n + 1] * b.b[2 * n + 1];
        r.h[n] = (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
    }
    return r.si;
}

static inline __m512 e_cvtepi32_ps(__m512i x)
{
    emulated a = {.si = x}, r;
    EACH r.f[n] = (float)a.i[n];
    return r.ps;
}

static inline __m512i e_cvtps_epi32(__m512 x)
{
    emulated a = {.ps = x}, r;
    EACH r.i[n] = (int32_t)lrintf(a.f[n]);
    return r.si;
}

static inline __m512i e_ternary(__m512i x, __m512i y, __m512i z, int table)
{
    emulated a = {.si = x}, b = {.si = y}, c = {.si = z}, r;
    EACH
    {
        r.u[n] = 0;
        for (int bit = 0; bit < 32; bit++) {
            unsigned at = (a.u[n] >> bit & 1) << 2 | (b.u[n] >> bit & 1) << 1 | (c.u[n] >> bit & 1);
            r.u[n] |= ((uint32_t)table >> at & 1) << bit;
        }
    }
    return r.si;
}

/* In each quarter: the first (high = 0) or last two floats of a and b by turns; the same of doubles. */
static inline __m512 e_unpack_ps(__m512 x, __m512 y, int high)
{
    emulated a = {.ps = x}, b = {.ps = y}, r;
    EACH r.f[n] = (n % 2 ? b : a).f[n / 4 * 4 + 2 * high + n % 4 / 2];
    return r.ps;
}

static inline __m512d e_unpack_pd(__m512d x, __m512d y, int high)
{
    emulated a = {.pd = x}, b = {.pd = y}, r;
    for (int n = 0; n < 8; n++)
        r.d[n] = (n % 2 ? b : a).d[n / 2 * 2 + high];
    return r.pd;
}

/* Two quarters of a, two of b. */
static inline __m512 e_shuffle(__m512 x, __m512 y, int quarters)
{
    emulated a = {.ps = x}, b = {.ps = y}, r;
    EACH r.f[n] = (n < 8 ? a : b).f[4 * (quarters >> n / 4 * 2 & 3) + n % 4];
    return r.ps;
}

#define _mm512_set1_ps(x) e_set1_ps(x)
#define _mm512_set1_epi32(x) e_set1_epi32(x)
#define _mm512_load_ps(p) (*(const __m512 *)(p))
#define _mm512_loadu_ps(p) e_loadu(p)
#define _mm512_store_ps(p, a) ((void)(*(__m512 *)(p) = (a)))
#define _mm512_storeu_ps(p, a) ((void)memcpy(p, &(emulated){.ps = (a)}, 64))
#define _mm512_load_si512(p) (*(const __m512i *)(p))
#define _mm512_store_si512(p, a) ((void)(*(__m512i *)(p) = (a)))
#define _mm512_add_ps(a, b) e_add(a, b, b)
#define _mm512_sub_ps(a, b) e_sub(a, b, b)
#define _mm512_mul_ps(a, b) e_mul(a, b, b)
#define _mm512_fmadd_ps(a, b, c) e_fmadd(a, b, c)
#define _mm512_fnmadd_ps(a, b, c) e_fnmadd(a, b, c)
#define _mm512_abs_ps(a) e_abs(a, a, a)
#define _mm512_max_ps(a, b) e_max(a, b, b)
#define _mm512_min_ps(a, b) e_min(a, b, b)
#define _mm512_div_ps(a, b) e_div(a, b, b)
#define _mm512_sqrt_ps(a) e_sqrt(a, a, a)
#define _mm512_add_epi32(a, b) e_add_epi32(a, b)
#define _mm512_sub_epi32(a, b) e_sub_epi32(a, b)
#define _mm512_and_si512(a, b) e_and(a, b)
#define _mm512_or_si512(a, b) e_or(a, b)
#define _mm512_slli_epi32(a, bits) e_slli(a, bits)
#define _mm512_set1_epi16(x) e_set1_epi16(x)
#define _mm512_madd_epi16(a, b) e_madd(a, b)
#define _mm512_maddubs_epi16(a, b) e_maddubs(a, b)
#define _mm512_cvtepi32_ps(a) e_cvtepi32_ps(a)
#define _mm512_cvtps_epi32(a) e_cvtps_epi32(a)
#define _mm512_ternarylogic_epi32(a, b, c, table) e_ternary(a, b, c, table)
#define _mm512_unpacklo_ps(a, b) e_unpack_ps(a, b, 0)
#define _mm512_unpackhi_ps(a, b) e_unpack_ps(a, b, 1)
#define _mm512_unpacklo_pd(a, b) e_unpack_pd(a, b, 0)
#define _mm512_unpackhi_pd(a, b) e_unpack_pd(a, b, 1)
#define _mm512_shuffle_f32x4(a, b, quarters) e_shuffle(a, b, quarters)
#define _mm512_castps_si512(a) (((emulated){.ps = (a)}).si)
#define _mm512_castsi512_ps(a) (((emulated){.si = (a)}).ps)
#define _mm512_castps_pd(a) (((emulated){.ps = (a)}).pd)
#define _mm512_castpd_ps(a) (((emulated){.pd = (a)}).ps)
