/* Random numbers by address: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel
 * random numbers: as easy as 1, 2, 3" (SC 2011). Nothing is stored between draws, so any
 * element can be drawn in any order, on any thread, again.
 *
 * Every draw is the same bits on every machine: integers, powers of two, and for the
 * normal a logarithm and a cosine made here from +, *, / and sqrt alone. This file is
 * compiled without contraction to fused multiply-adds for that reason.
 *
 * Blocks are drawn LANES at a time, with loops over lanes that a compiler can vectorise:
 * no branches, and only conversions that the smallest instruction sets have. */
#include "sparsenn.h"

#include <math.h>
#include <string.h>

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

#define LANES 64

/* Word j of the block in lane i is w[j][i]. */
typedef struct words {
    uint32_t w[4][LANES];
} words;

/* The ten rounds, in place on counters. */
static void philox(int n_lanes, uint32_t k0, uint32_t k1, words *restrict c) {
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < n_lanes; i++) {
            uint64_t p0 = (uint64_t)PHILOX_M0 * c->w[0][i];
            uint64_t p1 = (uint64_t)PHILOX_M1 * c->w[2][i];
            uint32_t w0 = (uint32_t)(p1 >> 32) ^ c->w[1][i] ^ k0;
            uint32_t w2 = (uint32_t)(p0 >> 32) ^ c->w[3][i] ^ k1;
            c->w[0][i] = w0;
            c->w[1][i] = (uint32_t)p1;
            c->w[2][i] = w2;
            c->w[3][i] = (uint32_t)p0;
        }
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
}

void snn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    words c;
    for (int j = 0; j < 4; j++) c.w[j][0] = counter[j];
    philox(1, key[0], key[1], &c);
    for (int j = 0; j < 4; j++) out[j] = c.w[j][0];
}

/* The next elements of a draw. */
typedef struct cursor {
    const snn_stream *stream;
    int64_t next, end;       /* elements, or positions in the list of elements */
    const int64_t *elements; /* or NULL */
} cursor;

static cursor start(const snn_stream *s, int64_t first, const int64_t *elements,
                    int64_t n) {
    cursor c = {s, elements ? 0 : first, elements ? n : first + n, elements};
    return c;
}

/* Draws the blocks of the next elements, per_block to a block, and returns how many
 * elements these are; 0 at the end. Element i of them is part[i] of the block in lane[i].
 */
static inline __attribute__((always_inline)) int
advance(cursor *c, int per_block, words *restrict out, uint8_t lane[4 * LANES],
        uint8_t part[4 * LANES]) {
    int64_t left = c->end - c->next;
    uint64_t divisor = (uint64_t)per_block;
    uint64_t block[LANES];
    int n, n_blocks;
    if (c->elements) {
        n = n_blocks = left < LANES ? (int)left : LANES;
        for (int i = 0; i < n; i++) {
            uint64_t element = (uint64_t)c->elements[c->next + i];
            block[i] = element / divisor;
            lane[i] = (uint8_t)i;
            part[i] = (uint8_t)(element % divisor);
        }
    } else {
        uint64_t first = (uint64_t)c->next / divisor;
        int skipped = (int)((uint64_t)c->next % divisor);
        n = LANES * per_block - skipped;
        if (left < n) n = (int)left;
        n_blocks = (skipped + n + per_block - 1) / per_block;
        for (int i = 0; i < n_blocks; i++) block[i] = first + (uint64_t)i;
        for (int i = 0; i < n; i++) {
            lane[i] = (uint8_t)((skipped + i) / per_block);
            part[i] = (uint8_t)((skipped + i) % per_block);
        }
    }
    c->next += n;

    const snn_stream *s = c->stream;
    for (int i = 0; i < n_blocks; i++) {
        out->w[0][i] = (uint32_t)block[i];
        out->w[1][i] = (uint32_t)(block[i] >> 32);
        out->w[2][i] = s->step;
        out->w[3][i] = s->purpose_layer;
    }
    philox(n_blocks, (uint32_t)s->seed, (uint32_t)(s->seed >> 32), out);
    return n;
}

/* Whole blocks, without looking up where each element lies; returns how many words. */
static int64_t whole_blocks(const snn_stream *s, int64_t first, int64_t n,
                            uint32_t *restrict out) {
    int64_t done = 0;
    for (int n_blocks; (n_blocks = n - done < 4 * LANES ? (int)(n - done) / 4 : LANES) > 0;) {
        words c;
        const uint64_t block = (uint64_t)(first + done) / 4;
        for (int i = 0; i < n_blocks; i++) {
            c.w[0][i] = (uint32_t)(block + (uint64_t)i);
            c.w[1][i] = (uint32_t)((block + (uint64_t)i) >> 32);
            c.w[2][i] = s->step;
            c.w[3][i] = s->purpose_layer;
        }
        philox(n_blocks, (uint32_t)s->seed, (uint32_t)(s->seed >> 32), &c);
        for (int i = 0; i < n_blocks; i++)
            for (int j = 0; j < 4; j++) out[done + 4 * i + j] = c.w[j][i];
        done += 4 * n_blocks;
    }
    return done;
}

void snn_random_bits(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                     uint32_t *restrict out) {
    if (!elements && first % 4 == 0) {
        const int64_t done = whole_blocks(s, first, n, out);
        first += done;
        n -= done;
        out += done;
    }
    words block;
    uint8_t lane[4 * LANES], part[4 * LANES];
    cursor c = start(s, first, elements, n);
    for (int count; (count = advance(&c, 4, &block, lane, part)) > 0; out += count)
        for (int i = 0; i < count; i++) out[i] = block.w[part[i]][lane[i]];
}

/* The 53 top bits of the 64-bit word (high, low) as an integer. In two halves, because
 * vectors of 64-bit integers convert to double only on recent machines. */
static inline double top53(uint32_t high, uint32_t low) {
    double upper = (double)(int32_t)(high >> 11);
    uint32_t lower = high << 21 | low >> 11;
    return upper * 0x1p32 + ((double)(int32_t)(lower ^ 0x80000000u) + 0x1p31);
}

void snn_random_uniform_f32(const snn_stream *s, int64_t first, const int64_t *elements,
                            int64_t n, float *restrict out) {
    words block;
    uint8_t lane[4 * LANES], part[4 * LANES];
    cursor c = start(s, first, elements, n);
    for (int count; (count = advance(&c, 2, &block, lane, part)) > 0; out += count)
        for (int i = 0; i < count; i++) {
            uint32_t high = block.w[2 * part[i] + 1][lane[i]];
            out[i] = (float)(int32_t)(high >> 8) * 0x1p-24f;
        }
}

void snn_random_uniform_f64(const snn_stream *s, int64_t first, const int64_t *elements,
                            int64_t n, double *restrict out) {
    words block;
    uint8_t lane[4 * LANES], part[4 * LANES];
    cursor c = start(s, first, elements, n);
    for (int count; (count = advance(&c, 2, &block, lane, part)) > 0; out += count)
        for (int i = 0; i < count; i++) {
            int low = 2 * part[i];
            out[i] = top53(block.w[low + 1][lane[i]], block.w[low][lane[i]]) * 0x1p-53;
        }
}

static inline uint64_t bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* log(u) for u in (0, 1], within 2 ulp. u = 2^e m with m in [sqrt(1/2), sqrt(2)), and
 * log m = 2 artanh(t), t = (m - 1) / (m + 1), |t| < 0.1716. */
static inline double log_unit(double u) {
    /* The exponent field of u / sqrt(1/2), 1024 higher so that it stays positive. */
    uint64_t raised = (bits_of(u) - 0x3FE6A09E667F3BCDu + ((uint64_t)1024 << 52)) >> 52;
    double m = of_bits(bits_of(u) - ((raised - 1024) << 52));
    /* An integer below 2^52 in the low bits of 2^52. */
    double e = of_bits(raised | 0x4330000000000000u) - (0x1p52 + 1024);
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
    return e * 0.69314718055994530942 + log_m;
}

/* cos(2 pi u) for u in [0, 1): the nearest quarter turn is taken off exactly, then
 * Taylor's series on [-pi/4, pi/4]. */
static inline double cos_turn(double u) {
    double shifted = 4.0 * u + 0x1.8p52; /* rounds 4 u; its low bits are the quarters */
    uint64_t quarter = bits_of(shifted);
    double x = (u - 0.25 * (shifted - 0x1.8p52)) * 6.28318530717958647693;
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
    uint64_t odd = 0 - (quarter & 1);
    uint64_t sign = ((quarter + 1) & 2) << 62;
    return of_bits(((bits_of(d) & odd) | (bits_of(c) & ~odd)) ^ sign);
}

/* One normal of each block: Box and Muller (1958), one of the pair. */
static void normals(const words *restrict block, double z[restrict LANES]) {
    for (int i = 0; i < LANES; i++) {
        double u = (top53(block->w[1][i], block->w[0][i]) + 1.0) * 0x1p-53; /* (0, 1] */
        double turn = top53(block->w[3][i], block->w[2][i]) * 0x1p-53;
        z[i] = sqrt(-2.0 * log_unit(u)) * cos_turn(turn);
    }
}

void snn_random_normal_f32(const snn_stream *s, int64_t first, const int64_t *elements,
                           int64_t n, float *restrict out) {
    words block = {0};
    uint8_t lane[4 * LANES], part[4 * LANES];
    double z[LANES];
    cursor c = start(s, first, elements, n);
    for (int count; (count = advance(&c, 1, &block, lane, part)) > 0; out += count) {
        normals(&block, z);
        for (int i = 0; i < count; i++) out[i] = (float)z[i];
    }
}

void snn_random_normal_f64(const snn_stream *s, int64_t first, const int64_t *elements,
                           int64_t n, double *restrict out) {
    words block = {0};
    uint8_t lane[4 * LANES], part[4 * LANES];
    double z[LANES];
    cursor c = start(s, first, elements, n);
    for (int count; (count = advance(&c, 1, &block, lane, part)) > 0; out += count) {
        normals(&block, z);
        memcpy(out, z, (size_t)count * sizeof *out);
    }
}
