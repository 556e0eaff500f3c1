/* Random numbers by address: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3" (SC 2011). Nothing is stored between draws, so any
 * element can be drawn in any order, on any thread, again.
 *
 * Every draw is the same bits on every machine: integers, powers of two, and for the
 * normal a logarithm and a cosine made here from +, *, / and sqrt alone. This file is
 * compiled without contraction to fused multiply-adds for that reason. */
#include "sparsenn.h"

#include <math.h>

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

static inline void philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0,
                          uint32_t k1, uint32_t out[4]) {
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void snn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1], out);
}

/* The four words of one block of the stream. */
static inline void stream_block(const snn_stream *s, uint64_t block, uint32_t out[4]) {
    philox((uint32_t)block, (uint32_t)(block >> 32), s->step, s->purpose_layer,
           (uint32_t)s->seed, (uint32_t)(s->seed >> 32), out);
}

static inline uint64_t word64(const uint32_t words[4], int half) {
    return words[2 * half] | (uint64_t)words[2 * half + 1] << 32;
}

/* log(u) for u in (0, 1], within 2 ulp. u = 2^e m with m in [sqrt(1/2), sqrt(2)], and
 * log m = 2 artanh(t), t = (m - 1) / (m + 1), |t| < 0.1716. */
static inline double log_unit(double u) {
    union {
        double d;
        uint64_t i;
    } bits = {.d = u};
    /* 0x3FE6A09E667F3BCD is sqrt(1/2): subtracting it makes the exponent field e. */
    uint64_t shifted = bits.i - 0x3FE6A09E667F3BCDu;
    int32_t e = (int32_t)((int64_t)shifted >> 52);
    bits.i -= (uint64_t)(int64_t)e << 52;
    double m = bits.d;
    double t = (m - 1.0) / (m + 1.0);
    double s = t * t;
    double p = 1.0 / 23;
    p = p * s + 1.0 / 21;
    p = p * s + 1.0 / 19;
    p = p * s + 1.0 / 17;
    p = p * s + 1.0 / 15;
    p = p * s + 1.0 / 13;
    p = p * s + 1.0 / 11;
    p = p * s + 1.0 / 9;
    p = p * s + 1.0 / 7;
    p = p * s + 1.0 / 5;
    p = p * s + 1.0 / 3;
    double log_m = 2.0 * t + 2.0 * t * (s * p);
    return (double)e * 0.69314718055994530942 + log_m;
}

/* cos(2 pi u) for u in [0, 1): the nearest quarter turn is taken off exactly, then
 * Taylor's series on [-pi/4, pi/4]. */
static inline double cos_turn(double u) {
    int32_t quarter = (int32_t)(4.0 * u + 0.5);
    double x = (u - 0.25 * (double)quarter) * 6.28318530717958647693;
    double s = x * x;
    double c = -1.0 / 6402373705728000.0;
    c = c * s + 1.0 / 20922789888000.0;
    c = c * s - 1.0 / 87178291200.0;
    c = c * s + 1.0 / 479001600.0;
    c = c * s - 1.0 / 3628800.0;
    c = c * s + 1.0 / 40320.0;
    c = c * s - 1.0 / 720.0;
    c = c * s + 1.0 / 24.0;
    c = c * s - 0.5;
    c = c * s + 1.0;
    double d = 1.0 / 355687428096000.0;
    d = d * s - 1.0 / 1307674368000.0;
    d = d * s + 1.0 / 6227020800.0;
    d = d * s - 1.0 / 39916800.0;
    d = d * s + 1.0 / 362880.0;
    d = d * s - 1.0 / 5040.0;
    d = d * s + 1.0 / 120.0;
    d = d * s - 1.0 / 6.0;
    d = (d * s) * x + x;
    /* Quarter turns 0, 1, 2, 3, 4 make it cos x, -sin x, -cos x, sin x, cos x. */
    double value = (quarter & 1) ? d : c;
    return ((quarter + 1) & 2) ? -value : value;
}

/* Box and Muller (1958), one of the pair, so that an element needs one block. */
static inline double normal_element(const snn_stream *s, uint64_t element) {
    uint32_t words[4];
    stream_block(s, element, words);
    double u1 = (double)(int64_t)((word64(words, 0) >> 11) + 1) * 0x1p-53; /* (0, 1] */
    double u2 = (double)(int64_t)(word64(words, 1) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log_unit(u1)) * cos_turn(u2);
}

static inline uint64_t uniform_word(const snn_stream *s, uint64_t element) {
    uint32_t words[4];
    stream_block(s, element / 2, words);
    return word64(words, (int)(element % 2));
}

#define ELEMENT(i) ((uint64_t)(elements ? elements[i] : first + (i)))

void snn_random_bits(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                     uint32_t *restrict out) {
    uint32_t words[4];
    uint64_t have = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t element = ELEMENT(i);
        if (i == 0 || element / 4 != have) {
            have = element / 4;
            stream_block(s, have, words);
        }
        out[i] = words[element % 4];
    }
}

void snn_random_uniform_f32(const snn_stream *s, int64_t first, const int64_t *elements,
                            int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(int32_t)(uniform_word(s, ELEMENT(i)) >> 40) * 0x1p-24f;
}

void snn_random_uniform_f64(const snn_stream *s, int64_t first, const int64_t *elements,
                            int64_t n, double *restrict out) {
    for (int64_t i = 0; i < n; i++)
        out[i] = (double)(int64_t)(uniform_word(s, ELEMENT(i)) >> 11) * 0x1p-53;
}

void snn_random_normal_f32(const snn_stream *s, int64_t first, const int64_t *elements,
                           int64_t n, float *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)normal_element(s, ELEMENT(i));
}

void snn_random_normal_f64(const snn_stream *s, int64_t first, const int64_t *elements,
                           int64_t n, double *restrict out) {
    for (int64_t i = 0; i < n; i++) out[i] = normal_element(s, ELEMENT(i));
}
