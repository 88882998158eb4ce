/* route.c - the router by itself: `build/bench/route TOPOLOGY [ROUTES]`, an XML file or one line of spec.h.
 *
 * Prints what it takes to make a router and to ask for routes: between neighbours in a node, and between GPUs drawn at
 * random, of equal number in their nodes and of any; each twice, as the second time all pieces may be known. The
 * topology is bundled, as in a run; with the word `whole` after the number it is not. Counters (links of a route) tell
 * whether two versions did the same work. */
#include "route/route.h"
#include "base/rng.h"
#include "topo/bundle.h"
#include "topo/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    fs_topo *topo;
    fs_router *router;
    fs_route_buffer buffer;
    uint32_t n, per_node; /* routes to ask for; GPUs of a node */
} bench;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* others may be at work */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* MB that the process takes, 0 where the system does not tell. */
static double resident(void)
{
    long pages = 0, held = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%ld %ld", &pages, &held) != 2)
        held = 0;
    if (f != NULL)
        fclose(f);
    return (double)held * 4096 / 1e6;
}

static void stop(const fs_err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(EXIT_FAILURE);
}

typedef enum pick { NEIGHBOURS, SAME_NUMBER, ANY, PICKS } pick;

static void ask(bench *b, pick how, const char *what)
{
    fs_rng rng = fs_rng_seed(1);
    uint32_t n_gpus = b->topo->n_gpus, per = b->per_node;
    uint64_t asked = 0, shares = 0;
    fs_err err;
    double start = now();
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t src = how == NEIGHBOURS ? i % n_gpus : fs_rng_below(&rng, n_gpus), node = src / per * per, dst;
        if (how == NEIGHBOURS)
            dst = node + (src + 1 - node) % per;
        else
            dst = how == ANY ? fs_rng_below(&rng, n_gpus) : fs_rng_below(&rng, n_gpus / per) * per + src % per;
        if (src == dst)
            continue;
        if (fs_router_compose(b->router, b->topo->gpus[src], b->topo->gpus[dst], i, &b->buffer, &err) != FS_OK)
            stop(&err);
        asked++;
        shares += b->buffer.route.n_shares;
    }
    printf("%-28s %9.1f ns a route, %6.2f links of a route, %7.1f MB\n", what, (now() - start) / (double)asked * 1e9,
           (double)shares / (double)asked, resident());
}

static void open_bench(bench *b, const char *text, bool bundled)
{
    fs_topo *whole = NULL;
    fs_err err;
    double start = now();
    fs_status status =
        strstr(text, ".xml") ? fs_topo_load(text, NULL, 0, &whole, &err) : fs_spec_oneline(text, &whole, &err);
    if (status != FS_OK)
        stop(&err);
    printf("%u GPUs, %u devices, %u links: loaded in %.3f s, %.1f MB\n", whole->n_gpus, whole->n_devices,
           whole->n_links, now() - start, resident());
    b->topo = whole;
    start = now();
    if (bundled && fs_topo_bundle(whole, &b->topo, &err) != FS_OK)
        stop(&err);
    if (bundled)
        printf("%u devices, %u links: bundled in %.3f s, %.1f MB\n", b->topo->n_devices, b->topo->n_links,
               now() - start, resident());
    start = now();
    if (fs_router_new(b->topo, (fs_router_options){.seed = 1}, &b->router, &err) != FS_OK)
        stop(&err);
    printf("router made in %.3f s, %.1f MB\n", now() - start, resident());
    uint32_t node = fs_topo_device(b->topo, b->topo->gpus[0]).node;
    while (b->per_node < b->topo->n_gpus && fs_topo_device(b->topo, b->topo->gpus[b->per_node]).node == node)
        b->per_node++;
}

int main(int argc, char **argv)
{
    bench b = {0};
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: %s TOPOLOGY [ROUTES] [whole]\n", argv[0]);
        return EXIT_FAILURE;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    b.n = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1000000;
    open_bench(&b, argv[1], argc < 4);
    if (b.per_node > 1) {
        ask(&b, NEIGHBOURS, "in a node");
        ask(&b, NEIGHBOURS, "in a node, again");
    }
    ask(&b, SAME_NUMBER, "to the same GPU of a node");
    ask(&b, SAME_NUMBER, "to the same GPU, again");
    ask(&b, ANY, "to any GPU");
    ask(&b, ANY, "to any GPU, again");
    return EXIT_SUCCESS;
}
