/* Vectors of real for the instruction set that this file is compiled for, written with
 * the vector extensions of GCC and Clang. */
#ifndef SNN_SIMD_H
#define SNN_SIMD_H

#include <string.h>

#include "kernels.h"

#if defined(SNN_ISA_X86_64_V4)
#define VECTOR_BYTES 64
#define MAX_VECTORS 4
#elif defined(SNN_ISA_X86_64_V3)
#define VECTOR_BYTES 32
#define MAX_VECTORS 8
#else
#define VECTOR_BYTES 16
#define MAX_VECTORS 8
#endif

#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
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
INLINE vec splat(real a) { return (vec){0} + a; }
/* max(v, 0) that keeps NaN */
INLINE vec relu_vec(vec v)
{
    const vec zero = {0};
    const vec_mask negative = v < zero;
    return (vec)((vec_mask)v & ~negative);
}

/* Sum of the lanes of each of four vectors, in a fixed order. */
typedef real quad __attribute__((vector_size(4 * sizeof(real))));

#define HALF_BYTES(n) ((n) / 2)
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

/* Runs `body(nv, index_bytes, ...)` with both as constants, so that one always_inline
 * body becomes one loop per width and index type. */
#define WITH_INDEX(body, nv, index_bytes, ...)                                             \
    do {                                                                                   \
        if ((index_bytes) == 1)                                                            \
            body(nv, 1, __VA_ARGS__);                                                      \
        else if ((index_bytes) == 2)                                                       \
            body(nv, 2, __VA_ARGS__);                                                      \
        else                                                                               \
            body(nv, 4, __VA_ARGS__);                                                      \
    } while (0)

#if MAX_VECTORS > 4
#define WITH_WIDE_(body, nv, index_bytes, ...)                                             \
    case 6: WITH_INDEX(body, 6, index_bytes, __VA_ARGS__); break;                          \
    case 8: WITH_INDEX(body, 8, index_bytes, __VA_ARGS__); break;
#else
#define WITH_WIDE_(...)
#endif

/* Widths that exist: 1, 2, 3, 4, 6, 8; panel_vectors() rounds up to one of them. */
#define WITH_CONSTANTS(body, nv, index_bytes, ...)                                         \
    switch (nv) {                                                                          \
    case 1: WITH_INDEX(body, 1, index_bytes, __VA_ARGS__); break;                          \
    case 2: WITH_INDEX(body, 2, index_bytes, __VA_ARGS__); break;                          \
    case 3: WITH_INDEX(body, 3, index_bytes, __VA_ARGS__); break;                          \
    case 4: WITH_INDEX(body, 4, index_bytes, __VA_ARGS__); break;                          \
    WITH_WIDE_(body, nv, index_bytes, __VA_ARGS__)                                         \
    default: __builtin_unreachable();                                                      \
    }

#endif
