/* The k largest of n scores of one sample, exactly.
 *
 * Scores x[i] boost[i] become integer keys of the same order. The k-th largest key is
 * found by bisection, counting keys with vectors; the features of the winners are then
 * written in ascending order, in the same pass that finds them. */
#include "kernels_decl.h"

#if defined(SNN_REAL_F32)
#define INT_MIN_REAL INT32_MIN
#define INT_MAX_REAL INT32_MAX
#define SIGN_SHIFT 31
typedef uint32_t real_uint;
#else
#define INT_MIN_REAL INT64_MIN
#define INT_MAX_REAL INT64_MAX
#define SIGN_SHIFT 63
typedef uint64_t real_uint;
#endif

typedef real_int vec_int_any __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real))));

INLINE vec_mask keys_at(const real_int *keys, int64_t i)
{
    return *(const vec_int_any *)(keys + i);
}

/* Lanes of a comparison as bits. */
INLINE unsigned bits_of(vec_mask m)
{
#if defined(SNN_ISA_X86_64_V4) && defined(SNN_REAL_F32)
    return _mm512_movepi32_mask((__m512i)m);
#elif defined(SNN_ISA_X86_64_V4)
    return _mm512_movepi64_mask((__m512i)m);
#elif defined(__AVX__) && defined(SNN_REAL_F32)
    return (unsigned)_mm256_movemask_ps((__m256)m);
#elif defined(__AVX__)
    return (unsigned)_mm256_movemask_pd((__m256d)m);
#else
    unsigned bits = 0;
    for (int i = 0; i < LANES; i++)
        bits |= (unsigned)(m[i] & 1) << i;
    return bits;
#endif
}

/* Order of floats as order of integers: -0 equals 0, NaN is above all. */
INLINE vec_mask key_vec(vec x)
{
    const vec_mask bits = (vec_mask)(x + (vec){0}); /* -0 + 0 is 0 */
    const vec_mask key = bits ^ ((bits >> SIGN_SHIFT) & INT_MAX_REAL);
    const vec_mask number = x == x;
    return (key & number) | (INT_MAX_REAL & ~number);
}

INLINE vec_mask choose(vec_mask where, vec_mask a, vec_mask b)
{
    return (a & where) | (b & ~where);
}

INLINE real score(real_int key)
{
    const real_int bits = key ^ ((key >> SIGN_SHIFT) & INT_MAX_REAL);
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Keys of at least `limit`; n is a multiple of 2 LANES. */
INLINE int64_t count_from(int64_t n, const real_int *keys, real_int limit)
{
    vec_mask a = {0}, b = {0};
    const vec_mask l = limit - (vec_mask){0};
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        a -= keys_at(keys, i) >= l;
        b -= keys_at(keys, i + LANES) >= l;
    }
    a += b;
    int64_t sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += a[i];
    return sum;
}

/* features: those of keys above `low`, and the first `ties` of the keys equal to it, or all
 * of those if ties is negative; k in all. Without a branch on what wins where the
 * instruction set allows it. */
INLINE void emit(int64_t k, const real_int *keys, real_int low, int64_t ties,
                 int32_t *restrict features)
{
    const vec_mask limit = low - (vec_mask){0};
    int64_t at = 0, i = 0;
#if defined(SNN_ISA_X86_64_V4) && defined(SNN_REAL_F32)
    const __m512i first =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    if (ties < 0)
        for (; at + LANES <= k; i += LANES) {
            const __mmask16 m = (__mmask16)bits_of(keys_at(keys, i) >= limit);
            const __m512i j = _mm512_add_epi32(first, _mm512_set1_epi32((int)i));
            _mm512_storeu_si512(features + at, _mm512_maskz_compress_epi32(m, j));
            at += __builtin_popcount(m);
        }
#endif
    for (; at < k; i += LANES)
        for (unsigned b = bits_of(keys_at(keys, i) >= limit); b; b &= b - 1) {
            const int64_t j = i + __builtin_ctz(b);
            if (ties >= 0 && keys[j] == low) {
                if (ties == 0)
                    continue;
                ties--;
            }
            features[at++] = (int32_t)j;
        }
}

/* A key strictly between two: halfway between the scores, which is near the middle of
 * their distribution, or in every third round between the keys, which always ends. */
INLINE real_int between(real_int low, real_int high, int round)
{
    const real_int half = (real_int)(low + (real_int)(((real_uint)high - (real_uint)low) / 2));
    if (round % 3 == 2)
        return half;
    const real middle = score(low) / 2 + score(high) / 2;
    if (!(middle - middle == 0)) /* infinite or NaN */
        return half;
    const real_int key = key_vec(middle - (vec){0})[0];
    return key > low && key < high ? key : half;
}

/* features: the k winners, 0 < k <= n, ascending; among equal scores the lower feature
 * wins. boost may be NULL. keys: scratch for n reals and 2 LANES more. */
void KERNEL(winners)(int64_t n, int64_t k, const real *x, const real *boost,
                     real_int *restrict keys, int32_t *restrict features)
{
    vec_mask least = INT_MAX_REAL - (vec_mask){0}, most = INT_MIN_REAL - (vec_mask){0};
    int64_t i = 0;
    for (; i < n; i += LANES) {
        const int rest = n - i < LANES ? (int)(n - i) : LANES;
        vec v = rest < LANES ? load_part(x + i, rest) : load_any(x + i);
        if (boost)
            v *= rest < LANES ? load_part(boost + i, rest) : load_any(boost + i);
        vec_mask key = key_vec(v);
        least = choose(least < key, least, key);
        if (rest < LANES)
            for (int l = rest; l < LANES; l++)
                key[l] = INT_MIN_REAL;
        most = choose(most > key, most, key);
        *(vec_int_any *)(keys + i) = key;
    }
    *(vec_int_any *)(keys + i) = INT_MIN_REAL - (vec_mask){0};
    const int64_t whole = (n + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);

    /* from `low` there are at least k keys; from `high` on fewer: `above` */
    real_int low = least[0], high = most[0];
    for (int l = 1; l < LANES; l++) {
        low = least[l] < low ? least[l] : low;
        high = most[l] > high ? most[l] : high;
    }
    int64_t above = count_from(whole, keys, high), found = n;
    if (above >= k) { /* the largest key is the k-th */
        low = high;
        found = above;
        above = 0;
    }
    for (int round = 0; found > k && (real_uint)high - (real_uint)low > 1; round++) {
        const real_int middle = between(low, high, round);
        const int64_t count = count_from(whole, keys, middle);
        if (count >= k) {
            low = middle;
            found = count;
        } else {
            high = middle;
            above = count;
        }
    }

    emit(k, keys, low, found == k ? -1 : k - above, features);
}
