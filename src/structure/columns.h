/* Column numbers of one, two or four bytes, and masks of slots. */
#ifndef SNN_COLUMNS_H
#define SNN_COLUMNS_H

#include <stdint.h>
#include <string.h>

static inline int32_t get_column(const void *columns, int index_bytes, int64_t k) {
    if (index_bytes == 1) return ((const uint8_t *)columns)[k];
    if (index_bytes == 2) return ((const uint16_t *)columns)[k];
    return ((const int32_t *)columns)[k];
}

static inline void put_column(void *columns, int index_bytes, int64_t k, int32_t column) {
    if (index_bytes == 1)
        ((uint8_t *)columns)[k] = (uint8_t)column;
    else if (index_bytes == 2)
        ((uint16_t *)columns)[k] = (uint16_t)column;
    else
        ((int32_t *)columns)[k] = column;
}

/* How many of keep[k] .. keep[k_end - 1] are 1; the others are 0, and there are n in all.
 * Eight at a time, what lies behind the end masked: ends come at random. */
static inline int32_t count_kept(const uint8_t *keep, int64_t k, int64_t k_end, int64_t n) {
    int32_t count = 0;
    for (; k < k_end; k += 8) {
        uint64_t eight = 0;
        memcpy(&eight, keep + k, k + 8 <= n ? 8 : (size_t)(n - k));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        eight = __builtin_bswap64(eight);
#endif
        if (k + 8 > k_end) eight <<= 8 * (k + 8 - k_end);
        count += (int32_t)(eight * 0x0101010101010101u >> 56);
    }
    return count;
}

#endif
