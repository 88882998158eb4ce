/* engine.c - how fast the engine is by itself, on synthetic systems; counters beside seconds.
 *
 *     engine flows PODS      a random permutation of PODS x 1,024 hosts on a three-tier fat tree of full bisection
 *                            (32 hosts a leaf, 32 leaves and 32 spines a pod), each flow on hashed paths, all of one
 *                            size, started together: each end changes the rates of others
 *     engine sizes PODS      the same with random sizes: every flow ends at a time of its own
 *     engine rings COUNT     COUNT rings of 1,000 links each, laid as data-parallel groups are: strided over nodes,
 *                            some crossing; a ring that ends starts again until there were 30,000 events
 *     engine kernels GPUS    compute kernels one after another on GPUS pools, a million in all
 *
 * Not a test: `make bench-programs` builds it. The same instance on every machine (fixed seed). */
#include "engine/engine.h"
#include "base/mem.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { RADIX = 32, POD = RADIX * RADIX, RING = 1000, RING_EVENTS = 30000, KERNELS = 1000000 };
static const double LINK_BPS = 50e9; /* 400 Gb/s */

typedef struct bench {
    fs_rng rng;
    fs_pattern_table *patterns;
    fs_engine *engine;
    double *capacity;
    uint32_t n_resources, n_starts;
    uint64_t left; /* starts still to make */
    double (*amount)(struct bench *bench);
    uint64_t digest; /* of end times: two builds that agree bit for bit have the same */
    double last_s;
} bench;

static void must(fs_status status, const fs_err *err)
{
    if (status == FS_OK)
        return;
    fprintf(stderr, "engine: %s\n", err->text);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    bench *b = context;
    b->digest = fs_hash_bytes(b->digest, &now_s, sizeof now_s);
    b->last_s = now_s;
    if (b->left == 0)
        return FS_OK;
    b->left--;
    return fs_engine_transfer(b->engine, (uint32_t)tag, b->amount(b), 0, tag, err);
}

static void open_engine(bench *b, uint32_t n_resources)
{
    fs_err err;
    b->n_resources = n_resources;
    b->patterns = fs_pattern_table_new();
    b->capacity = fs_alloc(n_resources, sizeof *b->capacity);
    if (b->patterns == NULL || b->capacity == NULL)
        exit(1);
    for (uint32_t i = 0; i < n_resources; i++)
        b->capacity[i] = LINK_BPS;
    fs_engine_def def = {
        .n_resources = n_resources, .n_links = n_resources, .capacity = b->capacity, .patterns = b->patterns};
    must(fs_engine_new(&def, &b->engine, &err), &err);
}

static void start(bench *b, const fs_share *row, uint32_t count)
{
    fs_err err;
    uint32_t id;
    must(fs_pattern_add(b->patterns, row, count, &id, &err), &err);
    must(fs_engine_transfer(b->engine, id, b->amount(b), 0, id, &err), &err);
    b->n_starts++;
}

static double same_amount(bench *b)
{
    (void)b;
    return 1e9;
}

static double random_amount(bench *b)
{
    return 1e9 * (0.5 + fs_rng_unit(&b->rng));
}

/* Links by tier, each tier as many as there are hosts: NIC up and down, leaf to spine and back, spine to core and
 * back. Spine u of a pod meets cores u x RADIX .. u x RADIX + RADIX - 1. */
static void flows(bench *b, uint32_t pods)
{
    uint32_t hosts = pods * POD;
    open_engine(b, 6 * hosts);
    uint32_t *to = fs_alloc(hosts, sizeof *to);
    if (to == NULL)
        exit(1);
    for (uint32_t i = 0; i < hosts; i++) {
        uint32_t j = fs_rng_below(&b->rng, i + 1);
        to[i] = to[j];
        to[j] = i;
    }
    for (uint32_t i = 0; i < hosts; i++) {
        uint32_t j = to[i], spine = fs_rng_below(&b->rng, RADIX), core = fs_rng_below(&b->rng, RADIX);
        fs_share row[6] = {{i, 1}, {hosts + j, 1}};
        uint32_t count = 2;
        if (i / RADIX != j / RADIX) {
            row[count++] = (fs_share){2 * hosts + i / RADIX * RADIX + spine, 1};
            row[count++] = (fs_share){3 * hosts + j / RADIX * RADIX + spine, 1};
        }
        if (i / POD != j / POD) {
            row[count++] = (fs_share){4 * hosts + i / POD * POD + spine * RADIX + core, 1};
            row[count++] = (fs_share){5 * hosts + j / POD * POD + spine * RADIX + core, 1};
        }
        start(b, row, count);
    }
    fs_free(to);
}

static void sizes(bench *b, uint32_t pods)
{
    b->amount = random_amount;
    flows(b, pods);
}

/* Nodes of 8 NICs and leaves of 32 nodes a rail. Ring r has 250 nodes, a fixed stride apart: NIC up and down, and a
 * hashed link up to the spines and one down at each. */
static void rings(bench *b, uint32_t count)
{
    enum { NODES = 8000, RAILS = 8, HOPS = RING / 4 };
    const uint32_t nics = NODES * RAILS;
    open_engine(b, 4 * nics);
    b->amount = random_amount;
    b->left = RING_EVENTS > count ? RING_EVENTS - count : 0;
    static fs_share row[RING];
    for (uint32_t r = 0; r < count; r++) {
        uint32_t rail = r % RAILS, first = fs_rng_below(&b->rng, NODES), stride = 1u << fs_rng_below(&b->rng, 6);
        for (uint32_t k = 0; k < HOPS; k++) {
            uint32_t node = (first + k * stride) % NODES, nic = rail * NODES + node, leaf = nic / RADIX;
            row[4 * k] = (fs_share){nic, 1};
            row[4 * k + 1] = (fs_share){nics + nic, 1};
            row[4 * k + 2] = (fs_share){2 * nics + leaf * RADIX + fs_rng_below(&b->rng, RADIX), 1};
            row[4 * k + 3] = (fs_share){3 * nics + leaf * RADIX + fs_rng_below(&b->rng, RADIX), 1};
        }
        start(b, row, RING);
    }
}

static void kernels(bench *b, uint32_t gpus)
{
    open_engine(b, gpus);
    b->amount = random_amount;
    b->left = KERNELS > gpus ? KERNELS - gpus : 0;
    for (uint32_t g = 0; g < gpus; g++)
        start(b, &(fs_share){g, 1}, 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*make)(bench *b, uint32_t size);
    } cases[] = {{"flows", flows}, {"sizes", sizes}, {"rings", rings}, {"kernels", kernels}};
    bench b = {.rng = fs_rng_seed(1), .digest = FS_HASH_START, .amount = same_amount};
    unsigned long size = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && size > 0 && size <= 1000000; i++) {
        if (strcmp(argv[1], cases[i].name) != 0)
            continue;
        double begin_s = seconds();
        cases[i].make(&b, (uint32_t)size);
        double made_s = seconds();
        fs_err err;
        fs_engine_calls calls = {.context = &b, .done = on_done};
        must(fs_engine_run(b.engine, &calls, &err), &err);
        double ran_s = seconds();
        fs_engine_counters n = fs_engine_count(b.engine);
        printf(
            "%s %lu: made in %.2f s, ran in %.2f s, %.0f ns an event; %llu events, %llu solves, %llu visits (%.1f an "
            "event), %llu at once; ends at %.9g s, digest %016llx\n",
            cases[i].name, size, made_s - begin_s, ran_s - made_s, 1e9 * (ran_s - made_s) / (double)n.events,
            (unsigned long long)n.events, (unsigned long long)n.solves, (unsigned long long)n.solve_visits,
            (double)n.solve_visits / (double)n.events, (unsigned long long)n.peak_active, b.last_s,
            (unsigned long long)b.digest);
        fs_engine_free(b.engine);
        fs_pattern_table_free(b.patterns);
        fs_free(b.capacity);
        return 0;
    }
    fprintf(stderr, "usage: engine flows PODS | sizes PODS | rings COUNT | kernels GPUS\n");
    return 2;
}
