/* x[0 ..], columns[0 ..] = the magnitudes |x[i]| above the threshold and their places, in
 * order; their number is returned. In place: nothing is written ahead of what was read.
 * Nothing is above NaN, and NaN is above nothing. */
#include "kernels_decl.h"

#if defined(SNN_REAL_F32)
#define ABS __builtin_fabsf
#else
#define ABS __builtin_fabs
#endif

#if defined(SNN_ISA_X86_64_V4)
/* Compressed in a register: compressing into memory is slow on some processors. */
INLINE int above_vector(real threshold, vec v, int64_t i, real *x, int32_t *columns)
{
#if defined(SNN_REAL_F32)
    const __m512 magnitude = _mm512_abs_ps((__m512)v);
    const __mmask16 found =
        _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(threshold), _CMP_GT_OQ);
    const __m512i place =
        _mm512_add_epi32(_mm512_set1_epi32((int)i),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_ps(x, _mm512_maskz_compress_ps(found, magnitude));
    _mm512_storeu_si512(columns, _mm512_maskz_compress_epi32(found, place));
#else
    const __m512d magnitude = _mm512_abs_pd((__m512d)v);
    const __mmask8 found =
        _mm512_cmp_pd_mask(magnitude, _mm512_set1_pd(threshold), _CMP_GT_OQ);
    const __m256i place = _mm256_add_epi32(_mm256_set1_epi32((int)i),
                                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    _mm512_storeu_pd(x, _mm512_maskz_compress_pd(found, magnitude));
    _mm256_storeu_si256((__m256i *)columns, _mm256_maskz_compress_epi32(found, place));
#endif
    return __builtin_popcount(found);
}
#endif

int64_t KERNEL(above)(int64_t n, real threshold, real *x, int32_t *columns)
{
    int64_t i = 0, found = 0;
#if defined(SNN_ISA_X86_64_V4)
    for (; i + LANES <= n; i += LANES)
        found += above_vector(threshold, load_any(x + i), i, x + found, columns + found);
#endif
    for (; i < n; i++) {
        const real magnitude = ABS(x[i]);
        x[found] = magnitude;
        columns[found] = (int32_t)i;
        found += magnitude > threshold;
    }
    return found;
}
