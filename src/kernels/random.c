/* out[i] = element first + i of a stream, or element elements[i] where they are listed:
 * bits, uniform (span u + low) scale with u in [0, 1), normal z scale.
 *
 * A step makes a few vectors of blocks. Steps that the caller wants whole go straight to
 * their place; others into a few words beside it, of which a part is taken. */
#include "kernels_decl.h"

#include "draws.h"

/* One copy of each step: long ones take a compiler long. */
#define NOINLINE __attribute__((noinline))

/* Element numbers of one step, from a list. */
INLINE void take_elements(const int64_t *elements, wide e[GROUPS])
{
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < WIDE; i++)
            e[g][i] = (uint64_t)elements[g * WIDE + i];
}

/* Calls step(elements, out) for a list; the last step reads what is left and zeros. */
#define FOR_ELEMENTS(type, step)                                                           \
    do {                                                                                   \
        for (; n >= BLOCKS; n -= BLOCKS, elements += BLOCKS, out += BLOCKS)                \
            step(elements, out);                                                           \
        if (n > 0) {                                                                       \
            int64_t rest[BLOCKS] = {0};                                                    \
            type made[BLOCKS];                                                             \
            memcpy(rest, elements, (size_t)n * sizeof *rest);                              \
            step(rest, made);                                                              \
            memcpy(out, made, (size_t)n * sizeof *out);                                    \
        }                                                                                  \
    } while (0)

/* Calls step(block, out) for the blocks of a range, per_block elements each. */
#define FOR_RANGE(type, per_block, step)                                                   \
    do {                                                                                   \
        while (n > 0) {                                                                    \
            const uint64_t block = (uint64_t)first / per_block;                            \
            const int64_t skipped = first % per_block;                                     \
            int64_t taken = BLOCKS * per_block - skipped;                                  \
            if (skipped == 0 && n >= taken) {                                              \
                step(block, out);                                                          \
            } else {                                                                       \
                type made[BLOCKS * per_block];                                             \
                step(block, made);                                                         \
                taken = taken < n ? taken : n;                                             \
                memcpy(out, made + skipped, (size_t)taken * sizeof *out);                  \
            }                                                                              \
            n -= taken;                                                                    \
            first += taken;                                                                \
            out += taken;                                                                  \
        }                                                                                  \
    } while (0)

/* ------------------------------------------------------------------ bits */

static NOINLINE void bits_range(const keys *k, uint64_t block, uint32_t *out)
{
    words b;
    draw_from(k, block, &b);
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < WIDE; i++)
            for (int j = 0; j < 4; j++)
                out[4 * (g * WIDE + i) + j] = (uint32_t)b.w[j][g][i];
}

static NOINLINE void bits_listed(const keys *k, const int64_t *elements, uint32_t *out)
{
    words b;
    wide e[GROUPS], block[GROUPS];
    take_elements(elements, e);
    for (int g = 0; g < GROUPS; g++)
        block[g] = e[g] >> 2;
    draw_blocks(k, block, &b);
    for (int g = 0; g < GROUPS; g++)
        for (int i = 0; i < WIDE; i++)
            out[g * WIDE + i] = (uint32_t)b.w[e[g][i] & 3][g][i];
}

void KERNEL(bits)(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                  uint32_t *restrict out)
{
    keys k;
    set_keys(s, &k);
#define RANGE(block, to) bits_range(&k, block, to)
#define LISTED(from, to) bits_listed(&k, from, to)
    if (elements)
        FOR_ELEMENTS(uint32_t, LISTED);
    else
        FOR_RANGE(uint32_t, 4, RANGE);
#undef RANGE
#undef LISTED
}

/* ------------------------------------------------------------------ uniform */

/* A uniform u in [0, 1) becomes (span u + low) scale, rounded after each operation. */
typedef struct affine {
    real span, low, scale;
} affine;

static NOINLINE void uniform_range(const keys *k, affine a, uint64_t block, real *out)
{
    words b;
    draw_from(k, block, &b);
    for (int g = 0; g < GROUPS; g++) {
        real *to = out + g * 2 * WIDE;
#if defined(SNN_REAL_F32)
        /* The two elements of a block, side by side as they are stored. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        const wide pair = b.w[1][g] << 32 | (b.w[3][g] & LOW_HALF);
#else
        const wide pair = b.w[3][g] << 32 | (b.w[1][g] & LOW_HALF);
#endif
        typedef uint32_t narrow __attribute__((vector_size(VECTOR_BYTES)));
        const vec_mask top = (vec_mask)((narrow)pair >> 8);
        const vec u = __builtin_convertvector(top, vec) * 0x1p-24f;
        store_any(to, (u * a.span + a.low) * a.scale);
#else
        twice u[2];
        u[0] = top53(b.w[1][g], b.w[0][g]) * 0x1p-53;
        u[1] = top53(b.w[3][g], b.w[2][g]) * 0x1p-53;
        for (int j = 0; j < 2; j++) {
            u[j] = (u[j] * a.span + a.low) * a.scale;
            for (int i = 0; i < WIDE; i++)
                to[2 * i + j] = u[j][i];
        }
#endif
    }
}

INLINE void store_reals(real *to, twice v)
{
#if defined(SNN_REAL_F32)
    const half narrow = __builtin_convertvector(v, half);
    memcpy(to, &narrow, sizeof narrow);
#else
    store_any(to, v);
#endif
}

static NOINLINE void uniform_listed(const keys *k, affine a, const int64_t *elements, real *out)
{
    words b;
    wide e[GROUPS], block[GROUPS];
    take_elements(elements, e);
    for (int g = 0; g < GROUPS; g++)
        block[g] = e[g] >> 1;
    draw_blocks(k, block, &b);
    for (int g = 0; g < GROUPS; g++) {
        const wide second = 0 - (e[g] & 1);
        const wide high = (b.w[1][g] & ~second) | (b.w[3][g] & second);
        real u[WIDE];
#if defined(SNN_REAL_F32)
        store_reals(u, top24(high) * 0x1p-24);
#else
        const wide low = (b.w[0][g] & ~second) | (b.w[2][g] & second);
        store_reals(u, top53(high, low) * 0x1p-53);
#endif
        for (int i = 0; i < WIDE; i++)
            out[g * WIDE + i] = (u[i] * a.span + a.low) * a.scale;
    }
}

void KERNEL(uniform)(const snn_stream *s, real span, real low, real scale, int64_t first,
                     const int64_t *elements, int64_t n, real *restrict out)
{
    const affine a = {span, low, scale};
    keys k;
    set_keys(s, &k);
#define RANGE(block, to) uniform_range(&k, a, block, to)
#define LISTED(from, to) uniform_listed(&k, a, from, to)
    if (elements)
        FOR_ELEMENTS(real, LISTED);
    else
        FOR_RANGE(real, 2, RANGE);
#undef RANGE
#undef LISTED
}

/* ------------------------------------------------------------------ normal */

INLINE void normals(const words *b, real scale, real *out)
{
    twice z[GROUPS];
    normals_of(b, z);
    for (int g = 0; g < GROUPS; g++)
        store_reals(out + g * WIDE, z[g]);
    for (int i = 0; i < BLOCKS; i++)
        out[i] *= scale;
}

static NOINLINE void normal_range(const keys *k, real scale, uint64_t block, real *out)
{
    words b;
    draw_from(k, block, &b);
    normals(&b, scale, out);
}

static NOINLINE void normal_listed(const keys *k, real scale, const int64_t *elements, real *out)
{
    words b;
    wide e[GROUPS];
    take_elements(elements, e);
    draw_blocks(k, e, &b);
    normals(&b, scale, out);
}

void KERNEL(normal)(const snn_stream *s, real scale, int64_t first,
                    const int64_t *elements, int64_t n, real *restrict out)
{
    keys k;
    set_keys(s, &k);
#define RANGE(block, to) normal_range(&k, scale, block, to)
#define LISTED(from, to) normal_listed(&k, scale, from, to)
    if (elements)
        FOR_ELEMENTS(real, LISTED);
    else
        FOR_RANGE(real, 1, RANGE);
#undef RANGE
#undef LISTED
}
