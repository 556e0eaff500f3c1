/* The ceilings of one core: multiply-adds from registers, multiply-adds that each load a
 * vector, and loads from memory areas of growing size. One line a figure: name, bytes,
 * giga (flop or bytes) a second of processor time, the best of several tries.
 *
 *     cc -O3 -funroll-loops -march=x86-64-v4 -DVECTOR=64 ceilings.c -o ceilings && ./ceilings SECONDS MAX_MB
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float vec __attribute__((vector_size(VECTOR), may_alias));
enum { LANES = VECTOR / 4, TRIES = 5 };
#ifdef __aarch64__
#define REGISTER "w"
#elif VECTOR == 64
#define REGISTER "v"
#else
#define REGISTER "x"
#endif
/* Chains enough to hide the latency of two units, few enough for 16 registers. */
#if VECTOR == 64 || defined(__aarch64__)
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
enum { CHAINS = 12 };
#else
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9)
enum { CHAINS = 10 };
#endif

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler may not know what is in a register, nor drop what it has computed. */
#define HIDE(i) __asm__ volatile("" : "+" REGISTER(a##i));
#define DECLARE(i) vec a##i = {0};
#define FROM_REGISTERS(i) a##i += x * y;
#define FROM_MEMORY(i) a##i += x * p[i];

static void multiply_add(const vec *p, int64_t n)
{
    (void)p;
    vec x = {0}, y = {0};
    __asm__ volatile("" : "+" REGISTER(x), "+" REGISTER(y));
    EACH(DECLARE)
    for (int64_t k = 0; k < n; k++) {
        EACH(FROM_REGISTERS)
        EACH(HIDE)
    }
}

static void multiply_add_load(const vec *p, int64_t n)
{
    vec x = {0};
    __asm__ volatile("" : "+" REGISTER(x));
    EACH(DECLARE)
    for (int64_t k = 0; k < n; k++) {
        __asm__ volatile("" : : "r"(p) : "memory");
        EACH(FROM_MEMORY)
        EACH(HIDE)
    }
}

static void load(const vec *p, size_t bytes)
{
    const size_t n = bytes / VECTOR;
    for (size_t k = 0; k < n; k += 8)
        for (size_t j = 0; j < 8; j++) {
            const vec v = p[k + j];
            __asm__ volatile("" : : REGISTER(v));
        }
}

static void flops(const char *name, void (*run)(const vec *, int64_t), const vec *p, double s)
{
    int64_t n = 1 << 16;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double start = now(), t;
        int64_t done = 0;
        do {
            run(p, n);
            done += n;
        } while ((t = now() - start) < s / TRIES);
        const double rate = 2e-9 * CHAINS * LANES * (double)done / t;
        best = rate > best ? rate : best;
    }
    printf("%s 0 %.1f\n", name, best);
}

int main(int argc, char **argv)
{
    const double seconds = argc > 1 ? atof(argv[1]) : 0.3;
    const size_t largest = (size_t)(argc > 2 ? atoi(argv[2]) : 256) << 20;
    vec *p;
    if (posix_memalign((void **)&p, 1 << 21, largest)) return 1;
    memset(p, 0, largest);
    flops("fma", multiply_add, p, seconds);
    flops("fma_load", multiply_add_load, p, seconds);
    for (size_t bytes = 1 << 14; bytes <= largest; bytes *= 2) {
        double best = 0;
        load(p, bytes);
        for (int i = 0; i < TRIES; i++) {
            double start = now(), t, done = 0;
            do {
                for (size_t k = 0; k < 1 + (1 << 18) / bytes; k++, done += (double)bytes)
                    load(p, bytes);
            } while ((t = now() - start) < seconds / TRIES);
            const double rate = 1e-9 * done / t;
            best = rate > best ? rate : best;
        }
        printf("load %zu %.1f\n", bytes, best);
    }
    free(p);
    return 0;
}
