/* run_fabric.c - see run_fabric.h. */
#include "run_fabric.h"

#include "base/mem.h"
#include "topo/bundle.h"

#include <sys/resource.h>

uint64_t fs_run_peak_memory_bytes(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (uint64_t)use.ru_maxrss * 1024; /* Linux counts in KiB */
}

/* What folds is bundled first: switches that nothing tells apart are one, before any route is looked for. */
static fs_status choose_topo(const fs_topo *whole, const fs_run_options *options, fs_run_fabric *f, fs_err *err)
{
    fs_status status = options->fold == FS_FOLD_AUTO ? fs_topo_bundle(whole, &f->bundled, err) : FS_OK;
    f->topo = f->bundled ? f->bundled : whole;
    return status;
}

/* One for the healthy machine, which decides what collectives look like, and where links fail one for each epoch. */
static fs_status make_routers(const fs_run_options *options, fs_run_fabric *f, fs_err *err)
{
    fs_router_options routing = {
        .single_path = options->network == FS_BACKEND_NS3, .epoch = FS_NONE, .seed = options->seed};
    fs_status status = fs_router_new(f->topo, routing, &f->router, err);
    if (status != FS_OK || f->topo->link_faults.count == 0)
        return status;
    f->epochs = fs_zalloc(f->topo->n_epochs, sizeof(fs_router *));
    f->n_epochs = f->topo->n_epochs;
    if (!f->epochs)
        return fs_fail_nomem(err);
    for (routing.epoch = 0; status == FS_OK && routing.epoch < f->n_epochs; routing.epoch++)
        status = fs_router_new(f->topo, routing, &f->epochs[routing.epoch], err);
    return status;
}

static fs_status make(const fs_topo *whole, const fs_run_options *options, fs_nccl_use use, fs_run_fabric *f,
                      fs_err *err)
{
    fs_status status = choose_topo(whole, options, f, err);
    if (status == FS_OK)
        status = make_routers(options, f, err);
    if (status != FS_OK)
        return status;
    f->patterns = fs_pattern_table_new();
    if (!f->patterns)
        return fs_fail_nomem(err);
    fs_lowering_options how = {.cost = options->cost,
                               .mode = options->lowering,
                               .cross_rail = use.cross_rail,
                               .epochs = f->epochs,
                               .nccl = options->nccl,
                               .registered = options->registered || use.registered,
                               .sharp = options->sharp || use.sharp};
    return fs_lowering_new(f->topo, f->router, f->patterns, how, &f->lowering, err);
}

static void discard(fs_run_fabric *f)
{
    fs_lowering_free(f->lowering);
    fs_pattern_table_free(f->patterns);
    for (uint32_t e = 0; f->epochs && e < f->n_epochs; e++)
        fs_router_free(f->epochs[e]);
    fs_free(f->epochs);
    fs_router_free(f->router);
    fs_topo_free(f->bundled);
}

/* ---- what is kept ------------------------------------------------------------------------------------------------- */

/* Patterns of a kept fabric, beyond which it is made anew: plans of all jobs so far stay in it. */
enum { PATTERNS_MAX = 1 << 18 };

struct fs_run_cache {
    fs_run_fabric fabric;
    const fs_topo *whole; /* NULL: nothing is kept */
    fs_run_options options;
    fs_nccl_use use;
};

fs_run_cache *fs_run_cache_new(void)
{
    return fs_zalloc(1, sizeof(fs_run_cache));
}

void fs_run_cache_forget(fs_run_cache *cache, const fs_topo *topo)
{
    if (!cache->whole || cache->whole != topo)
        return;
    discard(&cache->fabric);
    *cache = (fs_run_cache){0};
}

void fs_run_cache_free(fs_run_cache *cache)
{
    if (cache)
        fs_run_cache_forget(cache, cache->whole);
    fs_free(cache);
}

static bool fits(const fs_run_cache *c, const fs_topo *whole, const fs_run_options *o, fs_nccl_use use)
{
    const fs_run_options *k = &c->options;
    return c->whole == whole && k->network == o->network && k->lowering == o->lowering && k->cost == o->cost &&
           k->fold == o->fold && k->seed == o->seed && k->nccl == o->nccl && k->registered == o->registered &&
           k->sharp == o->sharp && c->use.registered == use.registered && c->use.sharp == use.sharp &&
           c->use.cross_rail == use.cross_rail && fs_pattern_count(c->fabric.patterns) < PATTERNS_MAX;
}

fs_status fs_run_fabric_open(const fs_topo *whole, const fs_run_options *options, fs_nccl_use use, fs_run_fabric *f,
                             fs_err *err)
{
    fs_run_cache *cache = whole->n_faults == 0 ? options->cache : NULL; /* faults are of one job */
    if (cache && fits(cache, whole, options, use)) {
        *f = cache->fabric;
        return FS_OK;
    }
    fs_status status = make(whole, options, use, f, err);
    if (status != FS_OK || !cache)
        return status;
    fs_run_cache_forget(cache, cache->whole);
    f->kept = true;
    *cache = (fs_run_cache){.fabric = *f, .whole = whole, .options = *options, .use = use};
    return FS_OK;
}

void fs_run_fabric_close(fs_run_fabric *f)
{
    if (!f->kept)
        discard(f);
}
