/* Levels of the x86-64 psABI, from cpuid and, because registers that the operating system
 * does not save are not ours to use, from XCR0. */
#include "cpu_features.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

/* All of `bits` set in `word`? */
static int has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

/* Register state that the operating system saves; 0 if it does not use XSAVE. */
static uint64_t saved_state(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) /* OSXSAVE */
        return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

int snn_cpu_has_x86_64_v3(void)
{
    const uint32_t leaf1 = 1u << 0 | 1u << 9 | 1u << 12 | 1u << 13 | 1u << 19 | 1u << 20 |
                           1u << 22 | 1u << 23 | 1u << 28 | 1u << 29;
    /* SSE3 SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AVX F16C */
    const uint32_t leaf7 = 1u << 3 | 1u << 5 | 1u << 8;        /* BMI1 AVX2 BMI2 */
    const uint32_t extended = 1u << 0 | 1u << 5;               /* LAHF LZCNT */
    uint32_t a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && has(c, leaf1) &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) && has(b, leaf7) &&
           __get_cpuid(0x80000001u, &a, &b, &c, &d) && has(c, extended) &&
           (saved_state() & 0x6) == 0x6; /* XMM YMM */
}

int snn_cpu_has_x86_64_v4(void)
{
    const uint32_t leaf7 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
    /* AVX512F DQ CD BW VL */
    uint32_t a, b, c, d;
    return snn_cpu_has_x86_64_v3() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           has(b, leaf7) && (saved_state() & 0xe6) == 0xe6; /* opmask ZMM */
}

#else

int snn_cpu_has_x86_64_v3(void) { return 0; }
int snn_cpu_has_x86_64_v4(void) { return 0; }

#endif
