#include <stdio.h>

#include "selftest.h"
#include "sparsenn.h"

static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t next(void) /* xorshift64*, Vigna 2016 */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 2685821657736338717u) >> 32);
}

uint32_t selftest_below(uint32_t n) { return (uint32_t)(((uint64_t)next() * n) >> 32); }

double selftest_signed(void) { return (double)next() / 2147483648.0 - 1; }

int main(void)
{
    int wrong = 0;
    const char *isa;
    for (int i = 0; (isa = snn_isa_available(i)) != NULL; i++) {
        if (snn_set_isa(isa) != SNN_OK) {
            printf("%s: cannot be set\n", isa);
            wrong++;
        }
        const int here = selftest_products_f32(isa) + selftest_products_f64(isa) +
                         selftest_conv_f32(isa) + selftest_conv_f64(isa) +
                         selftest_elementwise_f32(isa) + selftest_elementwise_f64(isa) +
                         selftest_events_f32() + selftest_events_f64() +
                         selftest_random_f32(isa) + selftest_random_f64(isa);
        printf("%-10s %s\n", isa, here ? "WRONG" : "ok");
        wrong += here;
    }
    wrong += selftest_sparse_input_f32() + selftest_sparse_input_f64();
    if (snn_set_isa("no such set") != SNN_BAD_ARGUMENT) {
        printf("an unknown instruction set was accepted\n");
        wrong++;
    }
    return wrong != 0;
}
