#include "scratch.h"

#include <stdint.h>
#include <stdlib.h>

enum { ALIGNMENT = 64 };

/* malloc's own pointer lies just below the aligned one, so that any C library will do. */
void *snn_scratch_new(size_t size)
{
    if (size > SIZE_MAX - 2 * ALIGNMENT)
        return NULL;
    char *raw = malloc(size + 2 * ALIGNMENT);
    if (!raw)
        return NULL;
    char *aligned = raw + 2 * ALIGNMENT - (uintptr_t)raw % ALIGNMENT;
    ((void **)(void *)aligned)[-1] = raw;
    return aligned;
}

void snn_scratch_free(void *scratch)
{
    if (scratch)
        free(((void **)scratch)[-1]);
}
