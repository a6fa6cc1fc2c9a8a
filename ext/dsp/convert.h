/* Samples as they are stored, for each SIMD target: plain loops that compilers turn into its vectors, with the same
 * bits. */
#include "simd/lanes.h"

/* float32 to IEEE 754 half precision, to the nearest, ties to even; beyond its range infinite. */
static void to_half(const float *in, uint16_t *out, size_t count)
{
    size_t n = 0;
#if defined(SIMD_AVX2) || defined(SIMD_AVX512) /* every processor with AVX2 has F16C */
    for (; n + 8 <= count; n += 8)
        _mm_storeu_si128((__m128i *)(out + n), _mm256_cvtps_ph(_mm256_loadu_ps(in + n), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; n < count; n++) {
        uint32_t bits, small_bits;
        memcpy(&bits, in + n, sizeof bits);
        const uint32_t size = bits & 0x7fffffffu;
        float small = fabsf(in[n]) + 0.5f; /* to a multiple of the least half, 2^-24 */
        memcpy(&small_bits, &small, sizeof small_bits);
        const uint32_t normal = (size - 0x38000000u + 0xfffu + (size >> 13 & 1)) >> 13;
        const uint32_t huge = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
        const uint32_t half = size < 0x38800000u ? small_bits - 0x3f000000u : size < 0x47800000u ? normal : huge;
        out[n] = (uint16_t)(half | (bits >> 16 & 0x8000u));
    }
}

/* Rows of samples to 32767ths of the row's peak, to the nearest, and the peaks; silence has a peak of 0. */
static void to_int16(const float *in, int16_t *out, float *peaks, size_t count, size_t samples)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest whole number */
    for (size_t i = 0; i < count; i++, in += samples, out += samples) {
        int32_t top = 0; /* floats above 0 are in the order of their bits */
        for (size_t n = 0; n < samples; n++) {
            int32_t bits;
            memcpy(&bits, in + n, sizeof bits);
            bits &= 0x7fffffff;
            top = bits > top ? bits : top;
        }
        memcpy(peaks + i, &top, sizeof top);
        const float peak = top ? peaks[i] : 1.0f;
        for (size_t n = 0; n < samples; n++)
            out[n] = (int16_t)(int32_t)(in[n] / peak * 32767.0f + magic - magic);
    }
}
