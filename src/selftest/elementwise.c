/* Masks and optimiser steps against the same formulas in double. */
#include <math.h>
#include <stdio.h>

#include "../real.h"
#include "selftest.h"

#if defined(SNN_REAL_F32)
static const double EPSILON = 0x1p-23;
#else
static const double EPSILON = 0x1p-52;
#endif

enum { MOST = 300 };

static int near(double actual, double exact, double scale)
{
    return fabs(actual - exact) <= 16 * EPSILON * (fabs(exact) + scale);
}

static int masks(int64_t n, int64_t batch)
{
    static real y[8 * 70], dy[8 * 70], dz[8 * 70 + 1], dbias[8 + 1];
    int ok = 1;
    for (int relu = 0; relu < 2; relu++) {
        for (int64_t i = 0; i < n * 70; i++) {
            y[i] = (real)selftest_signed();
            dy[i] = (real)selftest_signed();
            dz[i] = 777;
        }
        dbias[n] = 777;
        ok &= SNN_REAL(snn_activation_backward)(n, batch, relu, y, 70, dy, 70, dz, 70,
                                                dbias) == SNN_OK;
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t b = 0; b < batch; b++) {
                const real e = relu && y[i * 70 + b] <= 0 ? 0 : dy[i * 70 + b];
                ok &= dz[i * 70 + b] == e;
                sum += (double)e;
            }
            for (int64_t b = batch; b < 70; b++)
                ok &= dz[i * 70 + b] == 777;
            ok &= near(dbias[i], sum, (double)batch);
        }
        ok &= dbias[n] == 777;
    }
    return ok;
}

static int steps(int64_t n, double decay, int flag)
{
    static real w[MOST + 1], g[MOST], m[MOST + 1], v[MOST + 1];
    static double w0[MOST], m0[MOST], v0[MOST];
    int ok = 1;
    for (int kind = 0; kind < 3; kind++) { /* SGD, SGD with momentum, Adam */
        for (int64_t i = 0; i < n; i++) {
            w0[i] = w[i] = (real)selftest_signed();
            m0[i] = m[i] = (real)selftest_signed();
            v0[i] = v[i] = (real)fabs(selftest_signed());
            g[i] = (real)selftest_signed();
        }
        w[n] = m[n] = v[n] = 777;
        const real lr = (real)0.1, b1 = (real)0.9, b2 = (real)0.99, eps = (real)1e-3;
        const real wd = (real)decay, c1 = (real)0.19, c2 = (real)0.0199;
        if (kind == 2)
            SNN_REAL(snn_adam)(n, lr, b1, b2, eps, wd, flag, c1, c2, g, m, v, w);
        else
            SNN_REAL(snn_sgd)(n, lr, kind ? b1 : 0, wd, flag, g, kind ? m : NULL, w);
        for (int64_t i = 0; i < n; i++) {
            double d = (double)g[i], want = w0[i], wm = m0[i], wv = v0[i];
            if (kind == 2) {
                if (flag)
                    want *= 1 - (double)lr * wd;
                else
                    d += (double)wd * w0[i];
                wm = (double)b1 * wm + (1 - (double)b1) * d;
                wv = (double)b2 * wv + (1 - (double)b2) * d * d;
                want -= lr / (double)c1 * wm / (sqrt(wv / c2) + (double)eps);
            } else {
                d += (double)wd * w0[i];
                if (kind) {
                    wm = (double)b1 * wm + d;
                    d = flag ? d + (double)b1 * wm : wm;
                }
                want -= (double)lr * d;
            }
            ok &= near(w[i], want, 1);
            if (kind)
                ok &= near(m[i], wm, 1);
            if (kind == 2)
                ok &= near(v[i], wv, 1);
        }
        ok &= w[n] == 777 && m[n] == 777 && v[n] == 777;
    }
    return ok;
}

int SNN_REAL(selftest_elementwise)(const char *isa)
{
    int wrong = 0;
    for (int64_t batch = 0; batch <= 70; batch++)
        wrong += !masks(batch % 8, batch);
    for (int64_t n = 0; n < MOST; n += 7)
        for (int flag = 0; flag < 2; flag++)
            wrong += !steps(n, n % 2 ? 0 : 0.01, flag);
    if (wrong)
        printf("%s f%d: %d elementwise results are wrong\n", isa, (int)(8 * sizeof(real)),
               wrong);
    return wrong;
}
