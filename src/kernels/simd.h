/* Vectors of real for the instruction set that this file is compiled for, written with
 * the vector extensions of GCC and Clang. */
#ifndef SNN_SIMD_H
#define SNN_SIMD_H

#include <string.h>

#include "kernels.h"

#if defined(SNN_ISA_X86_64_V4)
#define VECTOR_BYTES 64
#elif defined(SNN_ISA_X86_64_V3)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(SNN_REAL_F32)
#define LANE_COUNT (VECTOR_BYTES / 4)
#else
#define LANE_COUNT (VECTOR_BYTES / 8)
#endif

enum {
    LANES = LANE_COUNT,
    MAX_VECTORS = 8 /* of a panel: as many accumulators, and room beside them */
};

#define INLINE static inline __attribute__((always_inline))

#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
/* Name of a kernel: unique per instruction set and real type. */
#define KERNEL(name) PASTE(SNN_REAL(snn_k_##name), SNN_ISA)

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real vec_any __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real))));
typedef real_int vec_mask __attribute__((vector_size(VECTOR_BYTES)));

INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE vec load_any(const real *p) { return *(const vec_any *)p; }
INLINE void store(real *p, vec v) { *(vec *)p = v; }
INLINE void store_any(real *p, vec v) { *(vec_any *)p = v; }
/* a in every lane; minus zero, which unlike plus zero changes no bits and costs nothing */
INLINE vec splat(real a) { return a - (vec){0}; }

/* Keeps a value that is used twice in a register: compilers would rather load it twice. */
#if defined(SNN_ISA_X86_64_V4)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#elif defined(__x86_64__)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#elif defined(__aarch64__)
#define IN_REGISTER(v) __asm__("" : "+w"(v))
#else
#define IN_REGISTER(v) (void)0
#endif

/* The first n <= LANES reals at p, zeros after them; nothing beyond is touched. */
INLINE vec load_part(const real *p, int n)
{
#if defined(SNN_ISA_X86_64_V4) && defined(SNN_REAL_F32)
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(SNN_ISA_X86_64_V4)
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
    real a[LANES] = {0};
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return load_any(a);
#endif
}

INLINE void store_part(real *p, vec v, int n)
{
#if defined(SNN_ISA_X86_64_V4) && defined(SNN_REAL_F32)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif defined(SNN_ISA_X86_64_V4)
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
    real a[LANES];
    store_any(a, v);
    for (int i = 0; i < n; i++)
        p[i] = a[i];
#endif
}

/* Whether a comparison holds in any lane. */
INLINE int any(vec_mask m)
{
#if defined(SNN_ISA_X86_64_V4)
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m) != 0;
#elif defined(SNN_ISA_X86_64_V3)
    return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#elif defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)m) != 0;
#elif defined(__aarch64__)
    return vmaxvq_u32((uint32x4_t)m) != 0;
#else
    real_int found = 0;
    for (int i = 0; i < LANES; i++)
        found |= m[i];
    return found != 0;
#endif
}

/* A row of a panel in memory: nv vectors, of which the last holds `last` reals. */
INLINE void load_row(const int nv, vec *to, const real *from, int last)
{
    for (int v = 0; v < nv - 1; v++)
        to[v] = load_any(from + v * LANES);
    const real *end = from + (nv - 1) * LANES;
    to[nv - 1] = last == LANES ? load_any(end) : load_part(end, last);
}

INLINE void store_row(const int nv, real *to, const vec *from, int last)
{
    for (int v = 0; v < nv - 1; v++)
        store_any(to + v * LANES, from[v]);
    real *end = to + (nv - 1) * LANES;
    if (last == LANES)
        store_any(end, from[nv - 1]);
    else
        store_part(end, from[nv - 1], last);
}

/* max(v, 0) that keeps NaN */
INLINE vec relu_vec(vec v)
{
    const vec zero = {0};
    const vec_mask negative = v < zero;
    return (vec)((vec_mask)v & ~negative);
}

/* Sums of lanes, LANES vectors at a time. `fold` with distance h adds lanes i and i ^ h of
 * both a and b, and keeps a's sums where bit h of the lane is clear, b's where it is set;
 * after a fold for every bit, lane i holds the sum of vector i. Each sum is the same tree
 * whichever vector of the group it belongs to. */
#define CROSS(h, i) (((i) & (h)) ? LANES + ((i) ^ (h)) : ((i) | (h)))
#define SELECT(h, i) (((i) & (h)) ? LANES + (i) : (i))
#if LANE_COUNT == 16
#define EACH(f, h)                                                                         \
    f(h, 0), f(h, 1), f(h, 2), f(h, 3), f(h, 4), f(h, 5), f(h, 6), f(h, 7), f(h, 8),       \
        f(h, 9), f(h, 10), f(h, 11), f(h, 12), f(h, 13), f(h, 14), f(h, 15)
#elif LANE_COUNT == 8
#define EACH(f, h)                                                                         \
    f(h, 0), f(h, 1), f(h, 2), f(h, 3), f(h, 4), f(h, 5), f(h, 6), f(h, 7)
#elif LANE_COUNT == 4
#define EACH(f, h) f(h, 0), f(h, 1), f(h, 2), f(h, 3)
#else
#define EACH(f, h) f(h, 0), f(h, 1)
#endif

#if defined(__clang__)
#define SHUFFLE(f, h, a, b) __builtin_shufflevector(a, b, EACH(f, h))
#else
#define SHUFFLE(f, h, a, b) __builtin_shuffle(a, b, (vec_mask){EACH(f, h)})
#endif
#define FOLD(h, a, b) (SHUFFLE(CROSS, h, a, b) + SHUFFLE(SELECT, h, a, b))

/* Lane i of the result is the sum of s[i]'s lanes. */
INLINE vec lane_sums(const vec *s)
{
    vec t[LANES / 2];
    for (int i = 0; i < LANES / 2; i++)
        t[i] = FOLD(1, s[2 * i], s[2 * i + 1]);
#if LANE_COUNT >= 4
    for (int i = 0; i < LANES / 4; i++)
        t[i] = FOLD(2, t[2 * i], t[2 * i + 1]);
#endif
#if LANE_COUNT >= 8
    for (int i = 0; i < LANES / 8; i++)
        t[i] = FOLD(4, t[2 * i], t[2 * i + 1]);
#endif
#if LANE_COUNT >= 16
    t[0] = FOLD(8, t[0], t[1]);
#endif
    return t[0];
}

INLINE real lane_sum(vec v)
{
    real a[LANES];
    memcpy(a, &v, sizeof a);
    for (int n = LANES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            a[i] += a[i + n];
    return a[0];
}

INLINE int64_t column(const void *columns, int index_bytes, int64_t k)
{
    if (index_bytes == 1)
        return ((const uint8_t *)columns)[k];
    if (index_bytes == 2)
        return ((const uint16_t *)columns)[k];
    return ((const int32_t *)columns)[k];
}

/* Runs `body(index_bytes, ...)` or `body(nv, ...)` with a constant, so that one
 * always_inline body becomes one loop per index type or width. */
#define WITH_INDEX(index_bytes, body, ...)                                                 \
    do {                                                                                   \
        if ((index_bytes) == 1)                                                            \
            body(1, __VA_ARGS__);                                                          \
        else if ((index_bytes) == 2)                                                       \
            body(2, __VA_ARGS__);                                                          \
        else                                                                               \
            body(4, __VA_ARGS__);                                                          \
    } while (0)

/* The widths that exist: panel_at() cuts no others. */
#define WITH_WIDTH(nv, body, ...)                                                          \
    switch (nv) {                                                                          \
    case 1: body(1, __VA_ARGS__); break;                                                   \
    case 2: body(2, __VA_ARGS__); break;                                                   \
    case 3: body(3, __VA_ARGS__); break;                                                   \
    case 4: body(4, __VA_ARGS__); break;                                                   \
    case 8: body(8, __VA_ARGS__); break;                                                   \
    default: __builtin_unreachable();                                                      \
    }

#endif
