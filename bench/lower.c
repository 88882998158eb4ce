/* lower.c - what lowering costs at scale: the groups of a large job, one after the other.
 *
 *   build/bench/lower TOPOLOGY.xml [FAMILY]
 *
 * Families over all GPUs g of n, as training has them: tp = 8 neighbours, dp = every (8 x 16)-th GPU of a stage, pairs
 * g -> g + n/16, ep = 64 neighbours; each with a few sizes. Prints milliseconds, megabytes, plans and patterns. */
#include "base/mem.h"
#include "coll/coll.h"
#include "topo/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double megabytes(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)use.ru_maxrss / 1024.0;
}

typedef struct bench {
    const char *only; /* the family to run, NULL: all */
    fs_topo *topo;
    fs_router *router;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    uint32_t *gpus;
} bench;

static void die(const fs_err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* Groups of `size` GPUs `stride` apart, blocks of size x stride, with so many sizes of each collective. */
static void family(bench *b, const char *name, uint32_t size, uint32_t stride, const fs_coll_kind *kinds,
                   uint32_t n_kinds, uint32_t n_sizes)
{
    double start = now(), slowest = 0.0;
    uint32_t block = size * stride, groups = 0, plans = 0;
    fs_algo algo = FS_ALGO_AUTO;
    if (b->only && strcmp(b->only, name) != 0)
        return;
    for (uint32_t first = 0; first + block <= b->topo->n_gpus; first += block) {
        for (uint32_t offset = 0; offset < stride; offset++, groups++) {
            for (uint32_t i = 0; i < size; i++)
                b->gpus[i] = b->topo->gpus[first + offset + i * stride];
            for (uint32_t k = 0; k < n_kinds * n_sizes; k++, plans++) {
                fs_coll_request request = {
                    .kind = kinds[k % n_kinds], .gpus = b->gpus, .n = size, .size_bytes = 1e6 * (1.0 + (double)k)};
                const fs_plan *plan;
                fs_err err;
                if (fs_lower(b->lowering, &request, &plan, &err) != FS_OK)
                    die(&err);
                slowest = plan->estimate_s > slowest ? plan->estimate_s : slowest;
                algo = plan->algo;
            }
        }
    }
    printf("%-14s %7u groups of %5u  %8u plans  %8.1f ms  %7.0f MB  %8u patterns  %s, %.3g s\n", name, groups, size,
           plans, (now() - start) * 1e3, megabytes(), fs_pattern_count(b->patterns), fs_algo_names[algo], slowest);
}

int main(int argc, char **argv)
{
    static const fs_coll_kind reduces[] = {FS_ALL_REDUCE}, zero[] = {FS_ALL_GATHER, FS_REDUCE_SCATTER},
                              exchanges[] = {FS_ALL_TO_ALL}, sends[] = {FS_SENDRECV};
    bench b = {.only = argc > 2 ? argv[2] : NULL};
    fs_err err;
    double start = now();
    if (argc < 2 || fs_topo_load(argv[1], NULL, 0, &b.topo, &err) != FS_OK)
        die(&err);
    printf("%s: %u GPUs, %u devices, %u links, %.1f ms, %.0f MB\n", b.topo->name, b.topo->n_gpus, b.topo->n_devices,
           b.topo->n_links, (now() - start) * 1e3, megabytes());
    fs_topo *whole = b.topo;
    start = now();
    if (fs_topo_bundle(whole, &b.topo, &err) != FS_OK)
        die(&err);
    printf("bundled: %u devices, %u links, %.1f ms, %.0f MB\n", b.topo->n_devices, b.topo->n_links,
           (now() - start) * 1e3, megabytes());
    b.patterns = fs_pattern_table_new();
    b.gpus = fs_alloc(b.topo->n_gpus, sizeof *b.gpus);
    start = now();
    if (fs_router_new(b.topo, (fs_router_options){0}, &b.router, &err) != FS_OK)
        die(&err);
    printf("router: %.1f ms, %.0f MB\n", (now() - start) * 1e3, megabytes());
    start = now();
    if (fs_lowering_new(b.topo, b.router, b.patterns, (fs_lowering_options){0}, &b.lowering, &err) != FS_OK)
        die(&err);
    printf("lowering: %.1f ms, %.0f MB\n", (now() - start) * 1e3, megabytes());
    uint32_t n = b.topo->n_gpus;
    family(&b, "tp", 8, 1, reduces, 1, 3);
    family(&b, "pp", 2, n / 16 < 2 ? 1 : n / 16, sends, 1, 2);
    family(&b, "dp, short", 16, n >= 1024 ? n / 16 : 1, zero, 2, 3);
    family(&b, "dp, long", n / 128 ? n / 128 : 1, 128, reduces, 1, 2);
    family(&b, "ep", 64, 1, exchanges, 1, 2);
    family(&b, "ep, rails", 8, 8, exchanges, 1, 2);
    fs_lowering_free(b.lowering);
    fs_router_free(b.router);
    fs_pattern_table_free(b.patterns);
    fs_free(b.gpus);
    fs_topo_free(b.topo);
    fs_topo_free(whole);
    return 0;
}
