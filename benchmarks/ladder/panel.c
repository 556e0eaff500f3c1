/* What one product kernel can reach: panels of 1 to 8 vectors, 1 to 4 sets of accumulators,
 * for X from the first- and the second-level cache.
 *
 *     cc -O3 -march=native -mprefer-vector-width=512 panel.c -o panel && ./panel
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float vec __attribute__((vector_size(64)));
enum { LANES = 16, ROWS = 1000 };

static uint64_t state = 88172645463325252u;

static double uniform(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct csr {
    int32_t *indptr;
    uint16_t *columns;
    float *values;
} csr;

static inline __attribute__((always_inline)) void
product(const int nv, const int sets, const csr *w, const float *x, float *y)
{
    int32_t k = 0;
    for (int i = 0; i < ROWS; i++) {
        vec acc[4][8] = {0};
        const int32_t end = w->indptr[i + 1];
        for (; k + sets <= end; k += sets)
            for (int s = 0; s < sets; s++) {
                const vec v = w->values[k + s] - (vec){0};
                const vec *row = (const vec *)(x + (size_t)w->columns[k + s] * nv * LANES);
                for (int j = 0; j < nv; j++)
                    acc[s][j] += v * row[j];
            }
        for (; k < end; k++) {
            const vec v = w->values[k] - (vec){0};
            const vec *row = (const vec *)(x + (size_t)w->columns[k] * nv * LANES);
            for (int j = 0; j < nv; j++)
                acc[0][j] += v * row[j];
        }
        for (int j = 0; j < nv; j++) {
            for (int s = 1; s < sets; s++)
                acc[0][j] += acc[s][j];
            ((vec *)y)[i * nv + j] = acc[0][j];
        }
    }
}

#define VARIANT(nv, sets)                                                                  \
    static __attribute__((noinline)) void v##nv##_##sets(const csr *w, const float *x,     \
                                                         float *y)                         \
    {                                                                                      \
        product(nv, sets, w, x, y);                                                        \
    }
VARIANT(1, 1) VARIANT(1, 2) VARIANT(1, 4) VARIANT(2, 1) VARIANT(2, 2) VARIANT(2, 4)
VARIANT(4, 1) VARIANT(4, 2) VARIANT(6, 1) VARIANT(8, 1) VARIANT(8, 2)

static const struct {
    int nv, sets;
    void (*run)(const csr *, const float *, float *);
} VARIANTS[] = {
    {1, 1, v1_1}, {1, 2, v1_2}, {1, 4, v1_4}, {2, 1, v2_1}, {2, 2, v2_2}, {2, 4, v2_4},
    {4, 1, v4_1}, {4, 2, v4_2}, {6, 1, v6_1}, {8, 1, v8_1}, {8, 2, v8_2},
};

static const struct {
    int columns;
    double density;
} CASES[] = {{1000, 0.04}, {256, 0.04}, {128, 0.04}, {128, 0.1}, {64, 0.2}, {32, 0.8}};

int main(void)
{
    float *x = aligned_alloc(64, (size_t)1000 * 8 * LANES * sizeof *x);
    float *y = aligned_alloc(64, (size_t)ROWS * 8 * LANES * sizeof *y);
    memset(x, 0, (size_t)1000 * 8 * LANES * sizeof *x);
    for (size_t c = 0; c < sizeof CASES / sizeof CASES[0]; c++) {
        const int n = CASES[c].columns;
        csr w = {malloc((ROWS + 1) * sizeof(int32_t)),
                 malloc((size_t)ROWS * (size_t)n * sizeof(uint16_t)),
                 malloc((size_t)ROWS * (size_t)n * sizeof(float))};
        int32_t k = 0;
        w.indptr[0] = 0;
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < n; j++)
                if (uniform() < CASES[c].density) {
                    w.columns[k] = (uint16_t)j;
                    w.values[k++] = (float)uniform();
                }
            w.indptr[i + 1] = k;
        }
        printf("%d columns at %g, %.1f nonzeros a row\n", n, CASES[c].density,
               (double)k / ROWS);
        for (size_t v = 0; v < sizeof VARIANTS / sizeof VARIANTS[0]; v++) {
            const int repeat = 1 + 1000000 / k;
            double best = 1e9;
            for (int r = 0; r < 25; r++) {
                const double start = now();
                for (int q = 0; q < repeat; q++)
                    VARIANTS[v].run(&w, x, y);
                const double time = (now() - start) / repeat;
                best = time < best ? time : best;
            }
            printf("  %d vectors, %d sets: %5.2f ns a nonzero, %6.1f GFLOP/s\n",
                   VARIANTS[v].nv, VARIANTS[v].sets, 1e9 * best / k,
                   2e-9 * k * VARIANTS[v].nv * LANES / best);
        }
        free(w.indptr);
        free(w.columns);
        free(w.values);
    }
    free(x);
    free(y);
    return 0;
}
