/* Blocks of random words and what is made of them, in vectors: Philox4x32-10 of Salmon,
 * Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 *
 * Draws are the same bits on every machine: integers, powers of two, and for the normal a
 * logarithm and a cosine made here from +, *, / and sqrt alone. Whatever includes this
 * file is compiled without contraction to fused multiply-adds for that reason.
 *
 * A vector lane holds 64 bits. A word of a block is the low half of its lane, and what is
 * in the high half is of no use until it is masked off: products of 32 bits by 32 read
 * the low halves alone, and so nothing has to be unpacked from round to round. */
#ifndef SNN_DRAWS_H
#define SNN_DRAWS_H

#include "../philox.h"
#include "simd.h"

#define WIDE_COUNT (VECTOR_BYTES / 8)
/* Independent vectors that hide the latency of one another; of the rounds two at a time,
 * which is what fits in registers. */
#define GROUPS 4
#define EACH_GROUP _Pragma("GCC unroll 4") for (int g = 0; g < GROUPS; g++)

typedef uint64_t wide __attribute__((vector_size(VECTOR_BYTES)));
typedef double twice __attribute__((vector_size(VECTOR_BYTES)));
typedef float half __attribute__((vector_size(VECTOR_BYTES / 2)));

enum { WIDE = WIDE_COUNT, BLOCKS = GROUPS * WIDE_COUNT };

#define LOW_HALF 0xFFFFFFFFu

INLINE wide splat_wide(uint64_t a) { return a + (wide){0}; }
INLINE twice splat_twice(double a) { return a - (twice){0}; }

/* The first numbers of a vector, from 0. */
INLINE wide ascending(void)
{
    wide v;
    for (int i = 0; i < WIDE; i++)
        v[i] = (uint64_t)i;
    return v;
}

/* Low halves times m. */
INLINE wide product(wide a, uint32_t m)
{
#if defined(SNN_ISA_X86_64_V4)
    return (wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(m));
#elif defined(SNN_ISA_X86_64_V3)
    return (wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(m));
#elif defined(__SSE2__)
    return (wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(m));
#elif defined(__aarch64__)
    return (wide)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(m));
#else
    return (a & LOW_HALF) * (uint64_t)m;
#endif
}

INLINE twice root(twice a)
{
#if defined(SNN_ISA_X86_64_V4)
    return (twice)_mm512_sqrt_pd((__m512d)a);
#elif defined(SNN_ISA_X86_64_V3)
    return (twice)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__)
    return (twice)_mm_sqrt_pd((__m128d)a);
#elif defined(__aarch64__)
    return (twice)vsqrtq_f64((float64x2_t)a);
#else
    for (int i = 0; i < WIDE; i++)
        a[i] = __builtin_sqrt(a[i]);
    return a;
#endif
}

/* The key of each round in every lane, and the two words that all counters share. */
typedef struct keys {
    wide k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];
    wide step, purpose_layer;
} keys;

INLINE void set_keys(const snn_stream *s, keys *k)
{
    uint32_t k0 = (uint32_t)s->seed, k1 = (uint32_t)(s->seed >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        k->k0[round] = splat_wide(k0);
        k->k1[round] = splat_wide(k1);
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    k->step = splat_wide(s->step);
    k->purpose_layer = splat_wide(s->purpose_layer);
}

/* w[j][g] = word j of the blocks in group g. */
typedef struct words {
    wide w[4][GROUPS];
} words;

INLINE void draw_blocks(const keys *k, const wide block[GROUPS], words *out)
{
    for (int pair = 0; pair < GROUPS; pair += 2) {
        wide w[4][2];
        for (int g = 0; g < 2; g++) {
            w[0][g] = block[pair + g];
            w[1][g] = block[pair + g] >> 32;
            w[2][g] = k->step;
            w[3][g] = k->purpose_layer;
        }
#pragma GCC unroll 10
        for (int round = 0; round < PHILOX_ROUNDS; round++)
#pragma GCC unroll 2
            for (int g = 0; g < 2; g++) {
                const wide p0 = product(w[0][g], PHILOX_M0);
                const wide p1 = product(w[2][g], PHILOX_M1);
                w[0][g] = (p1 >> 32) ^ (w[1][g] ^ k->k0[round]);
                w[1][g] = p1;
                w[2][g] = (p0 >> 32) ^ (w[3][g] ^ k->k1[round]);
                w[3][g] = p0;
            }
        for (int j = 0; j < 4; j++)
            for (int g = 0; g < 2; g++)
                out->w[j][pair + g] = w[j][g];
    }
}

/* Consecutive blocks. */
INLINE void draw_from(const keys *k, uint64_t first, words *out)
{
    wide block[GROUPS];
    for (int g = 0; g < GROUPS; g++)
        block[g] = splat_wide(first + (uint64_t)(g * WIDE)) + ascending();
    draw_blocks(k, block, out);
}

/* An integer below 2^32 is exact in the low bits of 2^52, and one times 2^32 in those of
 * 2^84; so no conversion is needed, which few instruction sets have. */
#define TWO52 0x4330000000000000u
#define TWO84 0x4530000000000000u

/* The 53 top bits of the 64-bit word (high, low) as an integer. */
INLINE twice top53(wide high, wide low)
{
    const wide top = (high << 32 | (low & LOW_HALF)) >> 11;
    const twice upper = (twice)(top >> 32 | TWO84) - (0x1p84 + 0x1p52);
    return upper + (twice)((top & LOW_HALF) | TWO52);
}

/* The 24 top bits of a word as an integer. */
INLINE twice top24(wide word)
{
    return (twice)((word & LOW_HALF) >> 8 | TWO52) - 0x1p52;
}

/* p = a[0] s + a[1], p s + a[2], ... */
#define HORNER(p, s, ...)                                                                  \
    do {                                                                                   \
        static const double a_[] = {__VA_ARGS__};                                          \
        EACH_GROUP p[g] = splat_twice(a_[0]);                                              \
        _Pragma("GCC unroll 10") for (size_t i_ = 1; i_ < sizeof a_ / sizeof *a_; i_++)    \
            EACH_GROUP p[g] = p[g] * s[g] + a_[i_];                                        \
    } while (0)

/* log(u) for u in (0, 1], within 2 ulp. u = 2^e m with m in [sqrt(1/2), sqrt(2)), and
 * log m = 2 artanh(t), t = (m - 1) / (m + 1), |t| < 0.1716. */
INLINE void log_unit(const twice u[GROUPS], twice out[GROUPS])
{
    twice e[GROUPS], t[GROUPS], s[GROUPS], p[GROUPS];
    EACH_GROUP {
        /* The exponent field of u / sqrt(1/2), 1024 higher so that it stays positive. */
        const wide raised =
            ((wide)u[g] - 0x3FE6A09E667F3BCDu + ((uint64_t)1024 << 52)) >> 52;
        const twice m = (twice)((wide)u[g] - ((raised - 1024) << 52));
        e[g] = (twice)(raised | TWO52) - (0x1p52 + 1024);
        t[g] = (m - 1.0) / (m + 1.0);
        s[g] = t[g] * t[g];
    }
    HORNER(p, s, 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
           1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3);
    EACH_GROUP {
        const twice log_m = 2.0 * t[g] + 2.0 * t[g] * (s[g] * p[g]);
        out[g] = e[g] * 0.69314718055994530942 + log_m;
    }
}

/* cos(2 pi u) for u in [0, 1): the nearest quarter turn is taken off exactly, then
 * Taylor's series on [-pi/4, pi/4]. */
INLINE void cos_turn(const twice u[GROUPS], twice out[GROUPS])
{
    wide quarter[GROUPS];
    twice x[GROUPS], s[GROUPS], c[GROUPS], d[GROUPS];
    EACH_GROUP {
        /* rounds 4 u; its low bits are the quarters */
        const twice shifted = 4.0 * u[g] + 0x1.8p52;
        quarter[g] = (wide)shifted;
        x[g] = (u[g] - 0.25 * (shifted - 0x1.8p52)) * 6.28318530717958647693;
        s[g] = x[g] * x[g];
    }
    HORNER(c, s, -1.0 / 6402373705728000.0, 1.0 / 20922789888000.0, -1.0 / 87178291200.0,
           1.0 / 479001600.0, -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0,
           -0.5, 1.0);
    HORNER(d, s, 1.0 / 355687428096000.0, -1.0 / 1307674368000.0, 1.0 / 6227020800.0,
           -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0);
    EACH_GROUP {
        /* Quarter turns 0, 1, 2, 3, 4 make it cos x, -sin x, -cos x, sin x, cos x. */
        const twice sine = (d[g] * s[g]) * x[g] + x[g];
        const wide odd = 0 - (quarter[g] & 1);
        const wide sign = ((quarter[g] + 1) & 2) << 62;
        out[g] = (twice)((((wide)sine & odd) | ((wide)c[g] & ~odd)) ^ sign);
    }
}

/* One normal of each block: Box and Muller (1958), one of the pair. */
INLINE void normals_of(const words *b, twice z[GROUPS])
{
    twice u[GROUPS], turn[GROUPS], log_u[GROUPS];
    EACH_GROUP {
        u[g] = (top53(b->w[1][g], b->w[0][g]) + 1.0) * 0x1p-53; /* (0, 1] */
        turn[g] = top53(b->w[3][g], b->w[2][g]) * 0x1p-53;
    }
    log_unit(u, log_u);
    cos_turn(turn, z);
    EACH_GROUP z[g] = root(-2.0 * log_u[g]) * z[g];
}

#endif
