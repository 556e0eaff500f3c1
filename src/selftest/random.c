/* Draws against committed bits, whatever the instruction set and wherever a range begins. */
#include <stdio.h>
#include <string.h>

#include "../real.h"
#include "selftest.h"

enum { MOST = 200 };

/* seed 0x0123456789ABCDEF, purpose 255, layer 7, step 11; as in tests/structure */
static const snn_stream STREAM = {0x0123456789ABCDEFu, 11, 255u << 24 | 7};
static const double UNIFORM[] = {0x1.973c20b5cc7f4p-2, 0x1.5cea78d222cdfp-1,
                                 0x1.78dfd76e13e68p-2, 0x1.7ed52da6b6078p-4};
static const double NORMAL[] = {-0x1.2231a7db40439p-1, 0x1.2d51474740e4ep+0,
                                -0x1.0926a365a216fp+1, -0x1.f3b687d04a713p-2};

typedef void draw(const snn_stream *s, int64_t first, const int64_t *elements, int64_t n,
                  real *out);

static int parts(draw *f)
{
    real whole[MOST + 1], part[MOST + 1];
    int64_t elements[MOST];
    int ok = 1;
    whole[MOST] = 777;
    f(&STREAM, 0, NULL, MOST, whole);
    ok &= whole[MOST] == 777;
    for (int64_t first = 0; first < 5; first++)
        for (int64_t n = 0; first + n <= MOST; n += 13) {
            part[n] = 777;
            f(&STREAM, first, NULL, n, part);
            ok &= memcmp(part, whole + first, (size_t)n * sizeof *part) == 0;
            for (int64_t i = 0; i < n; i++)
                elements[i] = MOST - 1 - first - i;
            f(&STREAM, 0, elements, n, part);
            for (int64_t i = 0; i < n; i++)
                ok &= part[i] == whole[elements[i]];
            ok &= part[n] == 777;
        }
    return ok;
}

static int committed(void)
{
    real u[4], z[4], scaled[4];
    int ok = 1;
    SNN_REAL(snn_random_uniform)(&STREAM, 0, NULL, 4, u);
    SNN_REAL(snn_random_normal)(&STREAM, 0, NULL, 4, z);
    SNN_REAL(snn_random_scaled)(&STREAM, SNN_UNIFORM, (real)0.3, 1, 0, NULL, 4, scaled);
    for (int i = 0; i < 4; i++) {
        const double error = UNIFORM[i] - (double)u[i]; /* rounded down */
        ok &= error >= 0 && error < 0x1p-24 && (sizeof(real) == 4 || error == 0);
        ok &= z[i] == (real)NORMAL[i];
        const real w = (2 * u[i] - 1) * (real)0.3;
        ok &= scaled[i] == (w < 0 ? -w : w);
    }
    return ok;
}

int SNN_REAL(selftest_random)(const char *isa)
{
    const int wrong = !committed() + !parts(SNN_REAL(snn_random_uniform)) +
                      !parts(SNN_REAL(snn_random_normal));
    if (wrong)
        printf("%s f%d: random numbers are wrong\n", isa, (int)(8 * sizeof(real)));
    return wrong;
}
