/* The vector vocabulary: LANES sounds side by side, one in each lane.
 *
 * SIMD_AVX512 or SIMD_AVX2, which the file of a SIMD target defines, decides which vectors; without them it is what
 * every processor of the kind has: SSE2, NEON, or one lane of plain C. All but SSE2 and plain C multiply and add
 * with a single rounding, and give the same bits. */
#ifndef INVERSYNTH_LANES_H
#define INVERSYNTH_LANES_H

#include "simd/processor.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(X86_64)
#include <immintrin.h>
#elif defined(ARM_64)
#include <arm_neon.h>
#endif

/* From here on functions may use the target's instructions, until SIMD_END. MSVC needs no permission, nor does a
 * test that brings its own instructions (NO_TARGET). */
#if defined(__clang__)
#define SIMD_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define SIMD_END _Pragma("GCC pop_options")
#else
#define SIMD_END
#endif
#if defined(NO_TARGET)
#undef SIMD_END
#define SIMD_END
#elif defined(SIMD_AVX512) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,avx2,f16c,fma"))), \
                             apply_to = function)
#elif defined(SIMD_AVX512) && defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,f16c,fma")
#elif defined(SIMD_AVX2) && defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#elif defined(SIMD_AVX2) && defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,f16c,fma")
#endif

#if defined(_MSC_VER)
#define INLINE __forceinline
#else
#define INLINE inline __attribute__((always_inline))
#endif

/* Before a loop over an array of vectors: they stay in registers only if none of its indices is left. Clang does so by
 * itself. */
#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

#if defined(SIMD_AVX512)

enum { LANES = 16 };
typedef __m512 vf;
typedef __m512i vi;
#define f_all(x) _mm512_set1_ps(x)
#define f_load(p) _mm512_load_ps(p)
#define f_store(p, a) _mm512_store_ps(p, a)
#define f_add(a, b) _mm512_add_ps(a, b)
#define f_sub(a, b) _mm512_sub_ps(a, b)
#define f_mul(a, b) _mm512_mul_ps(a, b)
#define f_mul_add(a, b, c) _mm512_fmadd_ps(a, b, c)  /* a b + c */
#define f_sub_mul(a, b, c) _mm512_fnmadd_ps(a, b, c) /* c - a b */
#define f_sub_mul_once(a, b, c) f_sub_mul(a, b, c)   /* the same, with one rounding on every target */
#define f_load_row(p) _mm512_loadu_ps(p)
#define f_store_row(p, a) _mm512_storeu_ps(p, a)
#define f_abs(a) _mm512_abs_ps(a)
#define f_max(a, b) _mm512_max_ps(a, b)
#define f_min(a, b) _mm512_min_ps(a, b)
#define f_div(a, b) _mm512_div_ps(a, b)
#define f_sqrt(a) _mm512_sqrt_ps(a)
#define f_of(i) _mm512_cvtepi32_ps(i)
#define f_signed(a, i) /* a > 0 with the sign of i */ \
    _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(a), i, _mm512_set1_epi32(INT32_MIN), 0xf8))
#define i_load(p) _mm512_load_si512(p)
#define i_store(p, a) _mm512_store_si512(p, a)
#define i_add(a, b) _mm512_add_epi32(a, b)
#define i_of(a) _mm512_cvtps_epi32(a) /* to the nearest, ties to even */
#define i_all(x) _mm512_set1_epi32(x)
#define i_sub(a, b) _mm512_sub_epi32(a, b)
#define i_and(a, b) _mm512_and_si512(a, b)
#define i_or(a, b) _mm512_or_si512(a, b)
#define i_shift(a, bits) _mm512_slli_epi32(a, bits) /* to the left */
#define i_dot(u, s, to) /* to + the four products of bytes; u from 0 to 127, s with a sign */ \
    _mm512_add_epi32(to, _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), _mm512_set1_epi16(1)))
#define i_bits(a) _mm512_castps_si512(a)
#define f_bits(i) _mm512_castsi512_ps(i)

static inline void transpose(vf *v)
{
    vf a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] =
                _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a[i + j]), _mm512_castps_pd(a[i + j + 2])));
            b[i + 2 * j + 1] =
                _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a[i + j]), _mm512_castps_pd(a[i + j + 2])));
        }
    for (int i = 0; i < 4; i++) {
        vf low = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88), high = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xdd);
        vf low2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88),
           high2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xdd);
        v[i] = _mm512_shuffle_f32x4(low, low2, 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(low, low2, 0xdd);
        v[i + 4] = _mm512_shuffle_f32x4(high, high2, 0x88);
        v[i + 12] = _mm512_shuffle_f32x4(high, high2, 0xdd);
    }
}

#elif defined(SIMD_AVX2)

enum { LANES = 8 };
typedef __m256 vf;
typedef __m256i vi;
#define f_all(x) _mm256_set1_ps(x)
#define f_load(p) _mm256_load_ps(p)
#define f_store(p, a) _mm256_store_ps(p, a)
#define f_add(a, b) _mm256_add_ps(a, b)
#define f_sub(a, b) _mm256_sub_ps(a, b)
#define f_mul(a, b) _mm256_mul_ps(a, b)
#define f_mul_add(a, b, c) _mm256_fmadd_ps(a, b, c)
#define f_sub_mul(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define f_sub_mul_once(a, b, c) f_sub_mul(a, b, c)
#define f_load_row(p) _mm256_loadu_ps(p)
#define f_store_row(p, a) _mm256_storeu_ps(p, a)
#define f_abs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define f_max(a, b) _mm256_max_ps(a, b)
#define f_min(a, b) _mm256_min_ps(a, b)
#define f_div(a, b) _mm256_div_ps(a, b)
#define f_sqrt(a) _mm256_sqrt_ps(a)
#define f_of(i) _mm256_cvtepi32_ps(i)
#define f_signed(a, i) _mm256_or_ps(a, _mm256_and_ps(_mm256_castsi256_ps(i), _mm256_set1_ps(-0.0f)))
#define i_load(p) _mm256_load_si256((const __m256i *)(p))
#define i_store(p, a) _mm256_store_si256((__m256i *)(p), a)
#define i_add(a, b) _mm256_add_epi32(a, b)
#define i_of(a) _mm256_cvtps_epi32(a)
#define i_all(x) _mm256_set1_epi32(x)
#define i_sub(a, b) _mm256_sub_epi32(a, b)
#define i_and(a, b) _mm256_and_si256(a, b)
#define i_or(a, b) _mm256_or_si256(a, b)
#define i_shift(a, bits) _mm256_slli_epi32(a, bits)
#define i_dot(u, s, to) _mm256_add_epi32(to, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)))
#define i_bits(a) _mm256_castps_si256(a)
#define f_bits(i) _mm256_castsi256_ps(i)

static inline void transpose(vf *v)
{
    vf a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
}

#elif defined(X86_64)

enum { LANES = 4 };
#define ARITHMETIC_PLAIN 1
typedef __m128 vf;
typedef __m128i vi;
#define f_all(x) _mm_set1_ps(x)
#define f_load(p) _mm_load_ps(p)
#define f_store(p, a) _mm_store_ps(p, a)
#define f_add(a, b) _mm_add_ps(a, b)
#define f_sub(a, b) _mm_sub_ps(a, b)
#define f_mul(a, b) _mm_mul_ps(a, b)
#define f_mul_add(a, b, c) _mm_add_ps(_mm_mul_ps(a, b), c)
#define f_sub_mul(a, b, c) _mm_sub_ps(c, _mm_mul_ps(a, b))
#define f_load_row(p) _mm_loadu_ps(p)
#define f_store_row(p, a) _mm_storeu_ps(p, a)
#define f_abs(a) _mm_andnot_ps(_mm_set1_ps(-0.0f), a)
#define f_max(a, b) _mm_max_ps(a, b)
#define f_min(a, b) _mm_min_ps(a, b)
#define f_div(a, b) _mm_div_ps(a, b)
#define f_sqrt(a) _mm_sqrt_ps(a)
#define f_of(i) _mm_cvtepi32_ps(i)
#define f_signed(a, i) _mm_or_ps(a, _mm_and_ps(_mm_castsi128_ps(i), _mm_set1_ps(-0.0f)))
#define i_load(p) _mm_load_si128((const __m128i *)(p))
#define i_store(p, a) _mm_store_si128((__m128i *)(p), a)
#define i_add(a, b) _mm_add_epi32(a, b)
#define i_of(a) _mm_cvtps_epi32(a)
#define i_all(x) _mm_set1_epi32(x)
#define i_sub(a, b) _mm_sub_epi32(a, b)
#define i_and(a, b) _mm_and_si128(a, b)
#define i_or(a, b) _mm_or_si128(a, b)
#define i_shift(a, bits) _mm_slli_epi32(a, bits)
#define i_bits(a) _mm_castps_si128(a)
#define f_bits(i) _mm_castsi128_ps(i)

/* In double precision the product is exact, and the sum is rounded to float once but in some case of 2^29. */
static inline vf f_sub_mul_once(vf a, vf b, vf c)
{
    const __m128d low = _mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b));
    const __m128d high = _mm_mul_pd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b)));
    return _mm_movelh_ps(_mm_cvtpd_ps(_mm_sub_pd(_mm_cvtps_pd(c), low)),
                         _mm_cvtpd_ps(_mm_sub_pd(_mm_cvtps_pd(_mm_movehl_ps(c, c)), high)));
}

/* Bytes 0 and 2 of each four, and 1 and 3, as 16 bits. */
static inline vi i_dot(vi u, vi s, vi to)
{
    const __m128i even =
        _mm_madd_epi16(_mm_and_si128(u, _mm_set1_epi16(0xff)), _mm_srai_epi16(_mm_slli_epi16(s, 8), 8));
    return _mm_add_epi32(to, _mm_add_epi32(even, _mm_madd_epi16(_mm_srli_epi16(u, 8), _mm_srai_epi16(s, 8))));
}

static inline void transpose(vf *v) { _MM_TRANSPOSE4_PS(v[0], v[1], v[2], v[3]); }

#elif defined(ARM_64)

enum { LANES = 4 };
typedef float32x4_t vf;
typedef int32x4_t vi;
#define f_all(x) vdupq_n_f32(x)
#define f_load(p) vld1q_f32(p)
#define f_store(p, a) vst1q_f32(p, a)
#define f_add(a, b) vaddq_f32(a, b)
#define f_sub(a, b) vsubq_f32(a, b)
#define f_mul(a, b) vmulq_f32(a, b)
#define f_mul_add(a, b, c) vfmaq_f32(c, a, b)
#define f_sub_mul(a, b, c) vfmsq_f32(c, a, b)
#define f_sub_mul_once(a, b, c) f_sub_mul(a, b, c)
#define f_load_row(p) vld1q_f32(p)
#define f_store_row(p, a) vst1q_f32(p, a)
#define f_abs(a) vabsq_f32(a)
#define f_max(a, b) vmaxq_f32(a, b)
#define f_min(a, b) vminq_f32(a, b)
#define f_div(a, b) vdivq_f32(a, b)
#define f_sqrt(a) vsqrtq_f32(a)
#define f_of(i) vcvtq_f32_s32(i)
#define f_signed(a, i) vbslq_f32(vdupq_n_u32(0x80000000u), vreinterpretq_f32_s32(i), a)
#define i_load(p) vld1q_s32(p)
#define i_store(p, a) vst1q_s32(p, a)
#define i_add(a, b) vaddq_s32(a, b)
#define i_of(a) vcvtnq_s32_f32(a)
#define i_all(x) vdupq_n_s32(x)
#define i_sub(a, b) vsubq_s32(a, b)
#define i_and(a, b) vandq_s32(a, b)
#define i_or(a, b) vorrq_s32(a, b)
#define i_shift(a, bits) vshlq_n_s32(a, bits)
#define i_bits(a) vreinterpretq_s32_f32(a)
#define f_bits(i) vreinterpretq_f32_s32(i)

static inline vi i_dot(vi u, vi s, vi to)
{
    const int8x16_t x = vreinterpretq_s8_s32(u), y = vreinterpretq_s8_s32(s);
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(to, x, y);
#else
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(y)));
    return vaddq_s32(to, vpaddq_s32(low, vpaddlq_s16(vmull_s8(vget_high_s8(x), vget_high_s8(y)))));
#endif
}

static inline void transpose(vf *v)
{
    const float32x4x2_t a = vtrnq_f32(v[0], v[1]), b = vtrnq_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    v[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    v[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    v[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

#else

enum { LANES = 1 };
#define ARITHMETIC_PLAIN 1
typedef float vf;
typedef int32_t vi;
#define f_all(x) ((float)(x))
#define f_load(p) (*(p))
#define f_store(p, a) (*(p) = (a))
#define f_add(a, b) ((a) + (b))
#define f_sub(a, b) ((a) - (b))
#define f_mul(a, b) ((a) * (b))
#define f_mul_add(a, b, c) ((a) * (b) + (c))
#define f_sub_mul(a, b, c) ((c) - (a) * (b))
#define f_sub_mul_once(a, b, c) ((float)((double)(c) - (double)(a) * (double)(b)))
#define f_load_row(p) (*(p))
#define f_store_row(p, a) (*(p) = (a))
#define f_abs(a) fabsf(a)
#define f_max(a, b) ((a) > (b) ? (a) : (b))
#define f_min(a, b) ((a) < (b) ? (a) : (b))
#define f_div(a, b) ((a) / (b))
#define f_sqrt(a) sqrtf(a)
#define f_of(i) ((float)(i))
#define f_signed(a, i) ((i) < 0 ? -(a) : (a))
#define i_load(p) (*(p))
#define i_store(p, a) (*(p) = (a))
#define i_add(a, b) ((int32_t)((uint32_t)(a) + (uint32_t)(b)))
#define i_of(a) ((int32_t)lrintf(a))
#define i_all(x) (x)
#define i_sub(a, b) ((int32_t)((uint32_t)(a) - (uint32_t)(b)))
#define i_and(a, b) ((a) & (b))
#define i_or(a, b) ((a) | (b))
#define i_shift(a, bits) ((int32_t)((uint32_t)(a) << (bits)))

static inline vi i_dot(vi u, vi s, vi to)
{
    for (int bits = 0; bits < 32; bits += 8)
        to += ((int8_t)((uint32_t)u >> bits & 0xff)) * ((int8_t)((uint32_t)s >> bits & 0xff));
    return to;
}

static inline vi i_bits(vf a)
{
    vi i;
    memcpy(&i, &a, sizeof i);
    return i;
}

static inline vf f_bits(vi i)
{
    vf a;
    memcpy(&a, &i, sizeof a);
    return a;
}

static inline void transpose(vf *v) { (void)v; }

#endif

#if defined(_MSC_VER)
#define ALIGNED __declspec(align(64))
#else
#define ALIGNED __attribute__((aligned(64)))
#endif
#define EACH_LANE for (int l = 0; l < LANES; l++)

typedef double doubles[LANES];
typedef float floats[LANES];
typedef int32_t ints[LANES];

/* `count` vectors of zeros. */
static INLINE void zeros(vf *v, int count)
{
    UNROLL
    for (int i = 0; i < count; i++)
        v[i] = f_all(0.0f);
}

/* x = (1 + y) 2^n, x above 0 and y from sqrt(1/2) - 1 to sqrt(2) - 1: y, and n as the bits of x have it. */
static INLINE vf split(vf x, vi *exponent)
{
    const vi bits = i_bits(x);
    *exponent = i_and(i_sub(bits, i_all(0x3f3504f3)), i_all((int32_t)0xff800000u));
    return f_sub(f_bits(i_sub(bits, *exponent)), f_all(1.0f));
}

#endif
