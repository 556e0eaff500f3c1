/* Aligned memory that is kept for the next call.
 *
 * A training step asks for the same few large blocks again and again. The C library gives
 * such blocks back to the system and gets them again page by page, which can cost a third
 * of a step; so a limited amount of freed memory stays here, the latest on top because it
 * is the warmest. */
#if defined(__linux__)
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sparsenn.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

enum { ALIGNMENT = 64 };
/* Blocks from this size on begin at a multiple of it, and the system is asked for pages of
 * this size, because to get and clear them costs half of what small ones cost. */
static const size_t HUGE_PAGE = (size_t)2 << 20;
/* Below this the C library does well by itself. */
static const size_t SMALLEST = (size_t)32 << 10;
/* What is kept in all. */
static const size_t LIMIT = (size_t)256 << 20;
enum { SLOTS = 64 };

/* Lies just below the aligned block. */
typedef struct header {
    void *raw;
    size_t capacity;
} header;

typedef struct kept {
    void *block;
    size_t capacity;
} kept;

static kept stack[SLOTS]; /* oldest first */
static int n_kept;
static size_t bytes_kept;

/* Whoever does not get the lock at once goes to the C library: nothing waits, not even in
 * a child that was forked while another thread held it. */
static char locked;

static int lock(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return 0; /* let the sanitizer see every block come and go */
#else
    return !__atomic_test_and_set(&locked, __ATOMIC_ACQUIRE);
#endif
}

static void unlock(void) { __atomic_clear(&locked, __ATOMIC_RELEASE); }

static header *header_of(void *block) { return (header *)block - 1; }

static void release(void *block) { free(header_of(block)->raw); }

static void *acquire(size_t capacity)
{
    const size_t alignment = capacity >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    const size_t extra = alignment + sizeof(header);
    if (capacity > SIZE_MAX - extra)
        return NULL;
    char *raw = malloc(capacity + extra);
    if (!raw)
        return NULL;
    char *block = raw + extra - (uintptr_t)(raw + extra) % alignment;
    *header_of(block) = (header){raw, capacity};
#if defined(__SANITIZE_ADDRESS__)
    memset(block, 0xFF, capacity); /* NaN: what is read before it is written shows */
#endif
#if defined(MADV_HUGEPAGE)
    /* Whole pages only: no more memory is taken. A refusal changes nothing. */
    if (alignment == HUGE_PAGE)
        (void)madvise(block, capacity / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return block;
}

static void remove_at(int i)
{
    bytes_kept -= stack[i].capacity;
    n_kept--;
    for (; i < n_kept; i++)
        stack[i] = stack[i + 1];
}

void *snn_malloc(size_t size)
{
    if (size < SMALLEST)
        return acquire(size);
    if (lock()) {
        for (int i = n_kept - 1; i >= 0; i--)
            if (stack[i].capacity >= size && stack[i].capacity - size <= size / 8) {
                void *block = stack[i].block;
                remove_at(i);
                unlock();
                return block;
            }
        unlock();
    }
    return acquire(size);
}

void snn_free(void *block)
{
    if (!block)
        return;
    const size_t capacity = header_of(block)->capacity;
    if (capacity >= SMALLEST && capacity <= LIMIT && lock()) {
        void *dropped[SLOTS];
        int n_dropped = 0;
        while (n_kept == SLOTS || bytes_kept + capacity > LIMIT) {
            dropped[n_dropped++] = stack[0].block;
            remove_at(0);
        }
        stack[n_kept++] = (kept){block, capacity};
        bytes_kept += capacity;
        unlock();
        while (n_dropped > 0)
            release(dropped[--n_dropped]);
        return;
    }
    release(block);
}
