/* One block of Philox, for those who want to see it alone; kernels/draws.h makes many. */
#include "philox.h"
#include "sparsenn.h"

void snn_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t w[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)PHILOX_M0 * w[0];
        const uint64_t p1 = (uint64_t)PHILOX_M1 * w[2];
        w[0] = (uint32_t)(p1 >> 32) ^ w[1] ^ k0;
        w[1] = (uint32_t)p1;
        w[2] = (uint32_t)(p0 >> 32) ^ w[3] ^ k1;
        w[3] = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    for (int j = 0; j < 4; j++)
        out[j] = w[j];
}
