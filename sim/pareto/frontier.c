/* frontier.c - see frontier.h. From the fastest for a user to the slowest, a point is on the frontier if it has more
 * throughput than all before. */
#include "pareto/frontier.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

#define ALIKE 0.05

const char *const fs_frontier_by_names[FS_FRONTIER_BYS] = {"gpu", "mw"};

typedef struct entry {
    double user, throughput;
    uint32_t index;
} entry;

double fs_operating_throughput(const fs_operating_point *p, fs_frontier_by by)
{
    return by == FS_BY_MW ? p->per_MW : p->per_gpu;
}

/* The fastest first, of those the one with most throughput, of those the first. */
static int by_user(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    if (a->user != b->user)
        return a->user > b->user ? -1 : 1;
    if (a->throughput != b->throughput)
        return a->throughput > b->throughput ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

uint32_t fs_frontier(const fs_operating_point *points, uint32_t n, fs_frontier_by by, uint32_t *frontier)
{
    entry *entries = fs_alloc(n + 1, sizeof *entries);
    uint32_t good = 0, kept = 0;
    if (!entries)
        return UINT32_MAX;
    for (uint32_t i = 0; i < n; i++)
        if (points[i].state == FS_OPERATING_GOOD)
            entries[good++] = (entry){points[i].per_user, fs_operating_throughput(&points[i], by), i};
    qsort(entries, good, sizeof *entries, by_user);
    double most = -1;
    for (uint32_t i = 0; i < good; i++)
        if (entries[i].throughput > most) {
            most = entries[i].throughput;
            frontier[kept++] = entries[i].index;
        }
    for (uint32_t i = 0; i < kept / 2; i++) {
        uint32_t swap = frontier[i];
        frontier[i] = frontier[kept - 1 - i];
        frontier[kept - 1 - i] = swap;
    }
    fs_free(entries);
    return kept;
}

static double prompts_per_gpu(const fs_prefill *p)
{
    return p->prompts_per_s / fs_layout_gpus(&p->layout);
}

/* The most for each GPU first; of those that are alike the smallest. */
static int by_prompts(const void *left, const void *right)
{
    const fs_prefill *a = left, *b = right;
    double x = prompts_per_gpu(a), y = prompts_per_gpu(b);
    uint32_t m = fs_layout_gpus(&a->layout), n = fs_layout_gpus(&b->layout);
    return x != y ? (x > y ? -1 : 1) : (m > n) - (m < n);
}

static bool soon(const fs_prefill *other, const fs_prefill *p, double limit_s)
{
    return !(limit_s > 0) || other->ttft_s <= fmax(p->ttft_s * (1 + ALIKE), limit_s / 2);
}

uint32_t fs_prefill_frontier(fs_prefill *prefills, uint32_t n, double ttft_limit_s)
{
    uint32_t kept = 0;
    qsort(prefills, n, sizeof *prefills, by_prompts);
    for (uint32_t i = 0; i < n; i++) {
        bool beaten = false;
        for (uint32_t k = 0; k < kept && !beaten; k++)
            beaten = fs_layout_gpus(&prefills[k].layout) <= fs_layout_gpus(&prefills[i].layout) &&
                     soon(&prefills[k], &prefills[i], ttft_limit_s);
        if (!beaten)
            prefills[kept++] = prefills[i];
    }
    return kept;
}
