/* What is large in a row: scores, and those above a threshold. */
#include "kernels_decl.h"

#include <float.h>

#if defined(SNN_REAL_F32)
#define ABS __builtin_fabsf
#define LARGEST FLT_MAX
#else
#define ABS __builtin_fabs
#define LARGEST DBL_MAX
#endif

enum { SKIPPED = 4 }; /* vectors */

#if defined(SNN_ISA_X86_64_V4)
/* Compressed in a register: compressing into memory is slow on some processors. */
INLINE int above_vector(real threshold, int magnitude, vec v, int64_t i, real *x, int32_t *columns)
{
#if defined(SNN_REAL_F32)
    const __m512 size = magnitude ? _mm512_abs_ps((__m512)v) : (__m512)v;
    const __mmask16 found =
        _mm512_cmp_ps_mask(size, _mm512_set1_ps(threshold), _CMP_GT_OQ);
    const __m512i place =
        _mm512_add_epi32(_mm512_set1_epi32((int)i),
                         _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    _mm512_storeu_ps(x, _mm512_maskz_compress_ps(found, size));
    _mm512_storeu_si512(columns, _mm512_maskz_compress_epi32(found, place));
#else
    const __m512d size = magnitude ? _mm512_abs_pd((__m512d)v) : (__m512d)v;
    const __mmask8 found =
        _mm512_cmp_pd_mask(size, _mm512_set1_pd(threshold), _CMP_GT_OQ);
    const __m256i place = _mm256_add_epi32(_mm256_set1_epi32((int)i),
                                           _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    _mm512_storeu_pd(x, _mm512_maskz_compress_pd(found, size));
    _mm256_storeu_si256((__m256i *)columns, _mm256_maskz_compress_epi32(found, place));
#endif
    return __builtin_popcount(found);
}
#endif

INLINE int64_t above_one(real threshold, int magnitude, int64_t i, int64_t found, real *x,
                         int32_t *columns)
{
    const real size = magnitude ? ABS(x[i]) : x[i];
    x[found] = size;
    columns[found] = (int32_t)i;
    return found + (size > threshold);
}

#if !defined(SNN_ISA_X86_64_V4)
/* Whether some vectors hold anything above; mostly they do not. */
INLINE int above_any(real threshold, int magnitude, const real *x)
{
    vec_mask some = {0};
    for (int v = 0; v < SKIPPED; v++) {
        vec size = load_any(x + v * LANES);
        if (magnitude)
            size = (vec)((vec_mask)size & ~(vec_mask)splat(-(real)0));
        some |= size > splat(threshold);
    }
    return any(some);
}
#endif

/* x[0 ..], columns[0 ..] = the x[i], or magnitudes |x[i]|, above the threshold and their
 * places, in order; their number is returned. In place: nothing is written ahead of what
 * was read. Nothing is above NaN, and NaN is above nothing. */
int64_t KERNEL(above)(int64_t n, real threshold, int magnitude, real *x, int32_t *columns)
{
    int64_t i = 0, found = 0;
#if defined(SNN_ISA_X86_64_V4)
    for (; i + LANES <= n; i += LANES)
        found += above_vector(threshold, magnitude, load_any(x + i), i, x + found,
                              columns + found);
#else
    for (; i + SKIPPED * LANES <= n; i += SKIPPED * LANES)
        if (above_any(threshold, magnitude, x + i))
            for (int64_t j = i; j < i + SKIPPED * LANES; j++)
                found = above_one(threshold, magnitude, j, found, x, columns);
#endif
    for (; i < n; i++)
        found = above_one(threshold, magnitude, i, found, x, columns);
    return found;
}

/* x[i] = w[i] x[i] (w NULL: x[i]), its magnitude, or its negative; whether all are finite. */
INLINE int score_row(const int kind, int64_t n, const real *restrict w, real *restrict x)
{
    real_int wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        real v = w ? w[i] * x[i] : x[i];
        if (kind == SNN_MAGNITUDE)
            v = ABS(v);
        else if (kind == SNN_NEGATIVE)
            v = -v;
        x[i] = v;
        wrong |= !(ABS(v) <= LARGEST);
    }
    return !wrong;
}

int KERNEL(score)(int64_t n, int kind, const real *restrict w, real *restrict x)
{
    if (kind == SNN_MAGNITUDE)
        return w ? score_row(SNN_MAGNITUDE, n, w, x) : score_row(SNN_MAGNITUDE, n, NULL, x);
    if (kind == SNN_NEGATIVE)
        return w ? score_row(SNN_NEGATIVE, n, w, x) : score_row(SNN_NEGATIVE, n, NULL, x);
    return w ? score_row(SNN_VALUE, n, w, x) : score_row(SNN_VALUE, n, NULL, x);
}
