/* A test of the C core that needs no Python: every kernel of every instruction set that
 * runs here against loops in double. It is what runs under sanitizers and emulators. */
#ifndef SNN_SELFTEST_H
#define SNN_SELFTEST_H

#include <stdint.h>

/* Uniform in 0 .. n. */
uint32_t selftest_below(uint32_t n);
/* Uniform in -1 .. 1. */
double selftest_signed(void);

/* Each returns the number of wrong results, which it has printed. */
int selftest_products_f32(const char *isa);
int selftest_products_f64(const char *isa);
int selftest_conv_f32(const char *isa);
int selftest_conv_f64(const char *isa);
int selftest_elementwise_f32(const char *isa);
int selftest_random_f32(const char *isa);
int selftest_elementwise_f64(const char *isa);
int selftest_random_f64(const char *isa);
int selftest_events_f32(void);
int selftest_events_f64(void);
int selftest_sparse_input_f32(void);
int selftest_sparse_input_f64(void);

#endif
