/* Scratch of the drivers: 64-byte aligned, uninitialised. */
#ifndef SNN_SCRATCH_H
#define SNN_SCRATCH_H

#include <stddef.h>

/* NULL if there is no memory; size 0 gives a pointer too. */
void *snn_scratch_new(size_t size);
void snn_scratch_free(void *scratch);

#endif
