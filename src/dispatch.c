/* Which instruction set's kernels run: chosen once, at the first use. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_features.h"
#include "sparsenn.h"

typedef struct snn_kernels_f32 snn_kernels_f32;
typedef struct snn_kernels_f64 snn_kernels_f64;

static int always(void) { return 1; }

typedef struct isa {
    const char *name;
    int (*usable)(void);
    const snn_kernels_f32 *f32;
    const snn_kernels_f64 *f64;
} isa;

#define DECLARE(name)                                                                      \
    extern const snn_kernels_f32 snn_k_table_f32_##name;                                   \
    extern const snn_kernels_f64 snn_k_table_f64_##name;
#define ENTRY(name, usable)                                                                \
    {#name, usable, &snn_k_table_f32_##name, &snn_k_table_f64_##name},

#ifdef SNN_HAVE_X86_64_V4
DECLARE(x86_64_v4)
#endif
#ifdef SNN_HAVE_X86_64_V3
DECLARE(x86_64_v3)
#endif
#ifdef SNN_HAVE_BASELINE
DECLARE(baseline)
#endif
#ifdef SNN_HAVE_NEON
DECLARE(neon)
#endif

/* Best first. */
static const isa all[] = {
#ifdef SNN_HAVE_X86_64_V4
    ENTRY(x86_64_v4, snn_cpu_has_x86_64_v4)
#endif
#ifdef SNN_HAVE_X86_64_V3
    ENTRY(x86_64_v3, snn_cpu_has_x86_64_v3)
#endif
#ifdef SNN_HAVE_NEON
    ENTRY(neon, always)
#endif
#ifdef SNN_HAVE_BASELINE
    ENTRY(baseline, always)
#endif
};
enum { N_ISAS = sizeof all / sizeof all[0] };

/* One word, written whole: threads that race to choose all choose the same. */
static const isa *active;

static const isa *find(const char *name)
{
    for (int i = 0; i < N_ISAS; i++)
        if ((!name || strcmp(name, all[i].name) == 0) && all[i].usable())
            return &all[i];
    return NULL;
}

static const isa *choose(void)
{
    const isa *chosen = __atomic_load_n(&active, __ATOMIC_ACQUIRE);
    if (!chosen) {
        const char *name = getenv("SPARSENN_ISA");
        chosen = find(name && *name ? name : NULL);
        __atomic_store_n(&active, chosen, __ATOMIC_RELEASE);
    }
    return chosen;
}

const char *snn_isa(void)
{
    const isa *chosen = choose();
    return chosen ? chosen->name : NULL;
}

const char *snn_isa_available(int index)
{
    for (int i = 0; i < N_ISAS; i++)
        if (all[i].usable() && index-- == 0)
            return all[i].name;
    return NULL;
}

int snn_set_isa(const char *name)
{
    const isa *chosen = name ? find(name) : NULL;
    if (!chosen)
        return SNN_BAD_ARGUMENT;
    __atomic_store_n(&active, chosen, __ATOMIC_RELEASE);
    return SNN_OK;
}

const snn_kernels_f32 *snn_active_f32(void);
const snn_kernels_f64 *snn_active_f64(void);
const snn_kernels_f32 *snn_any_f32(void);
const snn_kernels_f64 *snn_any_f64(void);

const snn_kernels_f32 *snn_active_f32(void)
{
    const isa *chosen = choose();
    return chosen ? chosen->f32 : NULL;
}

const snn_kernels_f64 *snn_active_f64(void)
{
    const isa *chosen = choose();
    return chosen ? chosen->f64 : NULL;
}

const snn_kernels_f32 *snn_any_f32(void)
{
    const isa *chosen = choose();
    return (chosen ? chosen : &all[N_ISAS - 1])->f32;
}

const snn_kernels_f64 *snn_any_f64(void)
{
    const isa *chosen = choose();
    return (chosen ? chosen : &all[N_ISAS - 1])->f64;
}
